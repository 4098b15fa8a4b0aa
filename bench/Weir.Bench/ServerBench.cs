using BenchmarkDotNet.Attributes;
using Weir.Keys;
using Weir.Server;
using Weir.Store;
using Weir.Wire;
using Weir.World;

namespace Weir.Bench;

/// <summary>
/// The room Server: a node takes a push of one part in, frame to acknowledgement, beside the store applying the same rows. No socket and no
/// loop: what the node itself adds. Times are for one push; the frame is built anew for each, as its number rises.
/// </summary>
[MemoryDiagnoser]
public class ServerBench : INetwork, IDisposable
{
    private static readonly LinkId Link = new(1);

    private readonly FramePool _pool = new();
    private readonly Instant _now = new(1_000_000);
    private ServerNode? _node;
    private TableRows? _table;
    private SegmentRows? _rows;
    private OnePart _part = null!;
    private ulong[] _keys = [];
    private float[] _values = [];
    private FrameHeader _header;

    [Params(1, 100, 10_000)]
    public int Rows { get; set; }

    [GlobalSetup]
    public void Start()
    {
        _node = new ServerNode(
            new ServerOptions { Node = 1, Incarnation = 1, Cluster = 7, Address = "a", SegmentBits = 7 }, this, pool: _pool);
        _node.EndTurn();
        Send(FrameKind.OpenTable, new OpenTableBody("t", 1, UpdateRule.Add, 0, false, 0, KeyLifetime.Default));
        Send(FrameKind.OpenSession, new OpenSessionBody(5, 1, 0, 0, 0));
        _part = new OnePart(_node.Map!.Tables[0].Id, Rows, 1);
        _header = Header(FrameKind.Push);
        _header.Session = _node.Map.Sessions[0].Session;
        _keys = _part.Keys;
        _values = new float[Rows];
        _table = new TableRows(1, UpdateRule.Add, 0, new MemoryBudget(long.MaxValue));
        _rows = _table.OpenSegment(0, 7);
        Push();
        if (_node.StoredRows != Rows)
        {
            throw new InvalidOperationException($"the node has {_node.StoredRows} rows after a push of {Rows}");
        }
    }

    [GlobalCleanup]
    public void Dispose()
    {
        _node?.Dispose();
        _table?.Dispose();
        GC.SuppressFinalize(this);
    }

    [Benchmark(Baseline = true)]
    public bool StoreAlone() => _rows!.Apply(_keys, _values, RowOperation.Update) == StoreResult.Ok;

    [Benchmark]
    public void BuildTheFrame()
    {
        _part.N++;
        Frames.Build(_pool, _header, _part).Release();
        _part.N--;
    }

    [Benchmark]
    public void Push()
    {
        _node!.Receive(Link, Frames.Build(_pool, _header, _part), _now);
        _node.EndTurn();
        _part.N++;
    }

    LinkId INetwork.Open(string address) => Link;

    void INetwork.Send(LinkId link, FrameBuffer frame) => frame.Release();

    bool INetwork.HasRoom(LinkId link, long bytes) => true;

    void INetwork.Close(LinkId link)
    {
    }

    private FrameHeader Header(FrameKind kind) => new()
    {
        Kind = kind,
        RequestId = 1,
        Cluster = 7,
        Generation = 1,
        MapVersion = _node!.Map!.Version,
    };

    private void Send<TBody>(FrameKind kind, TBody body)
        where TBody : IBody
    {
        _node!.Receive(Link, Frames.Build(_pool, Header(kind), body), _now);
        _node.EndTurn();
    }
}
