using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>A piece of an entry as it stands in a frame, head and padding included. Holds a reference to the frame.</summary>
internal readonly record struct LogFragment(FrameBuffer Frame, int Offset, int Bytes)
{
    public ReadOnlySpan<byte> Span => Frame.Whole.Slice(Offset, Bytes);
}

/// <summary>An entry that somebody below may still need.</summary>
internal readonly record struct LogEntry(ulong Epoch, LogFragment[] Fragments);

/// <summary>
/// The entries of one segment from the last one that nobody needs any more to the newest (design R15, R16). Numbers follow one another, so
/// an entry is found by its number. Not thread-safe: a node is one loop.
/// </summary>
internal sealed class SegmentLog(LogBytes kept)
{
    private readonly List<LogEntry> _entries = [];
    private int _first;

    /// <summary>The newest entry, kept or not.</summary>
    public LogPosition Last { get; private set; }

    /// <summary>The newest entry that is not kept; those behind it are.</summary>
    public LogPosition Base { get; private set; }

    public int Count => _entries.Count - _first;

    public LogEntry this[ulong number] => _entries[_first + (int)(number - Base.Number - 1)];

    /// <summary>Whether an entry stands here. Of those that are not kept only the newest is known.</summary>
    public bool Contains(LogPosition position) =>
        position.Number == Base.Number ? position.Epoch == Base.Epoch
        : position.Number > Base.Number && position.Number <= Last.Number && this[position.Number].Epoch == position.Epoch;

    /// <summary>The position of an entry that is kept, or of the newest that is not.</summary>
    public LogPosition PositionOf(ulong number) => number == Base.Number ? Base : new LogPosition(this[number].Epoch, number);

    /// <summary>The next entry, which somebody below may need.</summary>
    public void Append(LogPosition position, LogFragment[] fragments)
    {
        Invariant.That(position.Number == Last.Number + 1, "entries of a log follow one another");
        foreach (LogFragment fragment in fragments)
        {
            fragment.Frame.Retain();
            kept.Total += fragment.Bytes;
        }

        _entries.Add(new LogEntry(position.Epoch, fragments));
        Last = position;
    }

    /// <summary>The next entry, or a whole copy up to it: nobody needs what came before.</summary>
    public void Skip(LogPosition position)
    {
        TrimThrough(Last.Number);
        Last = Base = position;
    }

    /// <summary>Nobody needs the entries up to a number any more.</summary>
    public void TrimThrough(ulong number)
    {
        while (Base.Number < number && Count > 0)
        {
            LogEntry entry = _entries[_first];
            Base = new LogPosition(entry.Epoch, Base.Number + 1);
            _entries[_first++] = default;
            foreach (LogFragment fragment in entry.Fragments)
            {
                kept.Total -= fragment.Bytes;
                fragment.Frame.Release();
            }
        }

        if (_first > 64 && _first * 2 > _entries.Count)
        {
            _entries.RemoveRange(0, _first);
            _first = 0;
        }
    }
}
