using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The node's journal (design R23): entries that change durable tables, gathered into groups that are flushed one at a time, so that one flush
/// serves all that came during the one before. Snapshots of the segments let older parts go. An entry of another table costs nothing
/// here. Not thread-safe: it lives in its node's loop.
/// </summary>
internal sealed class JournalPath
{
    /// <summary>A walk goes on while less than this waits for the disk: a few slices.</summary>
    private const int WalkBytes = 1 << 20;

    private readonly NodeState _node;
    private readonly IJournal _journal;
    private readonly List<Segment> _inGroup = [];
    private readonly List<(Segment Segment, ulong Through, bool IsWritten)> _inFlight = [];
    private readonly Queue<Segment> _unwritten = [];
    private readonly Queue<Segment> _round = [];
    private byte[] _group = new byte[64 << 10];
    private byte[] _spare = new byte[64 << 10];
    private int _bytes;
    private Instant _groupBegan;
    private Instant _flushBegan;
    private bool _isFlushing;
    private ulong _ticket;
    private ulong _mapVersion;
    private Segment? _walking;
    private ulong _part;
    private bool _isRound;
    private ulong _roundTicket;
    private long _bytesAfterRound;

    public JournalPath(NodeState node, IJournal journal)
    {
        (_node, _journal) = (node, journal);
        Replay = journal.HasPast ? new JournalReplay(node, journal) : null;
    }

    /// <summary>What earlier starts wrote and is still being read; null once all of it was.</summary>
    public JournalReplay? Replay { get; private set; }

    /// <summary>An earlier start of this node wrote here: it comes back with its segments (design R5).</summary>
    public bool HasPast => _journal.HasPast;

    /// <summary>Which journal it is.</summary>
    public ulong Number => _journal.Number;

    /// <summary>Why nothing that is in this journal may be relied on, so that the node must stop (promise G13); null while all is well.</summary>
    public string? Fault { get; private set; }

    /// <summary>As much waits for the disk as may: who would add to it is answered Busy, or not taken from.</summary>
    public bool IsFull => _bytes > _node.Limits.JournalUnflushedBytes;

    /// <summary>Hears of each segment of which more is flushed now.</summary>
    public Action<Segment>? Flushed { get; set; }

    /// <summary>Goes on reading what earlier starts wrote, a bounded piece of it.</summary>
    public void ReadOn()
    {
        if (Replay is { } replay && replay.ReadOn())
        {
            Fault ??= replay.Fault;
            Replay = Fault is null ? null : replay;
        }
    }

    /// <summary>A generation is over: nothing that was read of it counts (design R24). What follows in the journal begins with a map of the next.</summary>
    public void EndGeneration() => Replay?.EndGeneration();

    /// <summary>An entry that changes durable tables was applied to a segment here: it goes into the group.</summary>
    public void Entry(Segment segment, EntryKind kind, LogPosition position, ReadOnlySpan<byte> payload)
    {
        segment.LastDurable = position;
        if (segment.NeedsBase)
        {
            // The snapshot that is still to come contains it.
            return;
        }

        payload.CopyTo(Write(new JournalRecord(JournalRecordKind.Entry, kind, (uint)segment.Index, position, payload.Length)));
        segment.JournaledThrough = position.Number;
        Enter(segment);
    }

    /// <summary>A copy of a segment is whole: its base must stand in the journal before this node says so.</summary>
    public void WriteBase(Segment segment)
    {
        segment.LastDurable = segment.Log.Last;
        segment.NeedsBase = segment.IsUnwritten = true;
        _unwritten.Enqueue(segment);
    }

    /// <summary>What the journal has of a segment counts for nothing.</summary>
    public void Gone(int segment) => Write(new JournalRecord(JournalRecordKind.Gone, default, (uint)segment, default, 0));

    /// <summary>Room in the group for a record's bytes, which the caller fills at once.</summary>
    public Span<byte> Write(scoped in JournalRecord record)
    {
        if (record.Kind != JournalRecordKind.Map && _node.Map is { } map && map.Version != _mapVersion)
        {
            _mapVersion = map.Version;
            Write(new JournalRecord(JournalRecordKind.Map, default, 0, new LogPosition(map.Generation, map.Version), 0));
        }

        int bytes = record.TotalBytes;
        if (_bytes + bytes > _group.Length)
        {
            Array.Resize(ref _group, Math.Max(_bytes + bytes, (int)Math.Min(2L * _group.Length, Array.MaxLength)));
        }

        _groupBegan = _bytes == 0 ? _node.Now : _groupBegan;
        Span<byte> span = _group.AsSpan(_bytes, bytes);
        var writer = new ByteWriter(span);
        record.Write(ref writer);
        span[(JournalRecord.Size + record.Bytes)..].Clear();
        _bytes += bytes;
        return span.Slice(JournalRecord.Size, record.Bytes);
    }

