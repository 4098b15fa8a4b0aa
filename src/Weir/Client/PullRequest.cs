using System.Runtime.InteropServices;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>Rows [From, To) of a call, in Mix order and within one segment, and how far they have come.</summary>
internal struct AskedRows(int segment, int from, int to)
{
    public readonly int Segment => segment;

    public readonly int From => from;

    public readonly int To => to;

    /// <summary>Rows that have come, from the first on.</summary>
    public int Taken;

    /// <summary>Given to another request after a refusal.</summary>
    public bool Moved;

    /// <summary>The node has asked for the keys.</summary>
    public bool SendsKeys;

    /// <summary>The keys as they were written.</summary>
    public WrittenKeys Keys;

    public readonly int Rows => to - from;

    public readonly bool IsAnswered => Taken == Rows;
}

/// <summary>One frame of a pull: its items and how far each is answered. Used again once it is answered. Guarded by the client's gate.</summary>
internal sealed class PullRequest
{
    private readonly List<AskedRows> _items = [];
    private int _open;

    public ulong Id { get; private set; }

    public NodeLink Node { get; private set; } = null!;

    public PullCall Call { get; private set; } = null!;

    public Instant RetryAt { get; set; }

    /// <summary>Times in a row that no answer came in time.</summary>
    public int Timeouts { get; set; }

    public Span<AskedRows> Items => CollectionsMarshal.AsSpan(_items);

    /// <summary>Bytes of its rows that have yet to come.</summary>
    public long BytesLeft { get; private set; }

    /// <summary>Bytes of the frame that asks, at the most.</summary>
    public int FrameBytes { get; private set; }

    public bool IsAnswered => _open == 0;

    public bool IsUntouched { get; private set; }

    public void Begin(ulong id, NodeLink node, PullCall call)
    {
        (Id, Node, Call, RetryAt, Timeouts, BytesLeft, IsUntouched, _open) = (id, node, call, Instant.Never, 0, 0, true, 0);
        FrameBytes = FrameHeader.Size + DataRequestReader.CountsSize;
        _items.Clear();
    }

    public void Add(int segment, int from, int to, bool sendsKeys = false)
    {
        _items.Add(new AskedRows(segment, from, to) { SendsKeys = sendsKeys });
        _open++;
        BytesLeft += (long)(to - from) * Call.RowBytes;
        FrameBytes += Call.HeadBytes + ((to - from) * sizeof(ulong));
    }

    /// <summary>Rows of an item have come.</summary>
    public void Take(int item, int rows)
    {
        ref AskedRows asked = ref CollectionsMarshal.AsSpan(_items)[item];
        asked.Taken += rows;
        IsUntouched = false;
        Timeouts = 0;
        Less(rows);
        _open -= asked.IsAnswered ? 1 : 0;
    }

    /// <summary>The rest of an item is asked for by another request.</summary>
    public void Move(int item)
    {
        ref AskedRows asked = ref CollectionsMarshal.AsSpan(_items)[item];
        asked.Moved = true;
        IsUntouched = false;
        Less(asked.Rows - asked.Taken);
        _open--;
    }

    private void Less(int rows)
    {
        long bytes = (long)rows * Call.RowBytes;
        BytesLeft -= bytes;
        Call.BytesAsked -= bytes;
    }
}
