using System.Runtime.InteropServices;
using Weir.Functions;
using Weir.Keys;
using Weir.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>One first node driven frame by frame, without a client between: what it answers is kept by kind.</summary>
internal sealed class NodeHarness : INetwork, IDisposable
{
    public const ulong Cluster = 7;
    public static readonly LinkId Link = new(1);

    private readonly List<FrameBuffer> _sent = [];
    private readonly FramePool _pool = new();
    private ulong _request;

    public NodeHarness(ServerLimits? limits = null, long memoryBytes = 1L << 30, IReadOnlyList<IServerFunction>? functions = null, IFunctionTimer? timer = null)
    {
        Node = new ServerNode(
            new ServerOptions
            {
                Node = 1,
                Incarnation = 1,
                Cluster = Cluster,
                Address = "a",
                SegmentBits = 6,
                Limits = limits ?? new ServerLimits(),
                MemoryLimitBytes = memoryBytes,
                Functions = functions ?? [],
                FunctionTimer = timer ?? UntimedFunctions.Instance,
            },
            this,
            pool: _pool);
        Node.EndTurn();
        _sent.Clear();
    }

    public ServerNode Node { get; }

    public Instant Now { get; set; } = new(1_000_000);

    public uint Table { get; private set; }

    public ulong MapVersion => Node.Map!.Version;

    /// <summary>Bytes that the link takes in one turn.</summary>
    public long Room { get; set; } = long.MaxValue;

    public LinkId Open(string address) => Link;

    public void Send(LinkId link, FrameBuffer frame) => _sent.Add(frame);

    public bool HasRoom(LinkId link, long bytes) => bytes < Room;

    public void Close(LinkId link)
    {
    }

    public uint OpenTable(string name = "t", int width = 1, UpdateRule? rule = null, bool aggregate = false, uint group = 0, KeyLifetime? lifetime = null)
    {
        Table = (uint)Admin(FrameKind.OpenTable, new OpenTableBody(name, width, rule ?? UpdateRule.Add, 0, aggregate, group, lifetime ?? KeyLifetime.Default)).First;
        return Table;
    }

    public ulong OpenSession(ulong process = 5) => Admin(FrameKind.OpenSession, new OpenSessionBody(process, 1, 0, 0, 0)).First;

    /// <summary>A job whose workers are hosted by one process each (process w + 10); gives its group.</summary>
    public uint OpenJob(int workers, string name = "job", ulong firstProcess = 10, bool continuesWithout = false)
    {
        uint group = (uint)Admin(FrameKind.OpenJob, new OpenJobBody(name, workers, workers, continuesWithout, 1)).First;
        for (ulong worker = 0; worker < (ulong)workers; worker++)
        {
            Admin(FrameKind.JoinProcess, new JoinProcessBody(firstProcess + worker, 1, group, ""));
        }

        return group;
    }

    public ulong SessionOf(uint group, int worker) => Node.Map!.Job(group)!.Workers[worker].Session;

    public AdminReplyBody Admin<TBody>(FrameKind kind, TBody body, ulong cluster = Cluster)
        where TBody : IBody
    {
        Receive(kind, body, cluster: cluster);
        Assert.True(AdminReplyBody.TryRead(Body(FrameKind.AdminReply), out AdminReplyBody reply));
        return reply;
    }

    public void Receive<TBody>(FrameKind kind, TBody body, ulong session = 0, ulong? mapVersion = null, uint generation = 1, uint deadlineUs = 0, ulong cluster = Cluster, bool again = false, ulong? requestId = null)
        where TBody : IBody
    {
        ReleaseSent();
        _request += again ? 0UL : 1;
        var header = new FrameHeader
        {
            Kind = kind,
            RequestId = requestId ?? _request,
            Cluster = cluster,
            Generation = generation,
            MapVersion = mapVersion ?? MapVersion,
            Session = session,
            DeadlineUs = deadlineUs,
        };
        Node.Receive(Link, Frames.Build(_pool, header, body), Now);
        Node.EndTurn();
    }

    /// <summary>A frame in the middle of a turn.</summary>
    public void Take<TBody>(FrameKind kind, TBody body)
        where TBody : IBody
    {
        var header = new FrameHeader { Kind = kind, RequestId = ++_request, Cluster = Cluster, Generation = 1, MapVersion = MapVersion };
        Node.Receive(Link, Frames.Build(_pool, header, body), Now);
    }

