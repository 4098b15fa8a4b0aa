using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Client;
using Weir.Host;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Tests.Host;

public class SocketBackPressureTests
{
    [Fact]
    public async Task While_a_node_is_busy_its_reader_stops_reading_and_nothing_is_lost()
    {
        const int Bound = 2 << 20;
        const int Frames = 60;
        var pool = new FramePool();
        var machine = new CountingMachine();
        await using var network = new SocketNetwork(SocketOptions.Default, NullLogger.Instance);
        await using var loop = new NodeLoop(
            machine, new HostTimers(), HostOptions.Default with { MailboxBytes = Bound }, NullLogger.Instance, "node", pool);
        network.Attach(loop);
        string address = network.Listen(new IPEndPoint(IPAddress.Loopback, 0));
        await using var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine());
        LinkId link = client.Network.Open(address);

        // A thread of the test's own is kept inside the loop, so that the transport's threads stay free.
        using var gate = new SemaphoreSlim(0);
        using var entered = new SemaphoreSlim(0);
        Task busy = Task.Run(
            () => loop.AskAsync(_ =>
            {
                entered.Release();
                gate.Wait();
                return 0;
            }),
            TestContext.Current.CancellationToken);
        await entered.WaitAsync(TestContext.Current.CancellationToken);
        for (int i = 0; i < Frames; i++)
        {
            client.Network.Send(link, TestFrames.Make(client.Pool, (ulong)i, 250_000));
            await Until.TrueAsync(() => client.Pool.Rented < 4 || loop.QueuedBytes >= Bound, "the frame is on its way");
        }

        await Until.TrueAsync(() => loop.QueuedBytes >= Bound, "the mailbox reaches its bound");
        Assert.True(loop.QueuedBytes < Bound + FramePool.MaxFrameBytes, "the reader goes at most one frame over the bound");
        Assert.True(client.Pool.Rented > 0, "the sender keeps what the node has no room for");

        gate.Release();
        await busy;
        await Until.TrueAsync(() => machine.Handled == Frames, "every frame comes through");
        Assert.Equal(0, loop.DroppedFrames);
        Assert.Equal(0, pool.Rented);
    }

    /// <summary>A pull of many times what a connection may queue: the node sends as the client reads, and the connection stands.</summary>
    [Fact]
    public async Task A_pull_of_far_more_than_a_connection_queues_is_answered_over_it()
    {
        const int Rows = 600;
        const int Width = 16_384;
        SocketOptions sockets = SocketOptions.Default with { MaxQueuedBytes = 4 << 20, RoomBytes = 1 << 20, MaxConnectingBytes = 4 << 20 };
        using var log = new RecordingLog();
        await using WeirServer server = await WeirHost.ServeAsync(
            new ServeOptions { SegmentBits = 6, Host = HostOptions.Default with { Sockets = sockets } }, log, TestContext.Current.CancellationToken);
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], cancellation: TestContext.Current.CancellationToken);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "wide", Width = Width }, TestContext.Current.CancellationToken);
        ulong[] keys = [.. Enumerable.Range(0, Rows).Select(key => (ulong)key)];
        float[] values = new float[Rows * Width];
        for (int row = 0; row < Rows; row++)
        {
            values.AsSpan(row * Width, Width).Fill(row + 1);
        }

        await client.SetAsync(table, keys, values, TestContext.Current.CancellationToken);
        float[] pulled = new float[values.Length];
        await client.PullAsync(table, keys, pulled, TestContext.Current.CancellationToken);
        Assert.Equal(values, pulled);
        Assert.Equal(1, log.Lines.Count(line => line.Contains(" 1002 connected", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task The_meters_count_frames_bytes_and_connections()
    {
        var sums = new System.Collections.Concurrent.ConcurrentDictionary<string, long>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, self) =>
        {
            if (instrument.Meter.Name == HostMeters.MeterName)
            {
                self.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            string tag = tags.Length > 0 ? $" {tags[0].Value}" : "";
            sums.AddOrUpdate(instrument.Name + tag, value, (_, sum) => sum + value);
        });
        listener.Start();
        await using (var server = new EchoServer())
        await using (var client = new SocketClientSide<CallingMachine>(network => new CallingMachine(network)))
        {
            await client.Machine.CallAsync(client.Network.Open(server.Address), TestFrames.Make(client.Pool, 1, 1000));
            listener.RecordObservableInstruments();
        }

        // Other tests run beside this one, so these are lower bounds: this exchange is in them.
        Assert.InRange(sums["weir.network.frames receive"], 2, long.MaxValue);
        Assert.InRange(sums["weir.network.io transmit"], 2 * 1064, long.MaxValue);
        Assert.True(sums.ContainsKey("weir.network.connections"));
        Assert.True(sums.ContainsKey("weir.queue.size mailbox"));
        Assert.True(sums.ContainsKey("weir.queue.size send"));
    }

    [Theory]
    [InlineData("127.0.0.1:4000", "127.0.0.1", 4000)]
    [InlineData("node7:1", "node7", 1)]
    [InlineData("[::1]:4000", "::1", 4000)]
    [InlineData("localhost:0", "localhost", 0)]
    public void An_address_is_read_and_written_alike(string text, string host, int port)
    {
        Assert.True(HostAddress.TryParse(text, out HostAddress address, out _));
        Assert.Equal(new HostAddress(host, port), address);
        Assert.Equal(text, address.ToString());
    }

    [Theory]
    [InlineData("")]
    [InlineData("4000")]
    [InlineData(":4000")]
    [InlineData("host:")]
    [InlineData("host:-1")]
    [InlineData("host:65536")]
    [InlineData("::1:4000")]
    [InlineData("ho st:1")]
    public void What_is_no_address_is_said_so(string text)
    {
        Assert.False(HostAddress.TryParse(text, out _, out string? fault));
        Assert.StartsWith($"'{text}' is no address", fault, StringComparison.Ordinal);
    }

    private sealed class CountingMachine : IMachine
    {
        private int _handled;

        public int Handled => Volatile.Read(ref _handled);

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            frame.Release();
            Interlocked.Increment(ref _handled);
        }

        public void LinkDown(LinkId link, string reason, Instant now)
        {
        }

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
        }
    }
}
