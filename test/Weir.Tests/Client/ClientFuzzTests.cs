using Weir.Client;
using Weir.Sim;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Client;

/// <summary>
/// A real client under answers whose checksums are right and whose contents are not: calls may fail or come back wrong, but no server can make
/// the client throw (G10 the other way round). Half of what a real server answers is mutated on its way.
/// </summary>
public class ClientFuzzTests
{
    private const int Clients = 12;
    private const int Rounds = 12;
    private const int Keys = 300;
    private const int Width = 3;

    [Theory]
    [InlineData(1, Filters.None)]
    [InlineData(2, Filters.Lossless)]
    [InlineData(3, Filters.KeyCache)]
    [InlineData(4, Filters.Lossless | Filters.RoundToInt8)]
    [InlineData(5, Filters.RoundToBFloat16)]
    [InlineData(6, Filters.Lz4 | Filters.Lossless)]
    public void A_client_survives_mutated_answers(ulong seed, Filters filters)
    {
        using var cluster = new SimCluster(seed, servers: 2);
        var rng = new Rng(seed);
        var peer = new Liar(cluster.Pool, rng);
        cluster.Run(async () =>
        {
            for (int i = 0; i < Clients; i++)
            {
                cluster.Network.Forge = null;
                WeirClient client = await cluster.ConnectAsync($"c{i}", new ClientOptions { Filters = filters, DeadlineMs = 2_000, RetryMs = 100 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width });
                await client.PushAsync(table, new ulong[] { 1 }, new float[Width]);
                cluster.Network.Forge = peer.Forge;
                for (int round = 0; round < Rounds; round++)
                {
                    ulong[] keys = [.. Enumerable.Range(0, Keys).Select(_ => (ulong)rng.Below(2 * Keys))];
                    await Task.WhenAll(
                        EndsAsync(client.PushAsync(table, keys, new float[Keys * Width])),
                        EndsAsync(client.PullAsync(table, keys, new float[Keys * Width])),
                        EndsAsync(client.PushPullAsync(table, keys, new float[Keys * Width], new float[Keys * Width])));
                }

                cluster.Kill(client);
            }

            Assert.InRange(peer.Lies, Clients * Rounds, int.MaxValue);
            cluster.Network.Forge = null;
            WeirClient honest = await cluster.ConnectAsync("honest", new ClientOptions { Filters = filters & Filters.Lossless });
            WeirTable served = await honest.OpenTableAsync(new TableOptions { Name = "t", Width = Width });
            float[] row = new float[Width];
            await honest.SetAsync(served, new ulong[] { 9 }, new float[] { 1, 2, 3 });
            await honest.PullAsync(served, new ulong[] { 9 }, row);
            Assert.Equal([1, 2, 3], row);
        }, limitMs: 3_600_000);
    }

    private static async Task EndsAsync(Task call)
    {
        try
        {
            await call;
        }
        catch (WeirException)
        {
            // A lie may fail a call; it must not break the client, which a throw out of the simulation would show.
        }
    }

    private sealed class Liar(FramePool pool, Rng rng)
    {
        // What is mutated now, and what came before it, for splices.
        private readonly List<byte[]> _samples = [[], []];

        public int Lies { get; private set; }

        public FrameBuffer Forge(SimPort from, SimPort to, FrameBuffer frame)
        {
            if (to.Machine is not ClientCore || rng.Chance(1, 2) || (FrameKind)frame.Span[5] == FrameKind.AdminReply)
            {
                return frame;
            }

            // A mutated map that is sound ends the client's chances of any answer: enough to meet it now and then.
            if ((FrameKind)frame.Span[5] == FrameKind.ReadMapReply && !rng.Chance(1, 4))
            {
                return frame;
            }

            (_samples[1], _samples[0]) = (_samples[0], frame.Span.ToArray());
            Span<byte> mutated = new FrameMutator(_samples, rng).Next();
            if (mutated.Length < FrameHeader.Size)
            {
                return frame;
            }

            FrameMutator.Reseal(mutated);
            frame.Release();
            FrameBuffer lie = pool.Rent(mutated.Length);
            mutated.CopyTo(lie.Span);
            Lies++;
            return lie;
        }
    }
}