    /// <summary>At the end of a turn: takes what the disk has done, and gives it the next group.</summary>
    public void EndTurn()
    {
        TakeResults();
        if (Fault is not null || Replay is not null)
        {
            return;
        }

        Walk();
        if (!_isFlushing && _bytes > 0 && (_bytes >= _node.Limits.JournalGroupBytes || _node.Now.MsSince(_groupBegan) >= _node.Limits.JournalGroupMs))
        {
            Flush();
        }

        EndRound();
        BeginRound();
    }

    private void TakeResults()
    {
        while (_journal.TryTakeResult(out DiskResult result))
        {
            if (!result.IsFlushed)
            {
                Fault ??= "the journal could not be written or flushed: nobody knows what is on its disk, so nothing is acknowledged from it any more (promise G13). Replace the disk and start this server with an empty folder";
                return;
            }

            _isFlushing = false;
            foreach ((Segment segment, ulong through, bool isWritten) in _inFlight)
            {
                segment.FlushedThrough = Math.Max(segment.FlushedThrough, through);
                segment.IsUnwritten &= !isWritten;
                if (_node.Find((uint)segment.Index) == segment)
                {
                    Flushed?.Invoke(segment);
                }
            }

            _inFlight.Clear();
        }

        if (_isFlushing && _node.Now.MsSince(_flushBegan) > _node.Limits.JournalTimeoutMs)
        {
            Fault ??= $"the journal's disk has not flushed for {_node.Limits.JournalTimeoutMs / 1000} s; this server stops, so that the others go on without it";
        }
    }

    private void Flush()
    {
        foreach (Segment segment in _inGroup)
        {
            segment.IsInGroup = false;
            bool isWritten = segment.Snapshot is { IsWritten: true };
            _inFlight.Add((segment, segment.JournaledThrough, isWritten));
            segment.Snapshot = isWritten ? null : segment.Snapshot;
        }

        _inGroup.Clear();
        (_isFlushing, _flushBegan) = (true, _node.Now);
        _journal.Append(_group.AsMemory(0, _bytes), ++_ticket);

        // What is given is not touched until its result came, and by then this one was filled.
        (_group, _spare) = (_spare, _group);
        _bytes = 0;
    }

    private void Enter(Segment segment)
    {
        if (!segment.IsInGroup)
        {
            segment.IsInGroup = true;
            _inGroup.Add(segment);
        }
    }

    private void Walk()
    {
        while (_bytes < WalkBytes && (_walking is not null || _unwritten.TryDequeue(out _walking) || _round.TryDequeue(out _walking)))
        {
            Segment segment = _walking;
            if (_node.Find((uint)segment.Index) != segment)
            {
                _walking = null;
                continue;
            }

            segment.Snapshot ??= new SnapshotWalk(this, segment);
            segment.Snapshot.Advance();
            if (segment.Snapshot.IsWritten)
            {
                segment.NeedsBase = false;
                Enter(segment);
                _walking = null;
                _roundTicket = _ticket + 1;
            }
        }
    }

    /// <summary>Once the journal is twice what it was after the last round, all segments are written into a new part, and the parts before go.</summary>
    private void BeginRound()
    {
        if (!_isRound && _walking is null && _unwritten.Count == 0 && _journal.Bytes > Math.Max(_node.Limits.JournalBytes, 2 * _bytesAfterRound))
        {
            _isRound = true;
            _part = _journal.BeginPart();
            _roundTicket = _ticket + 1;

            // So that the new part says by itself what it needs.
            _mapVersion = 0;
            foreach (Segment segment in _node.Held.Where(s => s.Target is null or { IsWhole: true }))
            {
                _round.Enqueue(segment);
            }
        }
    }

    private void EndRound()
    {
        if (_isRound && _walking is null && _round.Count == 0 && _unwritten.Count == 0 && !_isFlushing && _ticket >= _roundTicket)
        {
            _isRound = false;
            _journal.DropPartsBefore(_part);
            _bytesAfterRound = _journal.Bytes;
        }
    }
}
