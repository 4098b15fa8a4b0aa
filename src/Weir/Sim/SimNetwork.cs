using System.Buffers.Binary;
using System.IO.Hashing;
using Weir.World;

namespace Weir.Sim;

/// <summary>What the simulated network does to frames: probabilities in thousandths, times in microseconds.</summary>
internal sealed record SimFaults
{
    public static readonly SimFaults None = new();

    public int LossPerMille { get; init; }

    public int DuplicatePerMille { get; init; }

    /// <summary>Frames that take many times longer than others, so that later ones overtake them.</summary>
    public int ReorderPerMille { get; init; }

    /// <summary>Answers of <see cref="INetwork.HasRoom"/> that say no; the word that there is room comes as late as a frame.</summary>
    public int FullPerMille { get; init; }

    public long MinDelayUs { get; init; } = 50;

    public long MaxDelayUs { get; init; } = 500;

    /// <summary>Extra delay of every frame to and from the slow machine.</summary>
    public long SlowDelayUs { get; init; }
}

/// <summary>How often each fault took place: a batch of seeds that never hit one has not tested it.</summary>
internal sealed record SimTally
{
    public long Lost { get; set; }

    public long Duplicated { get; set; }

    public long Reordered { get; set; }

    public long Full { get; set; }

    public long Slowed { get; set; }

    public long ProcessDeaths { get; set; }

    public long ServerDeaths { get; set; }

    public long Restarts { get; set; }

    public long Stops { get; set; }

    public long Cut { get; set; }

    public long Delivered { get; set; }

    /// <summary>Bytes of whole frames that were handed to the network, by the number of their kind on the wire.</summary>
    public long[] BytesOfKind { get; } = new long[256];
}

/// <summary>One machine's place in the simulated network.</summary>
internal sealed class SimPort(SimNetwork network, string address) : INetwork
{
    private readonly Dictionary<string, LinkId> _byAddress = [];
    private readonly Dictionary<LinkId, SimPort> _peers = [];

    public string Address { get; } = address;

    public IMachine? Machine { get; set; }

    public bool IsDead { get; set; }

    public bool IsSlow { get; set; }

    /// <summary>Nothing of this machine arrives any more, not even what was on its way when it died.</summary>
    public bool IsVanished { get; set; }

    /// <summary>What came in while the machine was stopped, in order; null while it runs.</summary>
    public Queue<Action>? Stopped { get; private set; }

    /// <summary>The machine stands still, as by SIGSTOP: what comes in waits for it.</summary>
    public void Stop() => Stopped ??= new Queue<Action>();

    /// <summary>The machine goes on, and gets what has come in meanwhile.</summary>
    public void Continue()
    {
        Queue<Action>? waiting = Stopped;
        Stopped = null;
        while (waiting is not null && waiting.TryDequeue(out Action? arrive))
        {
            arrive();
        }
    }

    public LinkId Open(string address)
    {
        if (!_byAddress.TryGetValue(address, out LinkId link))
        {
            link = network.Connect(this, address);
            _byAddress.Add(address, link);
        }

        return link;
    }

    public void Send(LinkId link, FrameBuffer frame)
    {
        if (IsDead || !_peers.TryGetValue(link, out SimPort? peer))
        {
            frame.Release();
            return;
        }

        network.Carry(this, peer, link, frame);
    }

    public bool HasRoom(LinkId link, long bytes) => network.HasRoom(this, link);

    public void Close(LinkId link) => _peers.Remove(link);

    public void Join(LinkId link, SimPort peer) => _peers[link] = peer;
}

/// <summary>
/// Carries frames between machines of one simulation: it delays, loses, duplicates and reorders them by its seed, and hashes every delivery.
/// </summary>
internal sealed class SimNetwork(SimScheduler scheduler, Rng rng, SimTally tally)
{
    // Where a frame's kind stands (docs/protocol.md).
    private const int KindOffset = 5;

    private readonly Dictionary<string, SimPort> _ports = [];
    private readonly HashSet<(SimPort From, SimPort To)> _cuts = [];
    private readonly XxHash3 _trace = new();
    private long _lastLink;

    public SimFaults Faults { get; set; } = SimFaults.None;

    /// <summary>What a peer that lies makes of a frame from one machine to another: the frame itself, or another for which it gives that one back. Null: nobody lies.</summary>
    public Func<SimPort, SimPort, FrameBuffer, FrameBuffer>? Forge { get; set; }

    /// <summary>Sees each frame where it is sent and says how many microseconds longer it takes than others; below 0 it is lost. Null: nobody looks.</summary>
    public Func<SimPort, SimPort, FrameBuffer, long>? Delays { get; set; }

    /// <summary>Sees each frame just before its receiver does.</summary>
    public Action<SimPort, SimPort, FrameBuffer>? Arriving { get; set; }

