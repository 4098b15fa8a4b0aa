using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host;
using Weir.Host.InProcess;
using Weir.Host.Loops;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

public class InProcessTests
{
    private readonly InProcessHub _hub = new();
    private readonly FramePool _pool = new();

    [Fact]
    public async Task Frames_of_every_size_come_back_whole_in_order_and_uncopied()
    {
        await using InProcessNetwork server = Server("inproc:1", out NodeLoop loop);
        await using NodeLoop _ = loop;
        await using InProcessNetwork client = Client(out ListeningMachine machine, out ClientLoop clientLoop);
        await using ClientLoop __ = clientLoop;
        LinkId link = client.Open("inproc:1");
        int[] bodies = [0, 1, 100, 4000, 5000, 70_000, FrameHeader.MaxBodyBytes];
        FrameBuffer[] sent = [.. bodies.Select((bytes, i) => TestFrames.Make(_pool, (ulong)i, bytes))];
        foreach (FrameBuffer frame in sent)
        {
            client.Send(link, frame);
        }

        foreach (FrameBuffer frame in sent)
        {
            FrameBuffer answer = await machine.NextAsync();
            Assert.Same(frame, answer);
            TestFrames.Header(answer.Span);
            answer.Release();
        }

        Assert.Equal(0, _pool.Rented);
    }

    [Fact]
    public async Task Two_hundred_callers_at_once_each_get_their_own_answers()
    {
        await using InProcessNetwork server = Server("inproc:1", out NodeLoop loop);
        await using NodeLoop _ = loop;
        await using InProcessNetwork client = _hub.Join(null);
        var machine = new CallingMachine(client);
        await using var clientLoop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "client");
        client.Attach(clientLoop);
        LinkId link = client.Open("inproc:1");
        await Parallel.ForEachAsync(
            Enumerable.Range(0, 200),
            new ParallelOptions { MaxDegreeOfParallelism = 200, CancellationToken = TestContext.Current.CancellationToken },
            async (caller, _) =>
            {
                for (int call = 0; call < 50; call++)
                {
                    int body = (caller * 37) + (call * 101);
                    Assert.Equal(FrameHeader.Size + body, await machine.CallAsync(link, TestFrames.Make(_pool, (ulong)((caller * 1000) + call), body)));
                }
            });
        Assert.Equal(0, _pool.Rented);
    }

    [Fact]
    public async Task The_same_exchange_counts_the_same_bytes_in_process_and_over_tcp()
    {
        await using InProcessNetwork server = Server("inproc:1", out NodeLoop loop);
        await using NodeLoop _ = loop;
        await using InProcessNetwork client = _hub.Join(null);
        var inProcess = new CallingMachine(client);
        await using var clientLoop = new ClientLoop(inProcess, new HostTimers(), NullLogger.Instance, "client");
        client.Attach(clientLoop);
        await using var tcpServer = new EchoServer();
        await using var tcp = new SocketClientSide<CallingMachine>(network => new CallingMachine(network));

        for (int i = 0; i < 20; i++)
        {
            await inProcess.CallAsync(client.Open("inproc:1"), TestFrames.Make(_pool, (ulong)i, i * 1000));
            await tcp.Machine.CallAsync(tcp.Network.Open(tcpServer.Address), TestFrames.Make(tcp.Pool, (ulong)i, i * 1000));
        }

        Assert.Equal(20, client.Tally.FramesOut);
        await Until.TrueAsync(() => tcpServer.Network.Tally.FramesOut == 20, "the last write is counted");
        Assert.Equal(Counts(client.Tally), Counts(tcp.Network.Tally));
        Assert.Equal(Counts(server.Tally), Counts(tcpServer.Network.Tally));
    }

    [Fact]
    public async Task Nobody_at_an_address_is_said_and_who_comes_later_is_found()
    {
        await using InProcessNetwork client = Client(out ListeningMachine machine, out ClientLoop clientLoop);
        await using ClientLoop _ = clientLoop;
        LinkId link = client.Open("inproc:1");
        client.Send(link, TestFrames.Make(_pool, 1, 10));
        Assert.Equal("nobody at inproc:1: no machine of this process has that address", await machine.NextDownAsync());
        Assert.Equal(0, _pool.Rented);

        InProcessNetwork server = Server("inproc:1", out NodeLoop loop);
        client.Send(link, TestFrames.Make(_pool, 2, 10));
        (await machine.NextAsync()).Release();
        await server.DisposeAsync();
        await loop.DisposeAsync();
        Assert.Equal("closed by the peer", await machine.NextDownAsync());
        client.Send(link, TestFrames.Make(_pool, 3, 10));
        Assert.StartsWith("nobody at inproc:1", await machine.NextDownAsync(), StringComparison.Ordinal);
        Assert.Equal(0, _pool.Rented);
    }

    [Fact]
    public async Task A_client_is_never_entered_from_within_its_own_send()
    {
        await using InProcessNetwork server = Server("inproc:1", out NodeLoop loop);
        await using NodeLoop _ = loop;
        await using InProcessNetwork client = _hub.Join(null);
        var machine = new ReentryMachine(client);
        await using var clientLoop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "client");
        client.Attach(clientLoop);
        for (ulong i = 0; i < 200; i++)
        {
            machine.Send(client.Open(i % 10 == 0 ? "inproc:nobody" : "inproc:1"), TestFrames.Make(_pool, i, 10));
        }

        await Until.TrueAsync(() => machine.Answers == 200, "every send is answered or refused");
        Assert.Equal(0, machine.Reentries);
    }

    [Fact]
    public async Task An_address_belongs_to_one_machine()
    {
        await using InProcessNetwork first = _hub.Join("inproc:1");
        Assert.Contains("inproc:1 is taken", Assert.Throws<ArgumentException>(() => _hub.Join("inproc:1")).Message, StringComparison.Ordinal);
    }

    private static (long FramesIn, long BytesIn, long FramesOut, long BytesOut) Counts(TransportTally tally) =>
        (tally.FramesIn, tally.BytesIn, tally.FramesOut, tally.BytesOut);

    private InProcessNetwork Server(string address, out NodeLoop loop)
    {
        InProcessNetwork network = _hub.Join(address);
        loop = new NodeLoop(new EchoMachine(network), new HostTimers(), HostOptions.Default, NullLogger.Instance, address);
        network.Attach(loop);
        return network;
    }

    private InProcessNetwork Client(out ListeningMachine machine, out ClientLoop loop)
    {
        InProcessNetwork network = _hub.Join(null);
        machine = new ListeningMachine();
        loop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "client");
        network.Attach(loop);
        return network;
    }

    private sealed class ReentryMachine(INetwork network) : IMachine
    {
        [ThreadStatic]
        private static bool _sending;

        private int _answers;
        private int _reentries;

        public int Answers => Volatile.Read(ref _answers);

        public int Reentries => Volatile.Read(ref _reentries);

        public void Send(LinkId link, FrameBuffer frame)
        {
            _sending = true;
            network.Send(link, frame);
            _sending = false;
        }

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            frame.Release();
            Count();
        }

        public void LinkDown(LinkId link, string reason, Instant now) => Count();

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
        }

        private void Count()
        {
            if (_sending)
            {
                Interlocked.Increment(ref _reentries);
            }

            Interlocked.Increment(ref _answers);
        }
    }
}
