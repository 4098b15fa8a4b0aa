using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>The production reader of each kind's body, as servers and clients call it.</summary>
internal sealed class BodyReaders
{
    private readonly ClusterMap _map = FrameSamples.Map(FrameSamples.Names.Default);
    private readonly List<PartReply> _replies = [];
    private readonly List<ClockEntry> _clocks = [];
    private readonly ulong[] _keys = new ulong[FrameHeader.MaxBodyBytes / sizeof(ulong)];
    private readonly float[] _floats = new float[FrameHeader.MaxBodyBytes / sizeof(float)];

    /// <summary>Whether the body makes sense as a frame of the kind. It must not throw, whatever the bytes.</summary>
    public bool TryRead(FrameKind kind, ReadOnlySpan<byte> body) => kind switch
    {
        FrameKind.Push or FrameKind.Pull or FrameKind.PushPull => TryReadData(body),
        FrameKind.PushReply => PushReplyBody.TryRead(body, _replies),
        FrameKind.PullReply => TryReadPullReply(body),
        FrameKind.Clock => ClockBody.TryRead(body, _clocks),
        FrameKind.Sent => SentBody.TryRead(body, out _),
        FrameKind.Heartbeat => HeartbeatBody.TryRead(body, _clocks, out _),
        FrameKind.HeartbeatReply => HeartbeatReplyBody.TryRead(body, _clocks, out _),
        FrameKind.Hello or FrameKind.HelloReply => HelloBody.TryRead(body, out _),
        FrameKind.Error => StatusBody.TryRead(body, out _),
        FrameKind.RegisterRead or FrameKind.RegisterSwap => RegisterBody.TryRead(body, out _),
        FrameKind.RegisterReply => RegisterReplyBody.TryRead(body, out _),
        FrameKind.PaxosPrepare or FrameKind.PaxosAccept => PaxosBody.TryRead(body, kind == FrameKind.PaxosAccept, out _),
        FrameKind.Entries => TryReadEntries(body),
        FrameKind.EntryAck => ChainBody<EntryAck>.TryRead(body, [], out _),
        FrameKind.Confirm or FrameKind.Confirmed => ChainBody<ConfirmEntry>.TryRead(body, [], out _),
        FrameKind.CopyBegin or FrameKind.CopyAck => CopyBody.TryRead(body, out _),
        FrameKind.CopySlice => TryReadSlice(body),
        FrameKind.OpenCheckpoint => OpenCheckpointBody.TryRead(body, out _),
        FrameKind.EndCheckpoint => EndCheckpointBody.TryRead(body, out _),
        FrameKind.BeginRestore => BeginRestoreBody.TryRead(body, out _),
        FrameKind.CheckpointRead => CheckpointReadBody.TryRead(body, out _),
        FrameKind.CheckpointSlice => TryReadCheckpointSlice(body),
        FrameKind.RestoreRows => TryReadRestoreRows(body),
        FrameKind.RestoreReply => RestoreReplyBody.TryRead(body, out _),
        FrameKind.Step => StepBody.TryRead(body, []),
        FrameKind.Report => ChainBody<Claim>.TryRead(body, [], out _),
        FrameKind.PaxosReply => PaxosReplyBody.TryRead(body, out _),
        FrameKind.ReadMapReply => MapEncoding.TryDecode(body, out _),
        FrameKind.MapDifferences => MapDifference.TryApply(_map, body, out _),
        FrameKind.JoinNode => JoinNodeBody.TryRead(body, out _),
        FrameKind.JoinProcess => JoinProcessBody.TryRead(body, out _),
        FrameKind.OpenTable => OpenTableBody.TryRead(body, out _),
        FrameKind.OpenJob => OpenJobBody.TryRead(body, out _),
        FrameKind.OpenSession => OpenSessionBody.TryRead(body, out _),
        FrameKind.EndSession => EndSessionBody.TryRead(body, out _),
        FrameKind.AddWorkers => AddWorkersBody.TryRead(body, out _),
        FrameKind.RemoveWorker => RemoveWorkerBody.TryRead(body, out _),
        FrameKind.Begun => BegunBody.TryRead(body, out _),
        FrameKind.SetDelayBound => SetDelayBoundBody.TryRead(body, out _),
        FrameKind.SetNamespaceQuota => SetNamespaceQuotaBody.TryRead(body, out _),
        FrameKind.ServeTasks => ServeTasksBody.TryRead(body, out _),
        FrameKind.Task => TaskBody.TryRead(body, out _),
        FrameKind.TaskReply => TaskReplyBody.TryRead(body, out _),
        FrameKind.DropTable or FrameKind.EndJob => NumberBody.TryRead(body, out _),
        FrameKind.Leave => LeaveBody.TryRead(body, out _),
        FrameKind.Drain => DrainBody.TryRead(body, out _),
        FrameKind.Forget => ForgetBody.TryRead(body, out _),
        FrameKind.AdminReply => AdminReplyBody.TryRead(body, out _),
        FrameKind.Scan => ScanBody.TryRead(body, out _),
        FrameKind.ScanHighest => ScanHighestBody.TryRead(body, out _),
        FrameKind.ScanReply => TryReadScanReply(body),
        FrameKind.StatusReply => StatusReplyBody.TryRead(body, out _),
        FrameKind.SentReply or FrameKind.ClockReply or FrameKind.ReadMap or FrameKind.Status => body.IsEmpty,
        _ => false,
    };

