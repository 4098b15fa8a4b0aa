using CsCheck;
using Weir.Keys;

namespace Weir.Tests.Keys;

public class KeyRangeTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(6)]
    [InlineData(10)]
    [InlineData(17)]
    public void Segments_follow_each_other_without_gap_and_end_with_the_last_number(int bits)
    {
        ulong next = 0;
        for (int segment = 0; segment < 1 << bits; segment++)
        {
            KeyRange range = KeyRange.OfSegment(segment, bits);
            Assert.Equal(next, range.First);
            Assert.True(range.Last > range.First);
            next = range.Last + 1;
        }

        Assert.Equal(0ul, next);
    }

    [Fact]
    public void A_range_holds_its_ends_and_nothing_beyond_them() =>
        Gen.Select(Gen.Int[0, 63], Gen.ULong).Sample((segment, mixed) =>
        {
            KeyRange range = KeyRange.OfSegment(segment, 6);
            Assert.True(range.Contains(range.First) && range.Contains(range.Last));
            Assert.False(range.First > 0 && range.Contains(range.First - 1));
            Assert.False(range.Last < ulong.MaxValue && range.Contains(range.Last + 1));
            Assert.Equal(mixed >> 58 == (ulong)segment, range.Contains(mixed));
        });

    [Fact]
    public void All_holds_every_number() => Gen.ULong.Sample(KeyRange.All.Contains);
}