    /// <summary>Pushes one row of width 1 and gives the part's outcome.</summary>
    public PartReply Push(ulong session, ulong n, Seq seq, ulong key, float value, ulong? mapVersion = null, uint generation = 1, PartOperation operation = PartOperation.Update)
    {
        Receive(FrameKind.Push, new OnePart(Table, n, seq, key, value, operation), session, mapVersion, generation);
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(Body(FrameKind.PushReply), replies));
        return Assert.Single(replies);
    }

    /// <summary>Pulls one row; null while the node keeps it waiting.</summary>
    public (Status Status, float Value, string Text)? Pull(ulong key, uint group = 0, long iteration = 0, int bound = PullItem.NoBound, uint deadlineUs = 0)
    {
        Receive(FrameKind.Pull, new OneItem(Table, key, group, iteration, bound), deadlineUs: deadlineUs);
        return Pulled();
    }

    public (Status Status, float Value, string Text)? Pulled()
    {
        FrameBuffer? frame = Find(FrameKind.PullReply);
        if (frame is null)
        {
            return null;
        }

        var reader = new ByteReader(frame.Span[(FrameHeader.Size + PullReplyItem.CountSize)..]);
        Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem item, out _, out ReadOnlySpan<byte> values));
        return (item.Status, item.Found == 1 ? MemoryMarshal.Read<float>(values) : 0, item.Text);
    }

    public void LinkDown()
    {
        ReleaseSent();
        Node.LinkDown(Link, "closed by the peer", Now);
        Node.EndTurn();
    }

    public void LinkHasRoom()
    {
        ReleaseSent();
        Node.LinkHasRoom(Link, Now);
        Node.EndTurn();
    }

    public void Tick()
    {
        ReleaseSent();
        Node.Tick(Now);
        Node.EndTurn();
    }

    public IEnumerable<byte[]> Bodies(FrameKind kind) => _sent.Where(f => f.Span[5] == (byte)kind).Select(f => f.Span[FrameHeader.Size..].ToArray());

    public FrameBuffer? Find(FrameKind kind) => _sent.Find(f => f.Span[5] == (byte)kind);

    public byte[] Body(FrameKind kind)
    {
        FrameBuffer? frame = Find(kind);
        Assert.True(frame is not null, $"the node sends a {kind}; it sent {string.Join(", ", _sent.Select(f => (FrameKind)f.Span[5]))}");
        return frame.Span[FrameHeader.Size..].ToArray();
    }

    public void Dispose()
    {
        ReleaseSent();
        Node.Dispose();
        Assert.Equal(0, _pool.Rented);
    }

    private void ReleaseSent()
    {
        foreach (FrameBuffer frame in _sent)
        {
            frame.Release();
        }

        _sent.Clear();
    }

    public readonly record struct OnePart(uint Table, ulong N, Seq Seq, ulong Key, float Value, PartOperation Operation = PartOperation.Update) : IBody
    {
        public int Bytes => 8 + PartHeader.Size + 8 + (Operation == PartOperation.Delete ? 0 : 8);

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(1);
            writer.Int32(0);
            int valueBytes = Operation == PartOperation.Delete ? 0 : 4;
            new PartHeader
            {
                Table = Table,
                Segment = (uint)Mix.Segment(Key, 6),
                N = N,
                Seq = Seq,
                Rows = 1,
                Operation = Operation,
                KeyBytes = 8,
                ValueBytes = valueBytes,
            }.Write(ref writer);
            writer.UInt64(Key);
            if (valueBytes > 0)
            {
                writer.Single(Value);
                writer.PadTo8();
            }
        }
    }

    public readonly record struct OneItem(uint Table, ulong Key, uint Group, long Iteration, int Bound) : IBody
    {
        public int Bytes => 8 + PullItem.Size + 8;

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(0);
            writer.Int32(1);
            WriteItem(ref writer);
        }

        public void WriteItem(ref ByteWriter writer)
        {
            new PullItem
            {
                Table = Table,
                Segment = (uint)Mix.Segment(Key, 6),
                Iteration = Iteration,
                DelayBound = Bound,
                Group = Group,
                Rows = 1,
                KeyBytes = 8,
            }.Write(ref writer);
            writer.UInt64(Key);
        }
    }
}