    private static bool TryReadEntries(ReadOnlySpan<byte> body)
    {
        var reader = new EntriesReader(body);
        ulong touched = 0;
        while (reader.Next(out _, out ReadOnlySpan<byte> bytes))
        {
            touched += Touch(bytes);
        }

        return reader.AtEnd && touched <= ulong.MaxValue;
    }

    private static bool TryReadCheckpointSlice(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        if (CheckpointSliceHead.Read(ref reader).Status == Status.Acked)
        {
            return TryReadRecords(ref reader);
        }

        reader.Text();
        return reader.AtEnd;
    }

    private static bool TryReadRestoreRows(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        return RestoreRowsBody.TryReadHead(ref reader, out _, out _) && TryReadRecords(ref reader);
    }

    private static bool TryReadSlice(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        CopySliceHead.Read(ref reader);
        return TryReadRecords(ref reader);
    }

    private static bool TryReadRecords(ref ByteReader reader)
    {
        while (reader.Left > 0 && !reader.Failed)
        {
            var record = CopyRecord.Read(ref reader);
            reader.Take(record.Bytes);
            reader.SkipPadTo8();
        }

        return reader.AtEnd;
    }

    private bool TryReadData(ReadOnlySpan<byte> body)
    {
        var reader = new DataRequestReader(body);
        ulong touched = 0;
        while (reader.NextPart(out PartHeader part, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values))
        {
            touched += Touch(keys) + Touch(values) + Decode(part.KeyEncoding, part.Segment, part.Rows, keys);
            if (part.ValueEncoding != ValueEncoding.Raw)
            {
                touched += ValueEncodings.TryRead(part.ValueEncoding, values, _floats.AsSpan(0, Math.Min(part.Rows * FrameSamples.Width, _floats.Length))) ? 1UL : 0;
            }
        }

        while (reader.NextItem(out PullItem item, out ReadOnlySpan<byte> keys))
        {
            touched += Touch(keys) + Decode(item.KeyEncoding, item.Segment, item.Rows, keys);
        }

        return reader.AtEnd && touched != ulong.MaxValue;
    }

    /// <summary>What was decoded is as sound as the store needs it, whatever the bytes.</summary>
    private ulong Decode(KeyEncoding encoding, uint segment, int rows, ReadOnlySpan<byte> bytes)
    {
        Span<ulong> keys = _keys.AsSpan(0, encoding is KeyEncoding.PackedDelta or KeyEncoding.Packed ? rows : 0);
        var range = KeyRange.OfSegment((int)segment, FrameSamples.SegmentBits);
        bool read = encoding switch
        {
            KeyEncoding.PackedDelta => PackedKeys.TryReadDelta(bytes, range, keys),
            KeyEncoding.Packed => PackedKeys.TryReadPacked(bytes, keys),
            _ => false,
        };
        for (int i = 0; read && encoding == KeyEncoding.PackedDelta && i < keys.Length; i++)
        {
            Assert.True(range.Contains(Mix.Of(keys[i])) && (i == 0 || Mix.Of(keys[i]) > Mix.Of(keys[i - 1])));
        }

        return read ? 1UL : 0;
    }

    private bool TryReadPullReply(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        int items = reader.Count(PullReplyItem.Size);
        reader.UInt32();
        ulong touched = 0;
        for (int i = 0; i < items; i++)
        {
            if (!PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out ReadOnlySpan<byte> found, out ReadOnlySpan<byte> values))
            {
                return false;
            }

            touched += Touch(found) + Touch(values);
            if (piece.ValueEncoding != ValueEncoding.Raw)
            {
                touched += ValueEncodings.TryRead(piece.ValueEncoding, values, _floats.AsSpan(0, Math.Min(piece.Found * FrameSamples.Width, _floats.Length))) ? 1UL : 0;
            }
        }

        return reader.AtEnd && touched != ulong.MaxValue;
    }

    private static bool TryReadScanReply(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        bool sound = ScanReplyHead.TryRead(ref reader, out _, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values);
        return Touch(keys) + Touch(values) != ulong.MaxValue && sound && reader.AtEnd;
    }

    // The ends are read, so that a span that reaches beyond its frame is caught by the guard behind it.
    private static ulong Touch(ReadOnlySpan<ulong> span) => span.IsEmpty ? 0 : span[0] ^ span[^1];

    private static ulong Touch(ReadOnlySpan<byte> span) => span.IsEmpty ? 0UL : (ulong)(span[0] ^ span[^1]);
}
