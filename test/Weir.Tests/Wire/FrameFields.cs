using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>Reads a frame with the production readers, names its fields, and writes it again with the production writers.</summary>
internal static class FrameFields
{
    /// <summary>The cluster and the table of the worked frames: 64 segments, two floats a row.</summary>
    private const int WorkedSegmentBits = 6;
    private const int WorkedWidth = 2;

    /// <summary>The fields of a sound frame, and the frame that its writers make of what was read.</summary>
    public static (FieldList Fields, byte[] Again) Of(byte[] frame)
    {
        Assert.Equal(HeaderFault.None, FrameHeader.TryRead(frame, out FrameHeader header));
        byte[] body = frame[FrameHeader.Size..];
        Assert.True(header.BodyIsWhole(body));
        FieldList fields = new();
        Head(fields, header, MemoryMarshal.Read<uint>(frame.AsSpan(36)));
        byte[] again = header.Kind switch
        {
            FrameKind.Push or FrameKind.Pull => Data(fields, body),
            FrameKind.PushReply => PushReply(fields, body),
            FrameKind.PullReply => PullReply(fields, body),
            FrameKind.Clock => Clock(fields, body),
            FrameKind.Sent => Sent(fields, body),
            FrameKind.OpenTable => OpenTable(fields, body),
            FrameKind.AdminReply => AdminReply(fields, body),
            FrameKind.AddWorkers => AddWorkers(fields, body),
            FrameKind.RemoveWorker => RemoveWorker(fields, body),
            FrameKind.Begun => Begun(fields, body),
            FrameKind.ReadMapReply => Map(fields, body),
            FrameKind.MapDifferences => Differences(fields, body),
            _ => throw new NotSupportedException($"no fields are listed for {header.Kind}"),
        };
        byte[] whole = [.. new byte[FrameHeader.Size], .. again];
        header.Seal(whole);
        return (fields, whole);
    }

    private static void Head(FieldList fields, FrameHeader header, uint headerChecksum)
    {
        fields.Add(4, "magic", "WEIR");
        fields.Add(1, "version", FrameHeader.Version);
        fields.Add(1, "kind", header.Kind);
        fields.Add(2, "flags", header.Flags);
        fields.Add(4, "bodyLength", header.BodyLength);
        fields.Add(4, "deadlineUs", header.DeadlineUs);
        fields.Add(8, "requestId", header.RequestId);
        fields.Add(8, "cluster", header.Cluster);
        fields.Add(4, "generation", header.Generation);
        fields.Hex(4, "headerChecksum", headerChecksum);
        fields.Add(8, "mapVersion", header.MapVersion);
        fields.Add(8, "session", header.Session);
        fields.Hex(8, "bodyChecksum", header.BodyChecksum);
    }

    private static byte[] Data(FieldList fields, byte[] body)
    {
        var reader = new DataRequestReader(body);
        fields.Add(4, "parts", reader.Parts);
        fields.Add(4, "items", reader.Items);
        byte[] again = new byte[body.Length];
        var writer = new ByteWriter(again);
        writer.Int32(reader.Parts);
        writer.Int32(reader.Items);
        while (reader.NextPart(out PartHeader part, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values))
        {
            Stream(fields, part.Table, part.Segment, part.N);
            fields.Add(8, "iteration", part.Seq.Iteration);
            fields.Add(4, "push", part.Seq.Push);
            fields.Add(4, "piece", part.Seq.Piece);
            fields.Add(4, "rows", part.Rows);
            fields.Add(1, "operation", part.Operation);
            fields.Add(1, "keyEncoding", part.KeyEncoding);
            fields.Add(1, "valueEncoding", part.ValueEncoding);
            fields.Add(1, "keepKeys", part.KeepKeys ? 1 : 0);
            fields.Add(4, "keyBytes", part.KeyBytes);
            fields.Add(4, "valueBytes", part.ValueBytes);
            Keys(fields, part.KeyEncoding, part.Segment, part.Rows, keys);
            if (part.Operation == PartOperation.Arithmetic)
            {
                Arithmetic(fields, values);
            }
            else if (part.Operation == PartOperation.Function)
            {
                Function(fields, part.Rows, values);
            }
            else
            {
                Values(fields, part.ValueEncoding, part.Rows * WorkedWidth, values);
            }

            part.Write(ref writer);
            writer.Raw(keys);
            writer.PadTo8();
            writer.Raw(values);
            writer.PadTo8();
        }

        while (reader.NextItem(out PullItem item, out ReadOnlySpan<byte> keys))
        {
            fields.Add(4, "table", item.Table);
            fields.Add(4, "segment", item.Segment);
            fields.Add(8, "iteration", item.Iteration);
            fields.Add(4, "delayBound", item.DelayBound);
            fields.Add(4, "group", item.Group);
            fields.Add(4, "rows", item.Rows);
            fields.Add(1, "keyEncoding", item.KeyEncoding);
            fields.Add(1, "flags", (item.Committed ? 1 : 0) + (item.Reduction.Kind == ReductionKind.None ? 0 : 2));
            fields.Add(1, "keepKeys", item.KeepKeys ? 1 : 0);
            fields.Add(1, "takes", (int)item.Takes);
            fields.Add(4, "keyBytes", item.KeyBytes);
            fields.Add(4, "since.generation", item.Since.Generation);
            fields.Add(8, "since.epoch", item.Since.Epoch);
            fields.Add(8, "since.number", item.Since.Number);
            if (item.Reduction.Kind != ReductionKind.None)
            {
                fields.Add(4, "reduction", item.Reduction.Kind);
                fields.Add(4, "other", item.Reduction.Other);
                fields.Add(4, "firstColumn", item.Reduction.FirstColumn);
                fields.Add(4, "columns", item.Reduction.Columns);
            }

            Keys(fields, item.KeyEncoding, item.Segment, item.Rows, keys);
            item.Write(ref writer);
            writer.Raw(keys);
            writer.PadTo8();
        }

        Assert.True(reader.AtEnd);
        return again;
    }

