using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host;
using Weir.Host.Loops;
using Weir.World;

namespace Weir.Tests.Host;

public class NodeLoopTests
{
    private static readonly TimeSpan Patience = ListeningMachine.Patience;

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public async Task Posts_from_many_threads_are_handled_one_at_a_time_and_none_is_lost(int framesPerPost)
    {
        var pool = new FramePool();
        var machine = new SerialMachine();
        await using NodeLoop loop = Loop(machine, pool);
        const int Threads = 8;
        const int PerThread = 20_000;
        await Task.WhenAll(Enumerable.Range(0, Threads).Select(thread => Task.Run(
            () =>
            {
                for (int i = 0; i < PerThread; i++)
                {
                    loop.Receive(new LinkId(thread), Numbered(pool, i));
                    if (i % framesPerPost == framesPerPost - 1 || i == PerThread - 1)
                    {
                        loop.EndReceive();
                    }
                }
            },
            TestContext.Current.CancellationToken)));

        // Asked like any other post, so it comes after all of them: nothing may be left behind in a loop that fell asleep.
        long handled = await loop.AskAsync(_ => machine.Handled).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal(Threads * PerThread, handled + loop.DroppedFrames);
        Assert.Equal(0, machine.Overlaps);
        Assert.Equal(0, machine.OutOfOrder);
        Assert.Equal(0, loop.DroppedFrames);
        Assert.Equal(0, pool.Rented);
    }

    [Fact]
    public async Task A_turn_ends_where_the_machine_says_that_it_is_full_and_the_rest_is_the_next_one()
    {
        var pool = new FramePool();
        var machine = new ThreeAtATimeMachine();
        await using NodeLoop loop = Loop(machine, pool);
        for (int i = 0; i < 11; i++)
        {
            loop.Receive(new LinkId(1), Numbered(pool, i));
        }

        loop.EndReceive();
        int[] turns = await loop.AskAsync(_ => machine.Turns.ToArray()).WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal([3, 3, 3, 2], turns);
        Assert.Equal(0, pool.Rented);
    }

    [Fact]
    public async Task No_post_is_left_asleep_when_it_races_with_a_loop_that_goes_idle()
    {
        var pool = new FramePool();
        var machine = new SerialMachine();

        // Without ticks, which would wake a loop that fell asleep over a post.
        await using var loop = new NodeLoop(
            machine, new HostTimers(), HostOptions.Default, NullLogger.Instance, "node", pool, Timeout.Infinite);

        // Two threads that each wait for their own frame to be handled before the next: the loop goes idle all the time.
        await Task.WhenAll(Enumerable.Range(0, 2).Select(thread => Task.Run(
            async () =>
            {
                for (int i = 0; i < 20_000; i++)
                {
                    int expected = i + 1;
                    loop.Receive(new LinkId(thread), Numbered(pool, i));
                    loop.EndReceive();
                    if (Volatile.Read(ref machine.PerLink[thread]) < expected)
                    {
                        await Until.TrueAsync(() => Volatile.Read(ref machine.PerLink[thread]) >= expected, "a frame is handled without another one's help");
                    }
                }
            },
            TestContext.Current.CancellationToken)));
        Assert.Equal(0, machine.Overlaps);
        Assert.Equal(40_000, machine.Handled);
    }

    [Fact]
    public async Task A_lone_frame_is_handled_on_the_thread_that_brings_it_and_the_turn_is_ended()
    {
        var machine = new SerialMachine();
        await using NodeLoop loop = Loop(machine, FramePool.Shared);
        int here = 0;
        for (int i = 0; i < 100; i++)
        {
            loop.Receive(new LinkId(1), Numbered(FramePool.Shared, i));
            loop.EndReceive();
            here += Volatile.Read(ref machine.Handled) == i + 1 && machine.LastThread == Environment.CurrentManagedThreadId ? 1 : 0;
        }

        // A tick may have had the loop at a moment; then it takes the frame along.
        await Until.TrueAsync(() => machine.Handled == 100 && machine.Ticks > 0, "all are handled, and the loop ticks by itself");
        Assert.InRange(here, 90, 100);
        Assert.InRange(machine.TurnsEnded, 90, int.MaxValue);
    }

    [Fact]
    public async Task A_machine_that_throws_stops_its_own_loop_only_and_gives_every_buffer_back()
    {
        var log = new RecordingLog();
        var pool = new FramePool();
        var bad = new NodeLoop(new ThrowingMachine(), new HostTimers(), HostOptions.Default, log, "node 3", pool);
        var goodMachine = new SerialMachine();
        await using NodeLoop good = Loop(goodMachine, pool);
        for (int i = 0; i < 10; i++)
        {
            bad.Receive(new LinkId(1), Numbered(pool, i));
        }

        bad.EndReceive();
        var fault = await Assert.ThrowsAsync<InvariantException>(() => bad.Completion.WaitAsync(Patience, TestContext.Current.CancellationToken));
        Assert.Contains("the fourth frame", fault.Message, StringComparison.Ordinal);
        Assert.Contains(log.Lines, line => line.StartsWith("Critical 1100 node 3 stopped", StringComparison.Ordinal));
        Assert.Equal(0, pool.Rented);

        bad.Receive(new LinkId(1), Numbered(pool, 11));
        bad.EndReceive();
        Assert.Equal(0, pool.Rented);
        await Assert.ThrowsAsync<ObjectDisposedException>(() => bad.AskAsync(_ => 1));
        good.Receive(new LinkId(1), Numbered(pool, 0));
        good.EndReceive();
        await Until.TrueAsync(() => goodMachine.Handled == 1, "the other node serves on");
        await bad.DisposeAsync();
    }

