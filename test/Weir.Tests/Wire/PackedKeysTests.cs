using CsCheck;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Tests.Wire;

public class PackedKeysTests
{
    /// <summary>Lists as parts have them: of one segment, distinct, in the order of their hash; dense, spread, or of small keys.</summary>
    private static readonly Gen<(ulong[] Keys, KeyRange Range)> Lists =
        from bits in Gen.Int[6, 17]
        from segment in Gen.Int[0, (1 << bits) - 1]
        from count in Gen.Int[0, 300]
        from shift in Gen.Int[0, 63]
        from numbers in Gen.ULong.Array[count]
        let range = KeyRange.OfSegment(segment, bits)
        let width = range.Last - range.First
        select (numbers.Select(n => range.First + ((n >> shift) & width)).Distinct().Order().Select(Mix.Inverse).ToArray(), range);

    [Fact]
    public void Any_list_comes_back_and_is_never_longer_than_raw() => Lists.Sample(list =>
    {
        byte[] bytes = new byte[list.Keys.Length * sizeof(ulong)];
        KeyEncoding encoding = PackedKeys.Write(list.Keys, list.Range, bytes, out int length);
        Assert.InRange(PartHeader.Pad8(length), 0, bytes.Length);
        Assert.Equal(list.Keys, Read(encoding, bytes.AsSpan(0, length), list.Range, list.Keys.Length));
    });

    [Fact]
    public void Lists_of_small_keys_come_back() => Gen.Select(Gen.ULong[1, 1UL << 56], Gen.Int[1, 200]).Sample((most, count) =>
    {
        ulong[] keys = [.. Enumerable.Range(0, count).Select(i => Mix.Of((ulong)i) % most).Distinct().Where(k => Mix.Segment(k, 6) == 3).OrderBy(Mix.Of)];
        byte[] bytes = new byte[keys.Length * sizeof(ulong)];
        var range = KeyRange.OfSegment(3, 6);
        KeyEncoding encoding = PackedKeys.Write(keys, range, bytes, out int length);
        Assert.Equal(keys, Read(encoding, bytes.AsSpan(0, length), range, keys.Length));
    });

    /// <summary>Bit by bit, as docs/protocol.md says it.</summary>
    [Fact]
    public void The_bits_stand_where_the_protocol_says() => Lists.Sample(list =>
    {
        byte[] bytes = new byte[list.Keys.Length * sizeof(ulong)];
        KeyEncoding encoding = PackedKeys.Write(list.Keys, list.Range, bytes, out int length);
        if (encoding == KeyEncoding.Raw)
        {
            return;
        }

        ulong next = list.Range.First;
        for (int i = 0; i < list.Keys.Length; i++)
        {
            ulong number = 0;
            for (int bit = 0; bit < bytes[0]; bit++)
            {
                int at = (i * bytes[0]) + bit;
                number |= (ulong)((bytes[1 + (at / 8)] >> (at % 8)) & 1) << bit;
            }

            Assert.Equal(encoding == KeyEncoding.Packed ? list.Keys[i] : Mix.Of(list.Keys[i]) - next, number);
            next = Mix.Of(list.Keys[i]) + 1;
        }

        Assert.Equal(1 + (((list.Keys.Length * bytes[0]) + 7) / 8), length);
    });

    [Fact]
    public void Whatever_the_bytes_say_what_is_read_lies_in_the_segment_in_order() => Gen.Select(Gen.Byte.Array[0, 80], Gen.Int[0, 40], Gen.Int[0, 63]).Sample((bytes, rows, segment) =>
    {
        ulong[] keys = new ulong[rows];
        var range = KeyRange.OfSegment(segment, 6);
        if (PackedKeys.TryReadDelta(bytes, range, keys))
        {
            ulong[] mixed = [.. keys.Select(Mix.Of)];
            Assert.Equal(mixed.Order().Distinct(), mixed);
            Assert.All(mixed, m => Assert.True(range.Contains(m)));
        }
    });

    [Theory]
    [InlineData(0)]
    [InlineData(62)]
    [InlineData(63)]
    public void Gaps_that_lead_out_of_the_segment_are_refused(int segment)
    {
        // 56 bits of ones, sixteen times: four of them already fill a segment of 64.
        byte[] bytes = [56, .. Enumerable.Repeat((byte)0xFF, 16 * 7)];
        Assert.False(PackedKeys.TryReadDelta(bytes, KeyRange.OfSegment(segment, 6), new ulong[16]));
        Assert.True(PackedKeys.TryReadDelta(bytes.AsSpan(0, 1 + (3 * 7)), KeyRange.OfSegment(segment, 6), new ulong[3]));
        bytes[0] = 57;
        Assert.False(PackedKeys.TryReadDelta([57, .. new byte[57]], KeyRange.OfSegment(segment, 6), new ulong[8]));
        Assert.False(PackedKeys.TryReadPacked([], []));
    }

    [Fact]
    public void The_last_key_of_the_last_segment_is_read()
    {
        var range = KeyRange.OfSegment(63, 6);
        ulong[] keys = [.. Enumerable.Range(0, 16).Select(i => Mix.Inverse(range.Last - 15 + (ulong)i))];
        byte[] bytes = [0, .. new byte[200]];
        KeyEncoding encoding = PackedKeys.Write(keys, range, bytes, out int length);
        Assert.Equal(keys, Read(encoding, bytes.AsSpan(0, length), range, keys.Length));
    }

    private static ulong[] Read(KeyEncoding encoding, ReadOnlySpan<byte> bytes, KeyRange range, int rows)
    {
        ulong[] keys = new ulong[rows];
        switch (encoding)
        {
            case KeyEncoding.PackedDelta:
                Assert.True(PackedKeys.TryReadDelta(bytes, range, keys));
                break;
            case KeyEncoding.Packed:
                Assert.True(PackedKeys.TryReadPacked(bytes, keys));
                break;
            default:
                keys = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, ulong>(bytes).ToArray();
                break;
        }

        return keys;
    }
}
