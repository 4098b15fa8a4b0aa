using System.Buffers.Binary;
using Weir.Functions;

namespace PlugIn;

/// <summary>
/// Shrinks rows to a Euclidean norm of at most the argument, a float in 4 bytes, little-endian: rows that are within it stay as they are, and nothing of them is written or sent to replicas. Called once in a while on the keys that
/// were trained it keeps embeddings in a ball.
/// </summary>
public sealed class ClipRows : IServerFunction
{
    /// <inheritdoc/>
    public string Name => "clip";

    /// <inheritdoc/>
    public void Apply(FunctionCall run)
    {
        float largest = run.Argument.Length == sizeof(float) ? BinaryPrimitives.ReadSingleLittleEndian(run.Argument) : float.NaN;
        if (!(largest > 0 && float.IsFinite(largest)))
        {
            throw new ArgumentException("the argument must be the largest norm, one float above 0 in 4 bytes");
        }

        for (int row = 0; row < run.Keys.Length; row++)
        {
            Span<float> floats = run.Row(row);
            double squares = 0;
            foreach (float value in floats)
            {
                squares += (double)value * value;
            }

            double norm = Math.Sqrt(squares);
            if (norm > largest)
            {
                foreach (ref float value in floats)
                {
                    value = (float)(value * largest / norm);
                }
            }
        }
    }
}
