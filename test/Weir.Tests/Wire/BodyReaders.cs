using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>The production reader of each kind's body, as servers and clients call it.</summary>
internal sealed class BodyReaders
{
    private readonly List<PartReply> _replies = [];
    private readonly List<ClockEntry> _clocks = [];

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
        FrameKind.PaxosReply => PaxosReplyBody.TryRead(body, out _),
        FrameKind.ReadMapReply => MapEncoding.TryDecode(body, out _),
        FrameKind.JoinNode => JoinNodeBody.TryRead(body, out _),
        FrameKind.JoinProcess => JoinProcessBody.TryRead(body, out _),
        FrameKind.OpenTable => OpenTableBody.TryRead(body, out _),
        FrameKind.OpenJob => OpenJobBody.TryRead(body, out _),
        FrameKind.OpenSession => OpenSessionBody.TryRead(body, out _),
        FrameKind.EndSession => EndSessionBody.TryRead(body, out _),
        FrameKind.DropTable or FrameKind.EndJob => NumberBody.TryRead(body, out _),
        FrameKind.Leave => LeaveBody.TryRead(body, out _),
        FrameKind.AdminReply => AdminReplyBody.TryRead(body, out _),
        FrameKind.Scan => ScanBody.TryRead(body, out _),
        FrameKind.ScanReply => TryReadScanReply(body),
        FrameKind.StatusReply => StatusReplyBody.TryRead(body, out _),
        FrameKind.SentReply or FrameKind.ClockReply or FrameKind.ReadMap or FrameKind.Status => body.IsEmpty,
        _ => false,
    };

    private static bool TryReadData(ReadOnlySpan<byte> body)
    {
        var reader = new DataRequestReader(body);
        ulong touched = 0;
        while (reader.NextPart(out _, out ReadOnlySpan<ulong> keys, out ReadOnlySpan<byte> values))
        {
            touched += Touch(keys) + Touch(values);
        }

        while (reader.NextItem(out _, out ReadOnlySpan<ulong> keys))
        {
            touched += Touch(keys);
        }

        return reader.AtEnd && touched != ulong.MaxValue;
    }

    private static bool TryReadPullReply(ReadOnlySpan<byte> body)
    {
        var reader = new ByteReader(body);
        int items = reader.Count(PullReplyItem.Size);
        reader.UInt32();
        ulong touched = 0;
        for (int i = 0; i < items; i++)
        {
            if (!PullReplyItem.TryRead(ref reader, out _, out ReadOnlySpan<byte> found, out ReadOnlySpan<byte> values))
            {
                return false;
            }

            touched += Touch(found) + Touch(values);
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
