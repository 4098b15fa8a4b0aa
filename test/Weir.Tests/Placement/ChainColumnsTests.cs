using CsCheck;
using Weir.Keys;
using Weir.Placement;
using Weir.World;

namespace Weir.Tests.Placement;

public class ChainColumnsTests
{
    private const int Members = 20;

    [Fact]
    public void Any_chains_come_back_from_their_bytes() =>
        Gen.ULong.Sample(
            seed =>
            {
                Rng rng = new(seed);
                MapChain[] chains = [.. Enumerable.Range(0, rng.Below(200)).Select(_ => Some(rng))];
                byte[] bytes = ChainColumns.Encode(chains);
                var reader = new ByteReader(bytes);
                MapChain[] read = ChainColumns.Read(ref reader, chains.Length, Members)!;
                Assert.True(reader.AtEnd);
                Assert.Equal(chains.Select(c => (c.Epoch, c.IsDown, c.Emptied)), read.Select(c => (c.Epoch, c.IsDown, c.Emptied)));
                Assert.Equal(chains.SelectMany((c, i) => c.Members.Select(m => (i, m))), read.SelectMany((c, i) => c.Members.Select(m => (i, m))));
                for (int length = 0; length < bytes.Length; length += 1 + (bytes.Length / 30))
                {
                    var shorter = new ByteReader(bytes.AsSpan(0, length));
                    Assert.Null(ChainColumns.Read(ref shorter, chains.Length, Members));
                }
            },
            iter: 300);

    [Fact]
    public void What_no_chain_can_be_is_refused()
    {
        Assert.NotNull(Read([8], [1], [3], [0], [7], [1]));
        Assert.NotNull(Read([10], [1], [1], [3], [0], [7], [1]));
        Assert.Null(Read([10], [1]));
        Assert.Null(Read([(4 * MapSoundness.MaxChainMembers) + 4], [1]));
        Assert.Null(Read([ulong.MaxValue], [1]));
        Assert.Null(Read([8], [1], [Members], [0], [7], [1]));
        Assert.Null(Read([8], [1], [1UL << 33], [0], [7], [1]));
        Assert.Null(Read([8], [1], [3], [0]));
    }

    [Fact]
    public void A_short_frame_that_says_that_all_chains_are_long_allocates_for_its_sizes_and_epochs_alone()
    {
        ulong[] sizes = [.. Enumerable.Repeat(4UL * MapSoundness.MaxChainMembers, 1 << 12)];
        byte[] bytes = [.. PackedColumn.Encode(sizes), .. PackedColumn.Encode(sizes)];
        var reader = new ByteReader(bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Null(ChainColumns.Read(ref reader, sizes.Length, Members));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, (70 * bytes.Length) + 2_000);
    }

    private static MapChain[]? Read(params ulong[][] columns)
    {
        var reader = new ByteReader([.. columns.SelectMany(c => PackedColumn.Encode(c))]);
        return ChainColumns.Read(ref reader, columns[0].Length, Members);
    }

    /// <summary>Mostly of three members that the map knows complete; others of any length, with newcomers, down.</summary>
    private static MapChain Some(Rng rng)
    {
        int length = rng.Chance(4, 5) ? 3 : rng.Below(MapSoundness.MaxChainMembers + 1), first = rng.Below(Members);
        ChainMember[] members = [.. Enumerable.Range(0, length).Select(place => new ChainMember((first + place) % Members, rng.Chance(1, 10) ? rng.Next() >> 8 : 0))];
        return new MapChain(rng.Next() >> 8, members, rng.Chance(1, 20), rng.Chance(1, 30) ? rng.Next() >> 8 : 0);
    }
}
