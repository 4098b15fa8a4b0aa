using Weir.Keys;

namespace Weir.Placement;

/// <summary>The lists of a map, in the order in which they are written. A list that a map gains is named here, and nowhere else for its bytes.</summary>
internal static class MapParts
{
    private const int TextBytes = 2;

    public static readonly MapList[] Lists =
    [
        new MapList<string>(
            m => m.Acceptors,
            (m, acceptors) => m with { Acceptors = acceptors },
            TextBytes,
            ByteWriter.TextBytes,
            static (ref ByteWriter writer, string acceptor) => writer.Text(acceptor),
            static (ref ByteReader reader) => reader.Text()),
        new MapList<MapMember>(
            m => m.Members,
            (m, members) => m with { Members = members },
            28 + TextBytes + TextBytes,
            m => 28 + ByteWriter.TextBytes(m.Address) + ByteWriter.TextBytes(m.Zone),
            WriteMember,
            ReadMember),
        new MapList<MapTable>(
            m => m.Tables,
            (m, tables) => m with { Tables = tables },
            24 + UpdateRule.EncodedBytes + KeyLifetime.EncodedBytes + TextBytes,
            t => 24 + UpdateRule.EncodedBytes + KeyLifetime.EncodedBytes + (t.Dimensions.IsNone ? 0 : TableDimensions.EncodedBytes) + ByteWriter.TextBytes(t.Name),
            WriteTable,
            ReadTable),
        new MapList<MapJob>(
            m => m.Jobs,
            (m, jobs) => m with { Jobs = jobs },
            48 + TextBytes,
            j => 48 + ByteWriter.TextBytes(j.Name) + (j.Workers.Length * WorkerBytes),
            WriteJob,
            ReadJob),
        new MapList<MapProcess>(
            m => m.Processes,
            (m, processes) => m with { Processes = processes },
            20 + TextBytes,
            p => 20 + ByteWriter.TextBytes(p.Name),
            WriteProcess,
            ReadProcess),
        new MapList<MapSession>(
            m => m.Sessions,
            (m, sessions) => m with { Sessions = sessions },
            16,
            _ => 16,
            WriteSession,
            ReadSession),
        new MapList<MapLoss>(
            m => m.Losses,
            (m, losses) => m with { Losses = losses },
            20 + TextBytes,
            l => 20 + ByteWriter.TextBytes(l.Address),
            WriteLoss,
            ReadLoss),
        new MapList<MapCheckpoint>(
            m => m.Checkpoints,
            (m, checkpoints) => m with { Checkpoints = checkpoints },
            32,
            c => 32 + (c.Cuts.Length * CutBytes),
            WriteCheckpoint,
            ReadCheckpoint),
        new MapList<MapNamespace>(
            m => m.Namespaces,
            (m, namespaces) => m with { Namespaces = namespaces },
            8 + TextBytes,
            n => 8 + ByteWriter.TextBytes(n.Name),
            WriteNamespace,
            ReadNamespace),
    ];

    private const int WorkerBytes = 48;
    private const int CutBytes = 12;

    // The flags of a member, and of a table.
    private const uint IsDraining = 2;
    private const uint Aggregates = 1, IsCommitted = 2, IsDurable = 4, IsLost = 8, HasDimensions = 16;

    private static void WriteMember(ref ByteWriter writer, MapMember member)
    {
        writer.UInt64(member.Node);
        writer.UInt64(member.Incarnation);
        writer.UInt64(member.Journal);
        writer.UInt16((ushort)member.WeightPercent);
        writer.UInt16((ushort)(member.IsDraining ? IsDraining : 0));
        writer.Text(member.Address);
        writer.Text(member.Zone);
    }

    private static MapMember ReadMember(ref ByteReader reader)
    {
        ulong node = reader.UInt64(), incarnation = reader.UInt64(), journal = reader.UInt64();
        uint weight = reader.UInt16(), flags = reader.UInt16();
        if ((flags & ~IsDraining) != 0)
        {
            reader.Fail();
        }

        return new MapMember(node, incarnation, reader.Text(), weight, reader.Text(), (flags & IsDraining) != 0) { Journal = journal };
    }

    private static void WriteTable(ref ByteWriter writer, MapTable table)
    {
        writer.UInt32(table.Id);
        writer.Int32(table.Width);
        writer.Single(table.InitialValue);
        writer.UInt32((table.Aggregate ? Aggregates : 0) | (table.IsCommitted ? IsCommitted : 0) | (table.Durable ? IsDurable : 0) | (table.IsLost ? IsLost : 0) | (table.Dimensions.IsNone ? 0 : HasDimensions));
        writer.UInt32(table.Group);
        table.Rule.Write(ref writer);
        table.Lifetime.Write(ref writer);
        writer.Int32(table.DelayBound);
        if (!table.Dimensions.IsNone)
        {
            table.Dimensions.Write(ref writer);
        }

        writer.Text(table.Name);
    }

