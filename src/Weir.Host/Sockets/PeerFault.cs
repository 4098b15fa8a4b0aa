using System.Buffers.Binary;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>What a peer did wrong, told to it in one error frame before its connection is closed.</summary>
/// <param name="Status">Conflict: it speaks another protocol version. Busy: a bound was reached. DeadlineExceeded: it was too slow. Malformed: its bytes make no sense.</param>
/// <param name="Text">A sentence for the log on both sides.</param>
internal sealed record PeerFault(Status Status, string Text)
{
    private static readonly byte[] MagicBytes = "WEIR"u8.ToArray();

    /// <summary>The fault of a header that was refused.</summary>
    public static PeerFault Of(HeaderFault fault, ReadOnlySpan<byte> header) => fault switch
    {
        HeaderFault.UnknownVersion => new(
            Status.Conflict,
            $"a frame has protocol version {header[4]}; this side speaks version {FrameHeader.Version}"),
        HeaderFault.BadLength => new(
            Status.Malformed,
            $"a frame's body of {BinaryPrimitives.ReadInt32LittleEndian(header[8..])} bytes was announced; it must be from 0 to {FrameHeader.MaxBodyBytes}"),
        HeaderFault.BadChecksum => new(Status.Malformed, "a frame header's checksum is wrong"),
        _ => NotWeir,
    };

    public static readonly PeerFault BadBody = new(Status.Malformed, "a frame body's checksum is wrong");

    private static readonly PeerFault NotWeir =
        new(Status.Malformed, $"the bytes are no Weir frame; this is Weir, protocol version {FrameHeader.Version}");

    public static PeerFault TooMuchUnfinished(long limitBytes) =>
        new(Status.Busy, $"frames of {limitBytes} bytes in all have been begun on this node's connections and not ended; try again");

    /// <summary>
    /// A fault that shows before a header is whole, so that an HTTP request or a port scanner is not waited for; null while the bytes may
    /// still become a header.
    /// </summary>
    public static PeerFault? Early(ReadOnlySpan<byte> begun)
    {
        int known = Math.Min(begun.Length, MagicBytes.Length);
        return begun[..known].SequenceEqual(MagicBytes.AsSpan(0, known)) ? null : NotWeir;
    }

    /// <summary>The error frame: the status in a byte, then the text. The caller holds its one reference.</summary>
    public FrameBuffer ToFrame()
    {
        FrameBuffer frame = FramePool.Shared.Rent(FrameHeader.Size + 1 + ByteWriter.TextBytes(Text));
        var body = new ByteWriter(frame.Span[FrameHeader.Size..]);
        body.Byte((byte)Status);
        body.Text(Text);
        var header = new FrameHeader { Kind = FrameKind.Error };
        header.Seal(frame.Span);
        return frame;
    }
}
