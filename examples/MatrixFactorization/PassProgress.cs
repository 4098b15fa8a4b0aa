using System.Globalization;

namespace MatrixFactorization;

/// <summary>
/// Writes a line each time that all workers together have seen as many ratings as there are: the pass, and the root of the mean squared error of
/// its predictions, each made before its rating was learned from. Thread-safe.
/// </summary>
/// <param name="output">Gets the lines.</param>
/// <param name="ratings">How many ratings a pass has.</param>
/// <param name="passes">How many passes there will be.</param>
internal sealed class PassProgress(TextWriter output, int ratings, int passes)
{
    private readonly Lock _gate = new();
    private long _seen;
    private int _pass;
    private int _seenInPass;
    private double _squares;

    /// <summary>Counts a batch.</summary>
    /// <param name="count">Its ratings.</param>
    /// <param name="squares">The sum of their squared errors.</param>
    public void Add(int count, double squares)
    {
        lock (_gate)
        {
            _seen += count;
            _seenInPass += count;
            _squares += squares;
            if (_seen >= (_pass + 1L) * ratings)
            {
                _pass++;
                double rmse = Math.Sqrt(_squares / _seenInPass);
                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"pass {_pass} of {passes}: RMSE {rmse:0.0000} in training"));
                (_seenInPass, _squares) = (0, 0);
            }
        }
    }
}
