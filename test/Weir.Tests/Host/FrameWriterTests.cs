using System.Net;
using System.Net.Sockets;
using Weir.Host;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

public class FrameWriterTests
{
    [Fact]
    public async Task Writes_that_end_while_other_threads_begin_theirs_keep_the_stream_whole()
    {
        (Socket from, Socket to) = await PairAsync();
        var pool = new FramePool();
        var failures = new List<string>();
        using var writer = new FrameWriter(from, SocketOptions.Default with { MaxQueuedBytes = 1 << 30 }, new TransportTally(), failures.Add, () => { });
        const int Threads = 4;
        const int PerThread = 100_000;
        Task<int> reading = CountFramesAsync(to, Threads * PerThread);

        // Each write ends at once and the writer falls idle, again and again, while the other threads find it so or not.
        await Task.WhenAll(Enumerable.Range(0, Threads).Select(thread => Task.Run(
            () =>
            {
                for (int i = 0; i < PerThread; i++)
                {
                    writer.Send(TestFrames.Make(pool, (ulong)i, thread));
                }
            },
            TestContext.Current.CancellationToken)));
        Assert.Equal(Threads * PerThread, await reading.WaitAsync(ListeningMachine.Patience, TestContext.Current.CancellationToken));
        await writer.DrainAsync();
        Assert.Empty(failures);
        Assert.Equal(0, pool.Rented);
        from.Dispose();
        to.Dispose();
    }

    [Fact]
    public async Task Urgent_frames_pass_bulk_ones_and_small_frames_of_a_turn_leave_in_one_write()
    {
        (Socket from, Socket to) = await PairAsync();
        var pool = new FramePool();
        using var writer = new FrameWriter(from, SocketOptions.Default, new TransportTally(), Assert.Fail, () => { });
        Turn.Enter();
        writer.Send(TestFrames.Make(pool, 1, 100, FrameKind.Push));
        writer.Send(TestFrames.Make(pool, 2, 10_000, FrameKind.PullReply));
        writer.Send(TestFrames.Make(pool, 3, 100, FrameKind.Heartbeat));
        writer.Send(TestFrames.Make(pool, 4, 100, FrameKind.PushReply));
        Assert.Equal(0, to.Available);
        Turn.Exit();

        int bytes = (4 * FrameHeader.Size) + 10_300;
        byte[] stream = await to.ReadAsync(bytes);
        var order = new List<ulong>();
        for (int at = 0; at < bytes;)
        {
            Assert.Equal(HeaderFault.None, FrameHeader.TryRead(stream.AsSpan(at), out FrameHeader header));
            order.Add(header.RequestId);
            at += FrameHeader.Size + header.BodyLength;
        }

        Assert.Equal([3UL, 4UL, 1UL, 2UL], order);
        await writer.DrainAsync();
        Assert.Equal(0, pool.Rented);
        from.Dispose();
        to.Dispose();
    }

    [Fact]
    public async Task A_heartbeat_passes_the_rows_that_wait_but_not_those_under_way()
    {
        const int Rows = 60;
        (Socket from, Socket to) = await PairAsync();
        var pool = new FramePool();
        using var writer = new FrameWriter(from, SocketOptions.Default, new TransportTally(), Assert.Fail, () => { });

        // More than the system's own buffers take, as nobody reads yet.
        for (int i = 0; i < Rows; i++)
        {
            writer.Send(TestFrames.Make(pool, (ulong)i, 250_000, FrameKind.PullReply));
        }

        writer.Send(TestFrames.Make(pool, Rows, 100, FrameKind.Heartbeat));
        var sink = new CountingSink();
        await ReadAsync(to, sink, Rows + 1);
        Assert.InRange(sink.RequestIds.IndexOf(Rows), 1, Rows - 1);
        await writer.DrainAsync();
        Assert.Equal(0, pool.Rented);
        from.Dispose();
        to.Dispose();
    }

