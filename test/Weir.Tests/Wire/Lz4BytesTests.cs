using System.Buffers.Binary;
using System.Runtime.InteropServices;
using CsCheck;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>Values as blocks of LZ4, beside each of the other forms: what comes out is what the form alone gives, and never longer.</summary>
public class Lz4BytesTests
{
    /// <summary>Any bits, few different floats, rows that repeat, zeros.</summary>
    private static readonly Gen<float[]> Values = Gen.OneOf(
        Gen.UInt.Select(BitConverter.UInt32BitsToSingle).Array[0, 300],
        Gen.OneOf(Gen.Const(0f), Gen.Const(1f), Gen.Const(0.5f)).Array[0, 2000],
        Gen.Select(Gen.Float[-1, 1].Array[1, 40], Gen.Int[1, 40]).Select((row, times) => Enumerable.Repeat(row, times).SelectMany(r => r).ToArray()));

    [Fact]
    public void A_block_gives_what_its_form_gives_alone_and_is_never_longer() =>
        Gen.Select(Values, Gen.OneOf(Gen.Const(ValueFilters.None), Gen.Const(ValueFilters.ZeroBitmap), Gen.Const(ValueFilters.BFloat16), Gen.Const(ValueFilters.Int8 | ValueFilters.ZeroBitmap)), Gen.ULong).Sample((values, filters, seed) =>
        {
            byte[] alone = Write(values, filters, seed, out ValueEncoding form), written = Write(values, filters | ValueFilters.Lz4, seed, out ValueEncoding encoding);
            Assert.Equal(form, encoding & ~ValueEncoding.Lz4);
            Assert.InRange(PartHeader.Pad8(written.Length), 0, PartHeader.Pad8(alone.Length) - (encoding == form ? 0 : sizeof(ulong)));
            float[] expected = new float[values.Length], read = new float[values.Length];
            Assert.True(ValueEncodings.TryRead(form, alone, expected));
            Assert.True(ValueEncodings.TryRead(encoding, written, read));
            Assert.Equal(Bits(expected), Bits(read));
        });

    [Fact]
    public void Rows_that_repeat_take_a_tenth()
    {
        float[] values = [.. Enumerable.Range(0, 8000).Select(i => MathF.Sin(i % 40))];
        Assert.InRange(Write(values, ValueFilters.Lz4, 1, out ValueEncoding encoding).Length, 1, values.Length * sizeof(float) / 10);
        Assert.Equal(ValueEncoding.Lz4, encoding);
    }

    [Fact]
    public void Foreign_blocks_are_read_only_where_they_give_the_bytes_that_the_values_take() =>
        Gen.Select(Gen.Byte.Array[0, 300], Gen.Int[0, 200], Gen.Int[0, (int)ValueEncoding.Int8ZeroBitmap], Gen.UInt[0, 1000]).Sample((bytes, count, form, length) =>
        {
            if (bytes.Length >= sizeof(uint))
            {
                // As if it were sound so far.
                BinaryPrimitives.WriteUInt32LittleEndian(bytes, length);
            }

            bool isRead = ValueEncodings.TryRead((ValueEncoding)form | ValueEncoding.Lz4, bytes, new float[count]);
            Assert.True(!isRead || bytes.Length >= sizeof(uint));
        });

    [Theory]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(int.MaxValue)]
    [InlineData(1 << 20)]
    [InlineData(7999)]
    public void A_length_that_is_not_the_values_is_refused_before_anything_is_made_of_it(int length)
    {
        byte[] written = Write(new float[2000], ValueFilters.Lz4, 1, out ValueEncoding encoding);
        Assert.True(ValueEncodings.TryRead(encoding, written, new float[2000]));
        BinaryPrimitives.WriteInt32LittleEndian(written, length);
        long before = GC.GetAllocatedBytesForCurrentThread();
        float[] into = new float[2000];
        Assert.False(ValueEncodings.TryRead(encoding, written, into));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200_000);
    }

    private static byte[] Write(float[] values, ValueFilters filters, ulong seed, out ValueEncoding encoding)
    {
        float[] copy = [.. values];
        int bytes = ValueEncodings.Shrink(copy, filters, seed, out encoding);
        return MemoryMarshal.AsBytes(copy.AsSpan())[..bytes].ToArray();
    }

    private static uint[] Bits(float[] values) => MemoryMarshal.Cast<float, uint>(values).ToArray();
}
