using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Weir.Wire;

/// <summary>
/// Floats of a byte: blocks of 64, the last one shorter, each the step of the block (an IEEE single) and then a signed byte for each float, which
/// is so many steps. The step is a 127th of the largest magnitude in the block. A float between two multiples becomes the upper one with the
/// probability of its fractional part (QSGD: Alistarh et al., NIPS 2017, section 3.1), so that the expectation of what is read is what was
/// written, to the rounding of single precision, and it differs by at most a step. A block of 64 keeps one large float from coarsening many others,
/// and its step adds a sixteenth of a byte to each.
/// </summary>
internal static class Int8Values
{
    /// <summary>Floats of a block.</summary>
    public const int Block = 64;

    private const int Steps = sbyte.MaxValue;
    private const int StepSize = sizeof(float);

    /// <summary>2^-24: 24 random bits times this lie in [0, 1), as a fractional part does.</summary>
    private const float Unit = 1f / (1 << 24);

    /// <summary>The bytes of so many floats.</summary>
    public static int Bytes(int floats) => floats + ((floats + Block - 1) / Block * StepSize);

    /// <summary>Writes finite floats over themselves, from the front: two or more, as one takes more bytes than it has.</summary>
    public static void Write(Span<float> values, RoundingBits random)
    {
        Span<byte> to = MemoryMarshal.AsBytes(values);
        Span<float> block = stackalloc float[Block];
        Span<sbyte> steps = stackalloc sbyte[Block];
        for (int at = 0; at < values.Length; at += Block)
        {
            int floats = Math.Min(Block, values.Length - at);

            // A copy, as the block's bytes may come to lie where its own floats are; those of the next ones lie behind them.
            values.Slice(at, floats).CopyTo(block);
            block[floats..].Clear();
            float step = StepOf(block);
            Round(block, step, at, random, steps);
            BinaryPrimitives.WriteSingleLittleEndian(to, step);
            MemoryMarshal.AsBytes(steps[..floats]).CopyTo(to[StepSize..]);
            to = to[(StepSize + floats)..];
        }
    }

    /// <summary>Reads foreign bytes; false where they are not as many as the floats take. What is read may be infinite or not a number.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, Span<float> values)
    {
        if (bytes.Length != Bytes(values.Length))
        {
            return false;
        }

        for (int at = 0; at < values.Length; at += Block)
        {
            int floats = Math.Min(Block, values.Length - at);
            float step = BinaryPrimitives.ReadSingleLittleEndian(bytes);
            Expand(MemoryMarshal.Cast<byte, sbyte>(bytes.Slice(StepSize, floats)), step, values.Slice(at, floats));
            bytes = bytes[(StepSize + floats)..];
        }

        return true;
    }

    /// <summary>The step of a block: as many of them as a byte can say reach its largest magnitude, and no further than floats do.</summary>
    private static float StepOf(ReadOnlySpan<float> block)
    {
        Vector256<float> largest = Vector256<float>.Zero;
        for (int at = 0; at < Block; at += Vector256<float>.Count)
        {
            largest = Vector256.Max(largest, Vector256.Abs(Vector256.Create(block[at..])));
        }

        float most = 0;
        for (int lane = 0; lane < Vector256<float>.Count; lane++)
        {
            most = Math.Max(most, largest[lane]);
        }

        float step = most / Steps;
        if (most > 0 && !float.IsNormal(step))
        {
            // Below the normal numbers a quotient is off by up to a half of itself, and the largest of the block would not be reached.
            return float.BitIncrement(step);
        }

        // Rounded up, 127 steps may be infinite.
        return float.IsFinite(step * Steps) ? step : float.BitDecrement(step);
    }

    private static void Round(ReadOnlySpan<float> block, float step, int first, RoundingBits random, Span<sbyte> steps)
    {
        if (step == 0)
        {
            steps.Clear();
            return;
        }

        for (int at = 0; at < Block; at += Vector256<sbyte>.Count)
        {
            Vector256<short> lower = Vector256.Narrow(Eight(block, at), Eight(block, at + 8));
            Vector256<short> upper = Vector256.Narrow(Eight(block, at + 16), Eight(block, at + 24));
            Vector256.Narrow(lower, upper).CopyTo(steps[at..]);
        }

        Vector256<int> Eight(ReadOnlySpan<float> block, int at)
        {
            Vector256<float> exact = Vector256.Create(block[at..]) / Vector256.Create(step);
            Vector256<float> below = Vector256.Floor(exact);
            Vector256<float> drawn = Vector256.ConvertToSingle((random.EightAt(first + at) >>> 8).AsInt32()) * Unit;
            Vector256<float> rounded = below + (Vector256.LessThan(drawn, exact - below) & Vector256<float>.One);

            // A quotient of the largest may be an ulp beyond the last step.
            return Vector256.ConvertToInt32(Vector256.Min(Vector256.Max(rounded, Vector256.Create(-(float)Steps)), Vector256.Create((float)Steps)));
        }
    }

    private static void Expand(ReadOnlySpan<sbyte> steps, float step, Span<float> values)
    {
        int at = 0;
        for (; at <= steps.Length - Vector256<sbyte>.Count; at += Vector256<sbyte>.Count)
        {
            (Vector256<short> lower, Vector256<short> upper) = Vector256.Widen(Vector256.Create<sbyte>(steps[at..]));
            Sixteen(lower, values[at..]);
            Sixteen(upper, values[(at + Vector256<short>.Count)..]);
        }

        for (; at < steps.Length; at++)
        {
            values[at] = steps[at] * step;
        }

        void Sixteen(Vector256<short> sixteen, Span<float> into)
        {
            (Vector256<int> lower, Vector256<int> upper) = Vector256.Widen(sixteen);
            (Vector256.ConvertToSingle(lower) * step).CopyTo(into);
            (Vector256.ConvertToSingle(upper) * step).CopyTo(into[Vector256<int>.Count..]);
        }
    }
}