    [Fact]
    public async Task A_large_frame_is_written_from_where_it_lies()
    {
        (Socket from, Socket to) = await PairAsync();
        var pool = new FramePool();
        var tally = new TransportTally();

        // Less than the frame: the end of it still lies with the writer after it was sent.
        from.SendBufferSize = 64 << 10;
        to.ReceiveBufferSize = 64 << 10;
        using var writer = new FrameWriter(from, SocketOptions.Default, tally, Assert.Fail, () => { });
        FrameBuffer frame = TestFrames.Make(pool, 1, FrameHeader.MaxBodyBytes).Retain();
        writer.Send(frame);
        Assert.Equal(0, tally.FramesOut);
        frame.Span[^1] ^= 0xFF;
        byte[] stream = await to.ReadAsync(FramePool.MaxFrameBytes);
        Assert.Equal(frame.Span.ToArray(), stream);
        frame.Release();
        await writer.DrainAsync();
        from.Dispose();
        to.Dispose();
    }

    [Fact]
    public async Task A_queue_that_had_no_room_says_once_when_half_of_it_is_sent()
    {
        (Socket from, Socket to) = await PairAsync();
        var pool = new FramePool();
        int told = 0;
        SocketOptions options = SocketOptions.Default with { RoomBytes = 1 << 20 };
        using var writer = new FrameWriter(from, options, new TransportTally(), Assert.Fail, () => Interlocked.Increment(ref told));
        Assert.True(writer.HasRoom(0));
        Assert.False(writer.HasRoom(1 << 20));

        // The system's own buffers take some; the rest waits, as nobody reads.
        int frames = 0;
        for (; writer.HasRoom(0); frames++)
        {
            writer.Send(TestFrames.Make(pool, (ulong)frames, 250_000));
        }

        int before = Volatile.Read(ref told);
        writer.Send(TestFrames.Make(pool, (ulong)frames++, 250_000));
        Assert.False(writer.HasRoom(0));
        Assert.Equal(before, Volatile.Read(ref told));
        await CountFramesAsync(to, frames);
        await writer.DrainAsync();
        Assert.Equal(before + 1, told);
        Assert.True(writer.HasRoom(0));
        Assert.Equal(0, pool.Rented);
        from.Dispose();
        to.Dispose();
    }

    private static async Task<int> CountFramesAsync(Socket socket, int frames)
    {
        var sink = new CountingSink();
        await ReadAsync(socket, sink, frames);
        return sink.RequestIds.Count;
    }

    private static async Task ReadAsync(Socket socket, CountingSink sink, int frames)
    {
        var reader = new FrameReader(sink, new LinkId(1), new UnfinishedBytes(1 << 30), new TransportTally());
        while (sink.RequestIds.Count < frames)
        {
            int count = await socket.ReceiveAsync(reader.Free).AsTask().WaitAsync(ListeningMachine.Patience);
            if (count == 0 || reader.Advance(count) is not null)
            {
                break;
            }
        }
    }

    private static async Task<(Socket From, Socket To)> PairAsync()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        var from = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await from.ConnectAsync(listener.LocalEndPoint!);
        return (from, await listener.AcceptAsync());
    }

    private sealed class CountingSink : IFrameSink
    {
        public List<ulong> RequestIds { get; } = [];

        public FrameBuffer Place(in FrameHeader header) => FramePool.Shared.Rent(FrameHeader.Size + header.BodyLength);

        public void Receive(LinkId link, FrameBuffer frame)
        {
            FrameHeader.TryRead(frame.Span, out FrameHeader header);
            RequestIds.Add(header.RequestId);
            frame.Release();
        }

        public void EndReceive()
        {
        }

        public void LinkHasRoom(LinkId link)
        {
        }

        public void LinkDown(LinkId link, string reason)
        {
        }

        public ValueTask RoomAsync() => ValueTask.CompletedTask;
    }
}
