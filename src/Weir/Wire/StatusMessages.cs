using Weir.Keys;

namespace Weir.Wire;

/// <summary>What a node counts, since its start.</summary>
internal record struct NodeCounters
{
    public long PushRequests, PullRequests, PushBytes, PullBytes, KeysPushed, KeysPulled, ValuesPushed, ValuesPulled;
    public long PullsWaiting, PullsWaited, PartsHeld, Duplicates, Superseded, Refused, FramesRefused, ReplicationBytes;

    public const int Count = 16;

    public readonly void Write(ref ByteWriter writer)
    {
        foreach (long value in (ReadOnlySpan<long>)[
            PushRequests, PullRequests, PushBytes, PullBytes, KeysPushed, KeysPulled, ValuesPushed, ValuesPulled,
            PullsWaiting, PullsWaited, PartsHeld, Duplicates, Superseded, Refused, FramesRefused, ReplicationBytes])
        {
            writer.Int64(value);
        }
    }

    public static NodeCounters Read(ref ByteReader reader)
    {
        NodeCounters counters = default;
        counters.PushRequests = reader.Int64();
        counters.PullRequests = reader.Int64();
        counters.PushBytes = reader.Int64();
        counters.PullBytes = reader.Int64();
        counters.KeysPushed = reader.Int64();
        counters.KeysPulled = reader.Int64();
        counters.ValuesPushed = reader.Int64();
        counters.ValuesPulled = reader.Int64();
        counters.PullsWaiting = reader.Int64();
        counters.PullsWaited = reader.Int64();
        counters.PartsHeld = reader.Int64();
        counters.Duplicates = reader.Int64();
        counters.Superseded = reader.Int64();
        counters.Refused = reader.Int64();
        counters.FramesRefused = reader.Int64();
        counters.ReplicationBytes = reader.Int64();
        return counters;
    }
}

/// <summary>Rows and bytes of one table on one node, copies for other nodes included; the rows of the segments that it heads, and what these take of a quota.</summary>
internal readonly record struct TableLoad(uint Table, long Rows, long Bytes, long HeadedRows, long HeadedBytes)
{
    public const int Size = 40;
}

/// <summary>StatusReply: what one node says of itself, with the clocks it knows.</summary>
internal readonly struct StatusReplyBody(
    ulong node, uint processId, long storedBytes, long limitBytes, NodeCounters counters, IReadOnlyCollection<TableLoad> tables, IReadOnlyCollection<ClockEntry> clocks) : IBody
{
    public ulong Node => node;

    public uint ProcessId => processId;

    public long StoredBytes => storedBytes;

    public long LimitBytes => limitBytes;

    public NodeCounters Counters => counters;

    public IReadOnlyCollection<TableLoad> Tables => tables;

    public IReadOnlyCollection<ClockEntry> Clocks => clocks;

    public int Bytes => 32 + (NodeCounters.Count * 8) + 8 + (tables.Count * TableLoad.Size) + new ClockBody(clocks).Bytes;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(node);
        writer.UInt64(processId);
        writer.Int64(storedBytes);
        writer.Int64(limitBytes);
        counters.Write(ref writer);
        writer.Int32(tables.Count);
        writer.UInt32(0);
        foreach (TableLoad table in tables)
        {
            writer.UInt64(table.Table);
            writer.Int64(table.Rows);
            writer.Int64(table.Bytes);
            writer.Int64(table.HeadedRows);
            writer.Int64(table.HeadedBytes);
        }

        new ClockBody(clocks).Write(ref writer);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out StatusReplyBody message)
    {
        var reader = new ByteReader(body);
        ulong node = reader.UInt64();
        uint processId = (uint)reader.UInt64();
        long stored = reader.Int64(), limit = reader.Int64();
        NodeCounters counters = NodeCounters.Read(ref reader);
        int count = reader.Count(TableLoad.Size);
        reader.UInt32();
        var tables = new TableLoad[count];
        for (int i = 0; i < count; i++)
        {
            tables[i] = new TableLoad((uint)reader.UInt64(), reader.Int64(), reader.Int64(), reader.Int64(), reader.Int64());
        }

        List<ClockEntry> clocks = [];
        bool sound = ClockBody.TryRead(ref reader, clocks) && reader.AtEnd;
        message = new StatusReplyBody(node, processId, stored, limit, counters, tables, clocks);
        return sound;
    }
}