    /// <summary>Called after each turn of a machine.</summary>
    public Action<SimPort>? Turned { get; set; }

    /// <summary>A hash over the time, the link and the bytes of every frame delivered and every effect noted so far.</summary>
    public ulong Trace => _trace.GetCurrentHashAsUInt64();

    public SimPort Port(string address)
    {
        var port = new SimPort(this, address);
        _ports.Add(address, port);
        return port;
    }

    public LinkId Connect(SimPort from, string address)
    {
        var link = new LinkId(++_lastLink);
        if (_ports.TryGetValue(address, out SimPort? to))
        {
            from.Join(link, to);
            to.Join(link, from);
        }

        return link;
    }

    /// <summary>An effect that is no frame: it belongs to the trace all the same.</summary>
    public void Note(string text)
    {
        Stamp(0);
        _trace.Append(System.Text.Encoding.UTF8.GetBytes(text));
    }

    /// <summary>From now on nothing of one machine reaches the other, or all does again; the other way is not touched.</summary>
    public void Cut(SimPort from, SimPort to, bool isCut)
    {
        Note($"{(isCut ? "cut" : "healed")}: {from.Address} to {to.Address}");
        _ = isCut ? _cuts.Add((from, to)) : _cuts.Remove((from, to));
    }

    /// <summary>Whether nothing of one machine reaches the other.</summary>
    public bool IsCut(SimPort from, SimPort to) => _cuts.Contains((from, to));

    public bool HasRoom(SimPort port, LinkId link)
    {
        if (Faults.FullPerMille == 0 || !rng.Chance(Faults.FullPerMille, 1000))
        {
            return true;
        }

        tally.Full++;
        scheduler.At(scheduler.Now.AfterUs(Faults.MaxDelayUs), () =>
        {
            if (!port.IsDead && port.Machine is { } machine)
            {
                machine.LinkHasRoom(link, scheduler.Now);
                machine.EndTurn();
            }
        });
        return false;
    }

    public void Carry(SimPort from, SimPort to, LinkId link, FrameBuffer frame)
    {
        tally.BytesOfKind[frame.Span[KindOffset]] += frame.Length;
        if (_cuts.Contains((from, to)))
        {
            tally.Cut++;
            frame.Release();
            return;
        }

        if (rng.Chance(Faults.LossPerMille, 1000))
        {
            tally.Lost++;
            frame.Release();
            return;
        }

        frame = Forge?.Invoke(from, to, frame) ?? frame;
        long extraUs = Delays?.Invoke(from, to, frame) ?? 0;
        if (extraUs < 0)
        {
            frame.Release();
            return;
        }

        if (rng.Chance(Faults.DuplicatePerMille, 1000))
        {
            tally.Duplicated++;
            Deliver(from, to, link, frame.Retain(), extraUs);
        }

        Deliver(from, to, link, frame, extraUs);
    }

    private void Deliver(SimPort from, SimPort to, LinkId link, FrameBuffer frame, long extraUs)
    {
        long delay = extraUs + Faults.MinDelayUs + rng.Below(Math.Max(1, Faults.MaxDelayUs - Faults.MinDelayUs));
        if (rng.Chance(Faults.ReorderPerMille, 1000))
        {
            tally.Reordered++;
            delay += Faults.MaxDelayUs * (1 + rng.Below(20L));
        }

        if (Faults.SlowDelayUs > 0 && (from.IsSlow || to.IsSlow))
        {
            tally.Slowed++;
            delay += Faults.SlowDelayUs;
        }

        scheduler.At(scheduler.Now.AfterUs(delay), () => Arrive(from, to, link, frame));
    }

    private void Arrive(SimPort from, SimPort to, LinkId link, FrameBuffer frame)
    {
        if (from.IsVanished)
        {
            frame.Release();
            return;
        }

        if (to.Stopped is { } stopped && !to.IsDead)
        {
            stopped.Enqueue(() => Arrive(from, to, link, frame));
            return;
        }

        if (to.IsDead || to.Machine is null)
        {
            frame.Release();
            if (!from.IsDead)
            {
                from.Machine?.LinkDown(link, $"{to.Address} is dead", scheduler.Now);
            }

            return;
        }

        tally.Delivered++;
        Stamp(link.Value);
        _trace.Append(frame.Span);
        Arriving?.Invoke(from, to, frame);
        to.Machine.Receive(link, frame, scheduler.Now);
        to.Machine.EndTurn();
        Turned?.Invoke(to);
    }

    private void Stamp(long link)
    {
        Span<byte> stamp = stackalloc byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(stamp, scheduler.Now.Microseconds);
        BinaryPrimitives.WriteInt64LittleEndian(stamp[8..], link);
        _trace.Append(stamp);
    }
}
