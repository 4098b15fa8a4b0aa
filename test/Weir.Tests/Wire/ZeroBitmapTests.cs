using System.Runtime.InteropServices;
using CsCheck;
using Weir.Wire;

namespace Weir.Tests.Wire;

public class ZeroBitmapTests
{
    /// <summary>Bits of floats of which none, some or all are zero; among the others -0.0, NaN and whatever else 32 bits can be.</summary>
    private static readonly Gen<uint[]> Floats =
        from percent in Gen.Int[0, 100]
        from rows in Gen.Select(Gen.Int[0, 99], Gen.UInt, Gen.Int[0, 9]).Array[0, 500]
        select rows.Select(r => r.Item1 < percent ? 0u : r.Item3 switch { 0 => 0x8000_0000, 1 => 0x7FC0_1234, _ => r.Item2 | 1 }).ToArray();

    [Fact]
    public void Any_values_come_back_bit_for_bit_and_are_never_longer_than_raw() => Floats.Sample(bits =>
    {
        float[] values = MemoryMarshal.Cast<uint, float>(bits.AsSpan()).ToArray();
        int bytes = ValueEncodings.Shrink(values, ValueFilters.ZeroBitmap, 0, out _);
        Assert.InRange(bytes, 0, bits.Length * 4);
        Span<byte> written = MemoryMarshal.AsBytes(values.AsSpan())[..bytes];
        if (bytes == bits.Length * 4)
        {
            Assert.Equal(bits, MemoryMarshal.Cast<byte, uint>(written).ToArray());
            return;
        }

        Assert.Equal(Naive(bits), written.ToArray());
        float[] read = new float[bits.Length];
        read.AsSpan().Fill(7);
        Assert.True(ZeroBitmap.TryRead(ValueEncoding.Raw, written, read));
        Assert.Equal(bits, MemoryMarshal.Cast<float, uint>(read.AsSpan()).ToArray());
    });

    [Fact]
    public void Nine_zeros_in_ten_leave_a_tenth_and_a_bit_each()
    {
        float[] values = [.. Enumerable.Range(0, 6400).Select(i => i % 10 == 3 ? i : 0f)];
        Assert.Equal((640 * 4) + (6400 / 8), ValueEncodings.Shrink(values, ValueFilters.ZeroBitmap, 0, out _));
    }

    [Fact]
    public void Foreign_bytes_are_read_only_where_they_fit_the_values() => Gen.Select(Gen.Byte.Array[0, 64], Gen.Int[0, 200]).Sample((bytes, count) =>
    {
        float[] values = new float[count];
        if (ZeroBitmap.TryRead(ValueEncoding.Raw, bytes, values))
        {
            int kept = bytes.Length - (((count + 63) / 64) * 8);
            Assert.InRange(kept, 0, (count * 4) + 4);
        }
    });

    [Fact]
    public void A_bit_beyond_the_last_value_is_refused()
    {
        byte[] bytes = [0, 0, 128, 63, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        Assert.True(ZeroBitmap.TryRead(ValueEncoding.Raw, bytes, new float[5]));
        bytes[8] = 1 << 5;
        Assert.False(ZeroBitmap.TryRead(ValueEncoding.Raw, bytes, new float[5]));
        Assert.True(ZeroBitmap.TryRead(ValueEncoding.Raw, bytes, new float[6]));
    }

    /// <summary>As docs/protocol.md says it, a float at a time.</summary>
    private static byte[] Naive(uint[] bits)
    {
        List<byte> packed = [];
        byte[] bitmap = new byte[(bits.Length + 63) / 64 * 8];
        for (int i = 0; i < bits.Length; i++)
        {
            if (bits[i] != 0)
            {
                packed.AddRange(BitConverter.GetBytes(bits[i]));
                bitmap[i / 8] |= (byte)(1 << (i % 8));
            }
        }

        while (packed.Count % 8 != 0)
        {
            packed.Add(0);
        }

        return [.. packed, .. bitmap];
    }
}