    private static void Function(FieldList fields, int rows, ReadOnlySpan<byte> bytes)
    {
        Assert.True(FunctionRequest.TryRead(bytes, rows * WorkedWidth, out FunctionRequest request));
        fields.Add(4, "nameBytes", request.Name.Length);
        fields.Add(4, "argumentBytes", request.Argument.Length);
        Padded(fields, "name", request.Name);
        Padded(fields, "argument", request.Argument);
        foreach (float value in request.Values)
        {
            fields.Add(4, "value", value);
        }
    }

    private static void Padded(FieldList fields, string name, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 0)
        {
            fields.Add(bytes.Length, name, name == "name" ? Encoding.UTF8.GetString(bytes) : Convert.ToHexString(bytes));
            fields.Padding(-bytes.Length & 7);
        }
    }

    private static void Arithmetic(FieldList fields, ReadOnlySpan<byte> bytes)
    {
        Assert.True(RowArithmetic.TryRead(bytes, WorkedWidth, out RowArithmetic arithmetic));
        fields.Add(4, "arithmetic", arithmetic.Kind);
        fields.Add(4, "source", arithmetic.Source);
        fields.Add(4, "factor", arithmetic.Factor);
        fields.Add(4, "own", arithmetic.Own);
        fields.Add(4, "firstColumn", arithmetic.FirstColumn);
        fields.Add(4, "columns", arithmetic.Columns);
    }

    private static byte[] PushReply(FieldList fields, byte[] body)
    {
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(body, replies));
        fields.Add(4, "outcomes", replies.Count);
        fields.Unused(4);
        foreach (PartReply reply in replies)
        {
            Stream(fields, reply.Table, reply.Segment, reply.N);
            fields.Add(8, "value", reply.Value);
            fields.Add(1, "status", reply.Status);
            fields.Add(1, "deleteStream", reply.DeleteStream ? 1 : 0);
            fields.Add(2, "textLength", reply.Text.Length == 0 ? 0 : ByteWriter.TextBytes(reply.Text));
            fields.Unused(4);
            Assert.Equal("", reply.Text);
        }

        return Written(new PushReplyBody(replies));
    }

    private static byte[] PullReply(FieldList fields, byte[] body)
    {
        var reader = new ByteReader(body);
        byte[] again = new byte[body.Length];
        var writer = new ByteWriter(again);
        int pieces = reader.Count(PullReplyItem.Size);
        fields.Add(4, "pieces", pieces);
        fields.Unused(4);
        writer.Int32(pieces);
        writer.UInt32(reader.UInt32());
        for (int i = 0; i < pieces; i++)
        {
            Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out ReadOnlySpan<byte> found, out ReadOnlySpan<byte> values));
            fields.Add(4, "item", piece.Item);
            fields.Add(4, "firstRow", piece.FirstRow);
            fields.Add(4, "rows", piece.Rows);
            fields.Add(4, "found", piece.Found);
            fields.Add(4, "valueBytes", piece.ValueBytes);
            fields.Add(1, "status", piece.Status);
            fields.Add(1, "valueEncoding", piece.ValueEncoding);
            fields.Add(2, "textLength", piece.Text.Length == 0 ? 0 : ByteWriter.TextBytes(piece.Text));
            fields.Add(4, "stamp.generation", piece.Stamp.Generation);
            fields.Unused(4);
            fields.Add(8, "stamp.epoch", piece.Stamp.Epoch);
            fields.Add(8, "stamp.number", piece.Stamp.Number);
            fields.Add(8, "closedIteration", piece.ClosedIteration);
            fields.Add(8, "minimumClock", piece.MinimumClock);
            fields.Add(found.Length, "foundBits", Convert.ToString(found[0], 2).PadLeft(piece.Rows, '0'));
            if (piece.Found == 0 && values.Length == sizeof(double))
            {
                fields.Add(8, "number", MemoryMarshal.Read<double>(values));
            }
            else
            {
                Values(fields, piece.ValueEncoding, piece.Found * WorkedWidth, values);
            }

            piece.WriteHead(ref writer);
            writer.Raw(found.ToArray());
            writer.Raw(values.ToArray());
            writer.PadTo8();
        }

        Assert.True(reader.AtEnd);
        return again;
    }

    private static byte[] Clock(FieldList fields, byte[] body)
    {
        List<ClockEntry> clocks = [];
        Assert.True(ClockBody.TryRead(body, clocks));
        fields.Add(4, "entries", clocks.Count);
        fields.Unused(4);
        foreach (ClockEntry clock in clocks)
        {
            fields.Add(4, "group", clock.Group);
            fields.Add(4, "worker", clock.Worker);
            fields.Add(8, "clock", clock.Clock);
            fields.Add(8, "mapVersion", clock.MapVersion);
        }

        return Written(new ClockBody(clocks));
    }

    private static byte[] Sent(FieldList fields, byte[] body)
    {
        Assert.True(SentBody.TryRead(body, out SentBody sent));
        fields.Add(4, "group", sent.Group);
        fields.Add(4, "worker", sent.Worker);
        fields.Add(8, "iteration", sent.Iteration);
        fields.Add(4, "firstSegment", sent.FirstSegment);
        fields.Add(4, "lastSegment", sent.LastSegment);
        fields.Add(4, "entries", sent.Entries.Count);
        fields.Unused(4);
        foreach (SentEntry entry in sent.Entries)
        {
            Stream(fields, entry.Table, entry.Segment, entry.N);
        }

        return Written(sent);
    }

    private static byte[] OpenTable(FieldList fields, byte[] body)
    {
        Assert.True(OpenTableBody.TryRead(body, out OpenTableBody open));
        fields.Add(4, "width", open.Width);
        fields.Add(4, "initialValue", open.InitialValue);
        fields.Add(4, "flags", (open.Aggregate ? 1 : 0) + (open.IsCommitted ? 2 : 0) + (open.Durable ? 4 : 0));
        fields.Add(4, "group", open.Group);
        Rule(fields, open.Rule);
        Lifetime(fields, open.Lifetime);
        fields.Add(4, "delayBound", open.DelayBound);
        fields.Text("name", open.Name);
        return Written(open);
    }

    private static void Lifetime(FieldList fields, KeyLifetime lifetime)
    {
        fields.Add(4, "expireAfterClocks", lifetime.ExpireAfterClocks ?? 0);
        fields.Add(4, "admitAfterSightings", lifetime.AdmitAfterSightings);
    }

    private static byte[] AdminReply(FieldList fields, byte[] body)
    {
        Assert.True(AdminReplyBody.TryRead(body, out AdminReplyBody reply));
        fields.Add(8, "status", reply.Status);
        fields.Add(8, "first", reply.First);
        fields.Add(8, "second", reply.Second);
        fields.Text("text", reply.Text);
        return Written(reply);
    }

    private static void MapHead(FieldList fields, ClusterMap map)
    {
        fields.Add(8, "cluster", map.Cluster);
        fields.Add(4, "generation", map.Generation);
        fields.Add(4, "segmentBits", map.SegmentBits);
        fields.Add(8, "version", map.Version);
        fields.Add(8, "nextSession", map.NextSession);
        fields.Add(4, "nextTable", map.NextTable);
        fields.Add(4, "nextGroup", map.NextGroup);
        fields.Add(8, "managerTerm", map.ManagerTerm);
        fields.Add(8, "managerNode", map.ManagerNode);
        fields.Add(4, "replicas", map.Replicas);
    }

    private static byte[] Map(FieldList fields, byte[] body)
    {
        Assert.True(MapEncoding.TryDecode(body, out ClusterMap map));
        MapHead(fields, map);
        fields.Add(4, "acceptors", map.Acceptors.Length);
        foreach (string acceptor in map.Acceptors)
        {
            fields.Text("acceptor", acceptor);
        }

        fields.Add(4, "members", map.Members.Length);
        foreach (MapMember member in map.Members)
        {
            fields.Add(8, "node", member.Node);
            fields.Add(8, "incarnation", member.Incarnation);
            fields.Add(8, "journal", member.Journal);
            fields.Add(2, "weightPercent", member.WeightPercent);
            fields.Add(2, "flags", member.IsDraining ? 2 : 0);
            fields.Text("address", member.Address);
            fields.Text("zone", member.Zone);
        }

        fields.Add(4, "tables", map.Tables.Length);
        foreach (MapTable table in map.Tables)
        {
            fields.Add(4, "id", table.Id);
            fields.Add(4, "width", table.Width);
            fields.Add(4, "initialValue", table.InitialValue);
            fields.Add(4, "flags", (table.Aggregate ? 1 : 0) + (table.IsCommitted ? 2 : 0) + (table.Durable ? 4 : 0) + (table.IsLost ? 8 : 0));
            fields.Add(4, "group", table.Group);
            Rule(fields, table.Rule);
            Lifetime(fields, table.Lifetime);
            fields.Add(4, "delayBound", table.DelayBound);
            fields.Text("name", table.Name);
        }

        MapJobs(fields, map);
        Chains(fields, body, map.Segments);
        return MapEncoding.Encode(map);
    }

    /// <summary>Chains of one member each, or none.</summary>
    private static void Chains(FieldList fields, byte[] body, int count)
    {
        ulong[] sizes = Column(fields, body, "sizes", count);
        Column(fields, body, "epochs", count);
        int having = sizes.Count(size => size == 4);
        Assert.Equal(having, sizes.Count(size => size > 0));
        if (having > 0)
        {
            Column(fields, body, "heads", having);
            Column(fields, body, "appended", having);
        }
    }

    /// <summary>A column of the first form; its numbers are those of the production reader.</summary>
    private static ulong[] Column(FieldList fields, byte[] body, string name, int count)
    {
        ReadOnlySpan<byte> bytes = body.AsSpan(fields.Bytes - FrameHeader.Size);
        var whole = new ByteReader(bytes);
        ulong[] numbers = PackedColumn.Read(ref whole, count)!;
        var reader = new ByteReader(bytes);
        Assert.Equal(0, reader.Byte());
        fields.Add(1, $"{name} form", "Ranged");
        fields.Add(8, "lowest", reader.UInt64());
        int bits = reader.Byte();
        fields.Add(1, "bits", bits);
        fields.Add(PackedBits.Bytes(count, bits), "numbers", string.Join(' ', numbers.Length > 8 ? numbers.Distinct() : numbers));
        return numbers;
    }

    private static byte[] Differences(FieldList fields, byte[] body)
    {
        ClusterMap older = WorkedMap();
        Assert.True(MapDifference.TryApply(older, body, out ClusterMap newer));
        Assert.Equal([.. older.Sessions, new MapSession(4, 20)], newer.Sessions);
        fields.Add(4, "bytes", BinaryPrimitives.ReadInt32LittleEndian(body));
        fields.Add(8, "from", older.Version);
        MapHead(fields, newer);
        foreach (string list in new[] { "acceptors", "members", "tables", "jobs", "processes" })
        {
            fields.Add(4, list, "as they were");
        }

        fields.Add(4, "sessions, pieces", 1);
        fields.Add(4, "skipped", 0);
        fields.Add(4, "kept", 1);
        fields.Add(4, "added", 1);
        fields.Add(8, "session", newer.Sessions[1].Session);
        fields.Add(8, "process", newer.Sessions[1].Process);
        fields.Add(4, "losses", "as they were");
        fields.Add(4, "checkpoints", "as they were");
        fields.Add(4, "namespaces", "as they were");
        fields.Add(4, "segments", 2);
        Column(fields, body, "gaps", 2);
        Chains(fields, body, 2);
        fields.Hex(8, "fingerprint", MapEncoding.Fingerprint(newer));
        return MapDifference.Encode(older, newer);
    }

    /// <summary>The map of the worked ReadMapReply, which the worked differences start from.</summary>
    public static ClusterMap WorkedMap()
    {
        byte[] frame = FieldList.Parse(ProtocolDocumentTests.Block("ReadMapReply"));
        Assert.True(MapEncoding.TryDecode(frame.AsSpan(FrameHeader.Size), out ClusterMap map));
        return map;
    }

    private static void MapJobs(FieldList fields, ClusterMap map)
    {
        fields.Add(4, "jobs", map.Jobs.Length);
        foreach (MapJob job in map.Jobs)
        {
            fields.Add(4, "group", job.Group);
            fields.Add(4, "hosts", job.Hosts);
            fields.Add(4, "continuesWithout", job.ContinuesWithout ? 1 : 0);
            fields.Hex(8, "nonce", job.Nonce);
            fields.Add(8, "announced", job.Change.Announced);
            fields.Add(8, "notBefore", job.Change.NotBefore);
            fields.Add(8, "loadedThrough", job.LoadedThrough);
            fields.Text("name", job.Name);
            fields.Add(4, "workers", job.Workers.Length);
            foreach (MapWorker worker in job.Workers)
            {
                fields.Add(8, "process", worker.Process);
                fields.Add(8, "session", worker.Session);
                fields.Add(8, "from", worker.From);
                fields.Add(8, "through", worker.Through);
                fields.Add(8, "finishedThrough", worker.FinishedThrough);
                fields.Hex(8, "joinedBy", worker.JoinedBy);
            }
        }

        fields.Add(4, "processes", map.Processes.Length);
        foreach (MapProcess process in map.Processes)
        {
            fields.Add(8, "process", process.Process);
            fields.Add(8, "incarnation", process.Incarnation);
            fields.Add(4, "group", process.Group);
            fields.Text("name", process.Name);
        }

        fields.Add(4, "sessions", map.Sessions.Length);
        foreach (MapSession session in map.Sessions)
        {
            fields.Add(8, "session", session.Session);
            fields.Add(8, "process", session.Process);
        }

        fields.Add(4, "losses", map.Losses.Length);
        foreach (MapLoss loss in map.Losses)
        {
            fields.Add(8, "node", loss.Node);
            fields.Add(4, "segments", loss.Segments);
            fields.Add(8, "rows", loss.Rows);
            fields.Text("address", loss.Address);
        }

        fields.Add(4, "checkpoints", map.Checkpoints.Length);
        foreach (MapCheckpoint checkpoint in map.Checkpoints)
        {
            fields.Hex(8, "id", checkpoint.Id);
            fields.Add(8, "process", checkpoint.Process);
            fields.Add(8, "began", checkpoint.Began);
            fields.Add(4, "state", checkpoint.State);
            fields.Add(4, "cuts", checkpoint.Cuts.Length);
            foreach (MapCut cut in checkpoint.Cuts)
            {
                fields.Add(4, "group", cut.Group);
                fields.Add(8, "iteration", cut.Iteration);
            }
        }

        fields.Add(4, "namespaces", map.Namespaces.Length);
        foreach (MapNamespace item in map.Namespaces)
        {
            fields.Add(8, "quotaBytes", item.QuotaBytes);
            fields.Text("name", item.Name);
        }
    }

    private static byte[] AddWorkers(FieldList fields, byte[] body)
    {
        Assert.True(AddWorkersBody.TryRead(body, out AddWorkersBody add));
        fields.Add(4, "group", add.Group);
        fields.Add(4, "count", add.Count);
        fields.Add(4, "known", add.Known);
        fields.Add(8, "notBefore", add.NotBefore);
        fields.Hex(8, "nonce", add.Nonce);
        return Written(add);
    }

    private static byte[] RemoveWorker(FieldList fields, byte[] body)
    {
        Assert.True(RemoveWorkerBody.TryRead(body, out RemoveWorkerBody remove));
        fields.Add(4, "group", remove.Group);
        fields.Add(4, "worker", remove.Worker);
        fields.Add(8, "notBefore", remove.NotBefore);
        return Written(remove);
    }

    private static byte[] Begun(FieldList fields, byte[] body)
    {
        Assert.True(BegunBody.TryRead(body, out BegunBody begun));
        fields.Add(4, "group", begun.Group);
        fields.Add(4, "worker", begun.Worker);
        fields.Add(8, "announced", begun.Announced);
        fields.Add(8, "iteration", begun.Iteration);
        return Written(begun);
    }

    private static void Stream(FieldList fields, uint table, uint segment, ulong n)
    {
        fields.Add(4, "table", table);
        fields.Add(4, "segment", segment);
        fields.Add(8, "n", n);
    }

    private static void Rule(FieldList fields, UpdateRule rule)
    {
        fields.Add(4, "rule", rule.Kind);
        fields.Add(4, "a", rule.A);
        fields.Add(4, "b", rule.B);
        fields.Add(4, "c", rule.C);
        fields.Add(4, "d", rule.D);
    }

    private static void Keys(FieldList fields, KeyEncoding encoding, uint segment, int rows, ReadOnlySpan<byte> bytes)
    {
        ulong[] keys = new ulong[rows];
        var range = KeyRange.OfSegment((int)segment, WorkedSegmentBits);
        switch (encoding)
        {
            case KeyEncoding.Raw:
                foreach (ulong key in MemoryMarshal.Cast<byte, ulong>(bytes))
                {
                    fields.Add(8, "key", key);
                }

                break;
            case KeyEncoding.PackedDelta:
                Assert.True(PackedKeys.TryReadDelta(bytes, range, keys));
                fields.Add(1, "bits", bytes[0]);
                fields.Add(bytes.Length - 1, "gaps", string.Join(' ', keys.Select((k, i) => Mix.Of(k) - (i == 0 ? range.First : Mix.Of(keys[i - 1]) + 1))));
                break;
            case KeyEncoding.Packed:
                Assert.True(PackedKeys.TryReadPacked(bytes, keys));
                fields.Add(1, "bits", bytes[0]);
                fields.Add(bytes.Length - 1, "keys", string.Join(' ', keys));
                break;
            default:
                fields.Add(16, "hash", $"0x{BinaryPrimitives.ReadUInt128LittleEndian(bytes):X32}");
                break;
        }

        fields.Padding(PartHeader.Pad8(bytes.Length) - bytes.Length);
    }

    private static void Values(FieldList fields, ValueEncoding encoding, int floats, ReadOnlySpan<byte> bytes)
    {
        float[] read = new float[floats];
        Assert.True(ValueEncodings.TryRead(encoding, bytes, read));
        ValueEncoding numbers = encoding & ~ValueEncoding.ZeroBitmap;
        int bitmapBytes = numbers == encoding ? 0 : ZeroBitmap.Words(floats) * sizeof(ulong);
        int kept = numbers == encoding ? floats : bytes[^bitmapBytes..].ToArray().Sum(b => BitOperations.PopCount(b));
        int packed = ValueEncodings.Bytes(numbers, kept);
        Numbers(fields, numbers, kept, bytes[..packed]);
        fields.Padding(PartHeader.Pad8(packed) - packed);
        foreach (ulong word in MemoryMarshal.Cast<byte, ulong>(bytes[^bitmapBytes..]))
        {
            fields.Add(8, "bitmap", Convert.ToString((long)word, 2).PadLeft(Math.Min(floats, 64), '0'));
        }
    }

    private static void Numbers(FieldList fields, ValueEncoding numbers, int count, ReadOnlySpan<byte> bytes)
    {
        float[] read = new float[count];
        Assert.True(ValueEncodings.TryRead(numbers, bytes, read));
        for (int i = 0; i < count; i++)
        {
            if (numbers == ValueEncoding.Int8 && i % Int8Values.Block == 0)
            {
                fields.Add(4, "step", BinaryPrimitives.ReadSingleLittleEndian(bytes[(i / Int8Values.Block * (Int8Values.Block + 4))..]));
            }

            int at = i + (((i / Int8Values.Block) + 1) * 4);
            fields.Add(numbers == ValueEncoding.Raw ? 4 : numbers == ValueEncoding.BFloat16 ? 2 : 1, numbers == ValueEncoding.Int8 ? "steps" : "value", numbers == ValueEncoding.Int8 ? (sbyte)bytes[at] : read[i]);
        }
    }

    private static byte[] Written<TBody>(in TBody body)
        where TBody : IBody
    {
        byte[] bytes = new byte[body.Bytes];
        var writer = new ByteWriter(bytes);
        body.Write(ref writer);
        Assert.Equal(bytes.Length, writer.Position);
        return bytes;
    }
}