    [Fact]
    public async Task A_mailbox_over_its_bound_asks_readers_to_wait_and_at_twice_the_bound_drops()
    {
        var pool = new FramePool();
        using var gate = new SemaphoreSlim(0);
        var machine = new SerialMachine { BeforeEach = gate.Wait };
        await using var loop = new NodeLoop(
            machine, new HostTimers(), HostOptions.Default with { MailboxBytes = 1 << 20 }, NullLogger.Instance, "node", pool);
        Task running = Task.Run(
            () =>
            {
                loop.Receive(new LinkId(0), Numbered(pool, 0));
                loop.EndReceive();
            },
            TestContext.Current.CancellationToken);
        await Until.TrueAsync(() => machine.Entered, "the machine is at work");
        for (int i = 1; i < 10; i++)
        {
            loop.Receive(new LinkId(0), Numbered(pool, i, 250_000));
        }

        Assert.True(loop.DroppedFrames > 0);
        Assert.True(loop.QueuedBytes < (2 << 20) + FramePool.MaxFrameBytes);
        Task room = loop.RoomAsync().AsTask();
        Assert.False(room.IsCompleted);
        gate.Release(100);
        await room.WaitAsync(Patience, TestContext.Current.CancellationToken);
        await running;
        await Until.TrueAsync(() => pool.Rented == 0, "what was taken is handled");
        Assert.Equal(10, machine.Handled + loop.DroppedFrames);
    }

    [Fact]
    public async Task Loops_that_answer_each_other_at_once_do_not_nest()
    {
        var hub = new Weir.Host.InProcess.InProcessHub();
        await using Weir.Host.InProcess.InProcessNetwork a = hub.Join("a");
        await using Weir.Host.InProcess.InProcessNetwork b = hub.Join("b");
        var ping = new PingPongMachine(a, 5_000);
        var pong = new PingPongMachine(b, int.MaxValue);
        await using NodeLoop loopA = Loop(ping, FramePool.Shared);
        await using NodeLoop loopB = Loop(pong, FramePool.Shared);
        a.Attach(loopA);
        b.Attach(loopB);
        a.Send(a.Open("b"), Numbered(FramePool.Shared, 1));
        await ping.Done.Task.WaitAsync(Patience, TestContext.Current.CancellationToken);
        Assert.Equal(1, ping.DeepestStack);
        Assert.Equal(1, pong.DeepestStack);
    }

    private static NodeLoop Loop(IMachine machine, FramePool pool) =>
        new(machine, new HostTimers(), HostOptions.Default, NullLogger.Instance, "node", pool);

    private static FrameBuffer Numbered(FramePool pool, int number, int bytes = 64)
    {
        FrameBuffer frame = pool.Rent(bytes);
        BitConverter.TryWriteBytes(frame.Span, number);
        return frame;
    }

    private sealed class SerialMachine : IMachine
    {
        private int _inside;

        public int[] PerLink { get; } = new int[16];

        public int Handled;
        public int Overlaps;
        public int OutOfOrder;
        public int TurnsEnded;
        public int Ticks;
        public int LastThread;

        public Action? BeforeEach { get; init; }

        public volatile bool Entered;

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            Enter();
            Entered = true;
            BeforeEach?.Invoke();
            int number = BitConverter.ToInt32(frame.Span);
            if (number != PerLink[link.Value] && BeforeEach is null)
            {
                OutOfOrder++;
            }

            frame.Release();
            LastThread = Environment.CurrentManagedThreadId;
            Handled++;
            Volatile.Write(ref PerLink[link.Value], number + 1);
            Leave();
        }

        public void LinkDown(LinkId link, string reason, Instant now)
        {
        }

        public void Tick(Instant now)
        {
            Enter();
            Ticks++;
            Leave();
        }

        public void EndTurn()
        {
            Enter();
            TurnsEnded++;
            Leave();
        }

        private void Enter()
        {
            if (Interlocked.Increment(ref _inside) != 1)
            {
                Overlaps++;
            }
        }

        private void Leave() => Interlocked.Decrement(ref _inside);
    }

    private sealed class ThrowingMachine : IMachine
    {
        private int _frames;

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            frame.Release();
            Invariant.That(++_frames < 4, "the fourth frame breaks it");
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

    /// <summary>Says after every third frame that its turn is full, and notes how many frames each turn had.</summary>
    private sealed class ThreeAtATimeMachine : IMachine
    {
        private int _inTurn;

        public List<int> Turns { get; } = [];

        public bool TurnIsFull => _inTurn == 3;

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            frame.Release();
            _inTurn++;
        }

        public void LinkDown(LinkId link, string reason, Instant now)
        {
        }

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
            if (_inTurn > 0)
            {
                Turns.Add(_inTurn);
            }

            _inTurn = 0;
        }
    }

    private sealed class PingPongMachine(INetwork network, int rounds) : IMachine
    {
        [ThreadStatic]
        private static int _depth;

        private int _received;

        public TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int DeepestStack { get; private set; }

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            _depth++;
            DeepestStack = Math.Max(DeepestStack, _depth);
            if (++_received == rounds)
            {
                frame.Release();
                Done.TrySetResult();
            }
            else
            {
                network.Send(link, frame);
            }

            _depth--;
        }

        public void LinkDown(LinkId link, string reason, Instant now) => Done.TrySetException(new IOException(reason));

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
        }
    }
}
