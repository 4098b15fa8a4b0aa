using Weir.Host;
using Weir.Host.Sockets;
using Weir.Tests.Learn;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

public class SocketEchoTests
{
    [Theory]
    [InlineData(true, false)]
    [InlineData(false, false)]
    [InlineData(true, true)]
    [InlineData(false, true)]
    public async Task Frames_of_every_size_come_back_whole_and_in_order(bool atEndOfTurn, bool unix)
    {
        using var folder = new ScratchFolder();
        await using var server = new EchoServer(atEndOfTurn: atEndOfTurn, listen: unix ? $"unix:{folder["echo"]}" : null);
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        LinkId link = client.Network.Open(server.Address);
        int[] bodies = [0, 1, 63, 64, 447, 448, 449, 4000, 4032, 16_320, 16_321, 32_700, 65_000, 100_000, 262_080, 262_081, 500_000, FrameHeader.MaxBodyBytes];
        for (int i = 0; i < bodies.Length; i++)
        {
            client.Network.Send(link, TestFrames.Make(client.Pool, (ulong)i, bodies[i]));
        }

        for (int i = 0; i < bodies.Length; i++)
        {
            FrameBuffer frame = await client.Machine.NextAsync();
            Assert.Equal((ulong)i, TestFrames.RequestId(frame));
            Assert.Equal(TestFrames.Bytes((ulong)i, bodies[i]), frame.Span.ToArray());
            frame.Release();
        }

        await NothingLeaked(server, client.Pool);
    }

    [Fact]
    public async Task Two_hundred_callers_at_once_each_get_their_own_answers()
    {
        await using var server = new EchoServer();
        await using var client = new SocketClientSide<CallingMachine>(network => new CallingMachine(network));
        LinkId link = client.Network.Open(server.Address);
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 200),
            new ParallelOptions { MaxDegreeOfParallelism = 200, CancellationToken = TestContext.Current.CancellationToken },
            async (caller, _) =>
            {
                for (int call = 0; call < 20; call++)
                {
                    ulong request = (ulong)((caller * 1000) + call);
                    int body = (caller * 37) + (call * 101);
                    Assert.Equal(FrameHeader.Size + body, await client.Machine.CallAsync(link, TestFrames.Make(client.Pool, request, body)));
                }
            });
        await NothingLeaked(server, client.Pool);
    }

    [Fact]
    public async Task Many_threads_that_send_over_one_connection_as_it_falls_idle_lose_and_tear_nothing()
    {
        await using var server = new EchoServer(atEndOfTurn: false);
        await using var client = new SocketClientSide<CallingMachine>(network => new CallingMachine(network));
        LinkId link = client.Network.Open(server.Address);
        const int Threads = 4;
        const int PerThread = 10_000;
        await Task.WhenAll(Enumerable.Range(0, Threads).Select(thread => Task.Run(
            async () =>
            {
                var calls = new List<Task<int>>();
                for (int i = 0; i < PerThread; i++)
                {
                    ulong request = (ulong)((thread * PerThread) + i);
                    calls.Add(client.Machine.CallAsync(link, TestFrames.Make(client.Pool, request, i % 50)));
                    if (calls.Count >= 3)
                    {
                        await Task.WhenAll(calls);
                        calls.Clear();
                    }
                }

                await Task.WhenAll(calls);
            },
            TestContext.Current.CancellationToken)));
        await NothingLeaked(server, client.Pool);
        Assert.Equal(Threads * PerThread, client.Network.Tally.FramesIn);
    }

    [Fact]
    public async Task What_both_sides_count_is_the_same()
    {
        await using var server = new EchoServer();
        await using var client = new SocketClientSide<CallingMachine>(network => new CallingMachine(network));
        LinkId link = client.Network.Open(server.Address);
        for (ulong i = 0; i < 10; i++)
        {
            await client.Machine.CallAsync(link, TestFrames.Make(client.Pool, i, 1000));
        }

        await Until.TrueAsync(() => server.Network.Tally.FramesOut == 10, "the server counts its last write");
        const int Bytes = 10 * (1000 + FrameHeader.Size);
        Assert.Equal((10, Bytes, 10, Bytes), Counts(client.Network.Tally));
        Assert.Equal((10, Bytes, 10, Bytes), Counts(server.Network.Tally));
    }

    [Fact]
    public async Task A_node_that_stops_first_sends_what_it_has_queued()
    {
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        var server = new EchoServer();
        LinkId link = client.Network.Open(server.Address);
        const int Frames = 20;
        for (ulong i = 0; i < Frames; i++)
        {
            client.Network.Send(link, TestFrames.Make(client.Pool, i, 500_000));
        }

        await Until.TrueAsync(() => server.Network.Tally.FramesIn == Frames && server.Loop.QueuedBytes == 0, "the node has all frames");
        await server.DisposeAsync();
        for (ulong i = 0; i < Frames; i++)
        {
            FrameBuffer frame = await client.Machine.NextAsync();
            Assert.Equal(i, TestFrames.RequestId(frame));
            frame.Release();
        }

        Assert.Equal("closed by the peer", await client.Machine.NextDownAsync());
        await NothingLeaked(server, client.Pool);
    }

    [Fact]
    public async Task A_peer_that_does_not_read_is_given_up_at_the_bound_and_its_frames_come_back_to_the_pool()
    {
        var options = SocketOptions.Default with { MaxQueuedBytes = 4 << 20, RoomBytes = 1 << 20, MaxConnectingBytes = 2 << 20 };
        await using var server = new EchoServer(options);
        using System.Net.Sockets.Socket silent = await server.ConnectAsync();
        byte[] frame = TestFrames.Bytes(1, 900_000);
        await Assert.ThrowsAnyAsync<System.Net.Sockets.SocketException>(async () =>
        {
            for (int i = 0; i < 200; i++)
            {
                await silent.WriteAsync(frame);
            }
        });
        await Until.TrueAsync(() => server.Machine.Downs.Any(reason => reason.Contains("does not keep up", StringComparison.Ordinal)), "the node hears why");
        await Until.TrueAsync(() => server.Pool.Rented == 0, "all frames came back");
    }

    private static (long FramesIn, long BytesIn, long FramesOut, long BytesOut) Counts(TransportTally tally) =>
        (tally.FramesIn, tally.BytesIn, tally.FramesOut, tally.BytesOut);

    private static async Task NothingLeaked(EchoServer server, FramePool client)
    {
        await Until.TrueAsync(() => server.Pool.Rented == 0 && client.Rented == 0, "every buffer is back in its pool");
    }
}
