using CsCheck;
using Weir.Keys;
using Weir.Placement;
using Weir.World;

namespace Weir.Tests.Placement;

public class PackedColumnTests
{
    // What columns of a map look like: one number for all, a range, few different ones far apart, one for nearly all.
    private static readonly Gen<ulong[]> Columns = Gen.Select(
        Gen.Int[0, 3], Gen.Int[0, 600], Gen.ULong, Gen.ULong[0, (1UL << PackedBits.MaxBits) - 1].Array[1, 5], Gen.ULong[0, 40].Array[600], Gen.Int[0, 5].Array[600])
        .Select((kind, length, any, few, spread, choices) => (ulong[])[.. Enumerable.Range(0, length).Select(i => kind switch
        {
            0 => any,
            1 => any <= ulong.MaxValue - 40 ? any + spread[i] : any - spread[i],
            2 => few[choices[i] % few.Length],
            _ => choices[i] > 0 ? any % (1UL << PackedBits.MaxBits) : few[spread[i] % (ulong)few.Length],
        })]);

    [Fact]
    public void Any_numbers_come_back_from_bytes_that_are_hardly_longer_than_their_range_asks_for()
    {
        bool[] forms = new bool[3];
        Columns.Sample(
            numbers =>
            {
                byte[] bytes = PackedColumn.Encode(numbers);
                forms[bytes[0]] = true;
                var reader = new ByteReader(bytes);
                Assert.Equal(numbers, PackedColumn.Read(ref reader, numbers.Length));
                Assert.True(reader.AtEnd);
                int bits = numbers.Length == 0 ? 1 : Math.Max(1, PackedBits.BitsOf(numbers.Max() - numbers.Min()));
                Assert.InRange(bytes.Length, PackedBits.Bytes(numbers.Length, 1), 10 + PackedBits.Bytes(numbers.Length, bits));
            },
            iter: 2_000);
        Assert.Equal([true, true, true], forms);
    }

    [Fact]
    public void A_column_takes_what_its_shortest_form_does()
    {
        ulong[] few = [.. Enumerable.Range(0, 1 << 10).Select(i => i % 4 == 0 ? 4_000_000_000 : (ulong)(i % 4))];
        Assert.Equal(1 + 4 + 8 + 1 + (3 * 32 / 8) + 1 + (2 << 10 >> 3), PackedColumn.Encode(few).Length);
        ulong[] usual = [.. Enumerable.Range(0, 1 << 10).Select(i => i == 77 ? 9UL : i == 78 ? 7UL : 1_000_000)];
        Assert.Equal(1 + 8 + (1 << 10 >> 3) + 1 + 8 + 1 + 1, PackedColumn.Encode(usual).Length);
        ulong[] same = [.. Enumerable.Repeat(ulong.MaxValue, 1 << 10)];
        Assert.Equal(1 + 8 + 1 + (1 << 10 >> 3), PackedColumn.Encode(same).Length);
    }

    [Fact]
    public void Numbers_further_apart_than_are_written_are_a_defect_of_their_writer() =>
        Assert.Throws<InvariantException>(() => PackedColumn.Encode([1, 1 + (1UL << PackedBits.MaxBits)]));

    [Fact]
    public void The_same_numbers_give_the_same_bytes_whatever_else_was_encoded() =>
        Assert.Equal(PackedColumn.Encode([5, 9, 5, 9, 70_000]), PackedColumn.Encode([5, 9, 5, 9, 70_000]));

    [Theory]
    [InlineData("03")] // no form
    [InlineData("00 0000000000000000 00")] // no bits
    [InlineData("00 0000000000000000 39 000000000000000000000000000000")] // 57 bits
    [InlineData("00 FFFFFFFFFFFFFFFF 01 02")] // beyond 64 bits
    [InlineData("01 00000000 0500000000000000 01 01 00")] // no numbers
    [InlineData("01 03000000 0500000000000000 01 00 01 00")] // more different numbers than there are
    [InlineData("01 02000000 FFFFFFFFFFFFFFFF 01 00 01 00")] // the second beyond 64 bits
    [InlineData("01 02000000 0500000000000000 01 00 02 02")] // an index that the list does not have
    [InlineData("02 0500000000000000 01 02 0500000000000000 01 00")] // another column of two forms among the others
    [InlineData("02 0500000000000000 03 00 0500000000000000 01")] // fewer others than are marked
    public void Bytes_that_make_no_sense_are_refused(string hex)
    {
        var reader = new ByteReader(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)));
        Assert.Null(PackedColumn.Read(ref reader, 2));
    }

    [Fact]
    public void A_column_is_refused_at_every_shorter_length_and_allocates_for_no_more_than_it_holds() =>
        Columns.Sample(
            numbers =>
            {
                byte[] bytes = PackedColumn.Encode(numbers);
                for (int length = 0; length < bytes.Length; length += 1 + (bytes.Length / 50))
                {
                    var reader = new ByteReader(bytes.AsSpan(0, length));
                    long before = GC.GetAllocatedBytesForCurrentThread();
                    Assert.Null(PackedColumn.Read(ref reader, numbers.Length));
                    Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 200 + (2 * 64 * length));
                }
            },
            iter: 200);

    [Fact]
    public void Any_bytes_are_read_or_refused_and_never_throw() =>
        Gen.Select(Gen.Byte.Array[0, 60], Gen.Int[0, 200], Gen.Byte[0, 3]).Sample(
            (bytes, count, form) =>
            {
                var reader = new ByteReader([form, .. bytes]);
                ulong[]? read = PackedColumn.Read(ref reader, count);
                Assert.True(read is null || read.Length == count);
            },
            iter: 20_000);
}
