namespace Weir.Cli.Bench;

/// <summary>Which iterations of a worker are slow: in bursts of 2 to 6, a quarter of the time, as other work on its machine would have it. Not thread-safe.</summary>
/// <param name="seed">Draws the bursts.</param>
/// <param name="always">Whether all are.</param>
internal sealed class Slowness(int seed, bool always)
{
    private const int LeastBurst = 2, MostBurst = 6;

    // With pauses three times as long as bursts a quarter of the iterations is slow.
    private const int PauseTimes = 3;

    private readonly Random _random = new(seed);
    private int _left = -1;
    private bool _isSlow = true;

    /// <summary>Whether the next iteration is slow.</summary>
    public bool Next()
    {
        if (--_left < 0)
        {
            // It begins in the middle of a pause, unlike others.
            bool isFirst = _left < -1;
            _isSlow = !isFirst && !_isSlow;
            _left = _random.Next(LeastBurst, MostBurst + 1) * (_isSlow ? 1 : PauseTimes);
            _left = (isFirst ? _random.Next(_left) : _left) - 1;
        }

        return always || _isSlow;
    }
}
