using CsCheck;
using Weir.Placement;
using Weir.Tests.Wire;
using Weir.World;

namespace Weir.Tests.Placement;

public class MapDifferenceTests
{
    private static ClusterMap Map { get; } = FrameSamples.Map(FrameSamples.Names.Default);

    private static ClusterMap Next { get; } = FrameSamples.NextMap(FrameSamples.Names.Default);

    [Fact]
    public void A_difference_applied_gives_the_newer_map_whatever_changed() =>
        Gen.ULong.Sample(
            seed =>
            {
                Rng rng = new(seed);
                ClusterMap first = MapEdits.Some(Map, rng, 3), second = MapEdits.Some(first, rng, rng.Below(4)), third = MapEdits.Some(second, rng, rng.Below(4));
                Assert.True(MapDifference.TryApply(first, MapDifference.Encode(first, second), out ClusterMap applied));
                Assert.Equal(MapEncoding.Encode(second), MapEncoding.Encode(applied));

                // A difference over two versions, two differences, and two of which the first is known: all come to the same.
                byte[] both = [.. MapDifference.Encode(first, second), .. MapDifference.Encode(second, third)];
                foreach ((ClusterMap from, byte[] bytes) in new[] { (first, MapDifference.Encode(first, third)), (first, both), (second, both) })
                {
                    Assert.True(MapDifference.TryApply(from, bytes, out applied));
                    Assert.Equal(MapEncoding.Encode(third), MapEncoding.Encode(applied));
                }
            },
            iter: 400);

    [Fact]
    public void A_difference_leaves_the_older_map_as_it_was()
    {
        byte[] before = MapEncoding.Encode(Map);
        Assert.True(MapDifference.TryApply(Map, MapDifference.Encode(Map, Next), out _));
        Assert.Equal(before, MapEncoding.Encode(Map));
    }

    [Fact]
    public void A_member_that_goes_costs_its_own_segments_alone()
    {
        ClusterMap gone = Map with
        {
            Version = Map.Version + 1,
            Members = [Map.Members[1]],
            Chains = [.. Map.Chains.Select(c => c with { Members = c.Head == 1 ? [ChainMember.Complete(0)] : [] })],
        };
        byte[] bytes = MapDifference.Encode(Map, gone);

        // Length, versions and head, two pieces of the members, eight lists as they were, no segments, the fingerprint.
        Assert.Equal(12 + MapEncoding.HeadBytes + (4 + 12 + 12) + (8 * 4) + 4 + 8, bytes.Length);
        Assert.True(MapDifference.TryApply(Map, bytes, out ClusterMap applied));
        Assert.Equal(gone.Chains.Select(c => c.Head), applied.Chains.Select(c => c.Head));
    }

    [Fact]
    public void Nothing_is_taken_that_does_not_lead_on_from_the_readers_map()
    {
        byte[] bytes = MapDifference.Encode(Map, Next);
        ClusterMap[] others =
        [
            Next,
            Map with { Version = Map.Version - 1 },
            Map with { Version = Next.Version + 1 },
            Map with { Cluster = 8 },
            Map with { SegmentBits = 7, Chains = [.. Map.Chains, .. Map.Chains] },

            // One version has one content; if it ever had two, the reader would notice.
            Map with { Chains = [Map.Chains[0] with { Epoch = 2 }, .. Map.Chains[1..]] },
            Map with { Chains = [Map.Chains[0] with { IsDown = true }, .. Map.Chains[1..]] },
            Map with { Chains = [Map.Chains[0] with { Members = [new ChainMember(0, 1)] }, .. Map.Chains[1..]] },
            Map with { Tables = [Map.Tables[0]] },
        ];
        Assert.All(others, other => Assert.False(MapDifference.TryApply(other, bytes, out _)));
        Assert.False(MapDifference.TryApply(Map, [], out _));
        Assert.False(MapDifference.TryApply(Map, MapDifference.Encode(Next, Next with { Version = Next.Version + 1 }), out _));
    }

    [Fact]
    public void A_difference_whose_map_contradicts_itself_is_refused()
    {
        ClusterMap[] unsound =
        [
            Next with { Members = [Next.Members[0], Next.Members[0], Next.Members[2]] },
            Next with { NextSession = 2 },
            Next with { Members = [] },
            Next with { Chains = [new MapChain(1, [ChainMember.Complete(3)]), .. Next.Chains[1..]] },
            Next with { Chains = [Next.Chains[0] with { Epoch = Next.Version + 1 }, .. Next.Chains[1..]] },
            Next with { Version = Map.Version },
        ];
        Assert.All(unsound, map => Assert.False(MapDifference.TryApply(Map, MapDifference.Encode(Map, map), out _)));
    }

    [Fact]
    public void Every_shorter_length_is_refused()
    {
        byte[] bytes = MapDifference.Encode(Map, Next);
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(MapDifference.TryApply(Map, bytes.AsSpan(0, length), out _));
        }

        Assert.False(MapDifference.TryApply(Map, [.. bytes, 0], out _));
    }

    [Fact]
    public void Mutated_differences_never_throw_and_give_the_promised_map_or_none()
    {
        byte[] sound = MapDifference.Encode(Map, Next), expected = MapEncoding.Encode(Next);
        Rng rng = new(3);
        for (int i = 0; i < 200_000; i++)
        {
            byte[] bytes = (byte[])sound.Clone();
            for (int change = rng.Below(3); change >= 0; change--)
            {
                bytes[rng.Below(bytes.Length)] = rng.Chance(1, 2) ? (byte)rng.Next() : (byte)(rng.Below(2) * 255);
            }

            Assert.True(!MapDifference.TryApply(Map, bytes, out ClusterMap read) || MapEncoding.Encode(read).AsSpan().SequenceEqual(expected));
        }
    }
}
