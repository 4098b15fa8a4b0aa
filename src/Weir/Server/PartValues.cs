using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Wire;

namespace Weir.Server;

/// <summary>The floats of a part, however they are written.</summary>
internal static class PartValues
{
    /// <summary>Bytes that the values of a part take as they are.</summary>
    public static long Bytes(in PartHeader part, int width) => part.Operation == PartOperation.Delete ? 0 : (long)part.Rows * width * sizeof(float);

    /// <summary>Reads the values; false where they are not those of the part's rows. The caller bounds the rows.</summary>
    public static bool TryRead(scoped in PartHeader part, ReadOnlySpan<byte> bytes, int width, ref float[] buffer, out ReadOnlySpan<float> values)
    {
        long expected = Bytes(part, width);
        if (part.ValueEncoding == ValueEncoding.Raw)
        {
            values = MemoryMarshal.Cast<byte, float>(bytes);
            return part.ValueBytes == expected;
        }

        int floats = (int)(expected / sizeof(float));
        if (buffer.Length < floats)
        {
            buffer = new float[BitOperations.RoundUpToPowerOf2((uint)floats)];
        }

        values = buffer.AsSpan(0, floats);
        return ValueEncodings.TryRead(part.ValueEncoding, bytes, buffer.AsSpan(0, floats));
    }
}
