using Weir.Placement;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>
/// A real node under frames whose checksums are right and whose contents are not (G10: nothing a peer sends can crash a node). Every frame
/// it sends back is read by the production readers; afterwards it serves a well-behaved client, and no buffer has leaked.
/// </summary>
public class ServerFuzzTests
{
    private const int Rounds = 60;
    private const int FramesARound = 1500;
    private static readonly LinkId Fuzzer = new(1);
    private static readonly LinkId Client = new(2);

    [Theory]
    [InlineData(1, 1L << 40)]
    [InlineData(2, 1L << 20)]
    public void The_node_with_the_register_survives_mutated_frames_and_serves_on(ulong seed, long memoryLimitBytes)
    {
        int served = 0;
        for (int round = 0; round < Rounds; round++)
        {
            FramePool pool = new();
            FuzzNetwork network = new(Client);
            var options = new ServerOptions
            {
                Node = 1,
                Incarnation = 1,
                Cluster = FrameSamples.Cluster,
                Address = "a",
                SegmentBits = FrameSamples.SegmentBits,
                MemoryLimitBytes = memoryLimitBytes,
            };
            using (ServerNode node = new(options, network, pool: pool))
            {
                var peer = new FuzzPeer(node, pool, network, Client);
                FrameSamples.Names names = peer.OpenEverything();
                Fuzz(node, pool, names, (seed << 32) + (ulong)round);
                served += peer.PushesAndPulls("afterwards") ? 1 : 0;
            }

            Assert.Equal(0, pool.Rented);
        }

        // In a few rounds a swapped map, which any node may write, has given every segment to another, or a foreign proposer wrote to the register.
        Assert.InRange(served, Rounds * 9 / 10, Rounds);
    }

    [Fact]
    public void A_node_that_joined_survives_mutated_frames()
    {
        for (int round = 0; round < Rounds; round++)
        {
            FramePool pool = new();
            FuzzNetwork network = new(Client);
            var options = new ServerOptions { Node = 2, Incarnation = 22, Cluster = FrameSamples.Cluster, Address = "b", Join = "a" };
            using (ServerNode node = new(options, network, pool: pool))
            {
                FrameSamples.Names names = FrameSamples.Names.Default;
                var peer = new FuzzPeer(node, pool, network, Client);
                if (round % 4 != 0)
                {
                    peer.Send(FrameSamples.Frame(FrameKind.ReadMapReply, new RawBody(MapEncoding.Encode(FrameSamples.Map(names))), names));
                    Assert.NotNull(node.Map);
                }

                Fuzz(node, pool, names, (3UL << 32) + (ulong)round);
            }

            Assert.Equal(0, pool.Rented);
        }
    }

    private static void Fuzz(ServerNode node, FramePool pool, FrameSamples.Names names, ulong seed)
    {
        Rng rng = new(seed);
        FrameMutator mutator = new(FrameSamples.All(names), rng);
        Instant now = new(1_000_000);
        byte[] last = [];
        try
        {
            for (int i = 0; i < FramesARound; i++)
            {
                Span<byte> mutated = mutator.Next();
                if (mutated.Length < FrameHeader.Size)
                {
                    continue;
                }

                FrameMutator.Reseal(mutated);
                last = mutated.ToArray();
                FrameBuffer frame = pool.Rent(last.Length);
                last.CopyTo(frame.Span);
                now = rng.Chance(1, 500) ? now.AfterMs(3_000) : now.AfterUs(rng.Below(2_000));
                node.Receive(Fuzzer, frame, now);
                if (rng.Chance(1, 4))
                {
                    node.EndTurn();
                }

                if (rng.Chance(1, 16))
                {
                    node.Tick(now);
                }
            }

            node.EndTurn();
        }
        catch (Exception exception) when (exception is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"seed {seed:x}: {exception}\nlast frame: {Convert.ToHexString(last)}");
        }
    }
}