    private static MapTable ReadTable(ref ByteReader reader)
    {
        uint id = reader.UInt32();
        int width = reader.Int32();
        float initial = reader.Single();
        uint flags = reader.UInt32(), group = reader.UInt32();
        if ((flags & ~(Aggregates | IsCommitted | IsDurable | IsLost | HasDimensions)) != 0 | !UpdateRule.TryRead(ref reader, out UpdateRule rule) | !KeyLifetime.TryRead(ref reader, out KeyLifetime lifetime))
        {
            reader.Fail();
        }

        int delayBound = reader.Int32();
        TableDimensions dimensions = (flags & HasDimensions) != 0 ? TableDimensions.Read(ref reader) : default;
        return new MapTable(id, reader.Text(), width, rule, initial, (flags & Aggregates) != 0, group, lifetime, (flags & IsCommitted) != 0)
        {
            Durable = (flags & IsDurable) != 0,
            IsLost = (flags & IsLost) != 0,
            DelayBound = delayBound,
            Dimensions = dimensions,
        };
    }

    private static void WriteJob(ref ByteWriter writer, MapJob job)
    {
        writer.UInt32(job.Group);
        writer.Int32(job.Hosts);
        writer.UInt32(job.ContinuesWithout ? 1u : 0u);
        writer.UInt64(job.Nonce);
        writer.UInt64(job.Change.Announced);
        writer.Int64(job.Change.NotBefore);
        writer.Int64(job.LoadedThrough);
        writer.Text(job.Name);
        writer.Int32(job.Workers.Length);
        foreach (MapWorker worker in job.Workers)
        {
            writer.UInt64(worker.Process);
            writer.UInt64(worker.Session);
            writer.Int64(worker.From);
            writer.Int64(worker.Through);
            writer.Int64(worker.FinishedThrough);
            writer.UInt64(worker.JoinedBy);
        }
    }

    private static MapJob ReadJob(ref ByteReader reader)
    {
        uint group = reader.UInt32();
        int hosts = reader.Int32();
        uint continues = reader.UInt32();
        ulong nonce = reader.UInt64();
        var change = new MapChange(reader.UInt64(), reader.Int64());
        long loadedThrough = reader.Int64();
        string name = reader.Text();
        var workers = new MapWorker[reader.Count(WorkerBytes)];
        for (int w = 0; w < workers.Length; w++)
        {
            workers[w] = new MapWorker(reader.UInt64(), reader.UInt64(), reader.Int64(), reader.Int64(), reader.Int64()) { JoinedBy = reader.UInt64() };
        }

        return new MapJob(group, name, hosts, continues != 0, nonce, change, workers) { LoadedThrough = loadedThrough };
    }

    private static void WriteProcess(ref ByteWriter writer, MapProcess process)
    {
        writer.UInt64(process.Process);
        writer.UInt64(process.Incarnation);
        writer.UInt32(process.Group);
        writer.Text(process.Name);
    }

    private static MapProcess ReadProcess(ref ByteReader reader) => new(reader.UInt64(), reader.UInt64(), reader.UInt32(), reader.Text());

    private static void WriteSession(ref ByteWriter writer, MapSession session)
    {
        writer.UInt64(session.Session);
        writer.UInt64(session.Process);
    }

    private static MapSession ReadSession(ref ByteReader reader) => new(reader.UInt64(), reader.UInt64());

    private static void WriteLoss(ref ByteWriter writer, MapLoss loss)
    {
        writer.UInt64(loss.Node);
        writer.Int32(loss.Segments);
        writer.UInt64(loss.Rows);
        writer.Text(loss.Address);
    }

    private static MapLoss ReadLoss(ref ByteReader reader)
    {
        ulong node = reader.UInt64();
        int segments = reader.Int32();
        ulong rows = reader.UInt64();
        return new MapLoss(node, reader.Text(), segments, rows);
    }

    private static void WriteCheckpoint(ref ByteWriter writer, MapCheckpoint checkpoint)
    {
        writer.UInt64(checkpoint.Id);
        writer.UInt64(checkpoint.Process);
        writer.UInt64(checkpoint.Began);
        writer.UInt32((uint)checkpoint.State);
        writer.Int32(checkpoint.Cuts.Length);
        foreach (MapCut cut in checkpoint.Cuts)
        {
            writer.UInt32(cut.Group);
            writer.Int64(cut.Iteration);
        }
    }

    private static MapCheckpoint ReadCheckpoint(ref ByteReader reader)
    {
        ulong id = reader.UInt64(), process = reader.UInt64(), began = reader.UInt64();
        uint state = reader.UInt32();
        var cuts = new MapCut[reader.Count(CutBytes)];
        for (int i = 0; i < cuts.Length; i++)
        {
            cuts[i] = new MapCut(reader.UInt32(), reader.Int64());
        }

        return new MapCheckpoint(id, process, began, (CheckpointState)state, cuts);
    }

    private static void WriteNamespace(ref ByteWriter writer, MapNamespace item)
    {
        writer.Int64(item.QuotaBytes);
        writer.Text(item.Name);
    }

    private static MapNamespace ReadNamespace(ref ByteReader reader)
    {
        long quota = reader.Int64();
        return new MapNamespace(reader.Text(), quota);
    }
}
