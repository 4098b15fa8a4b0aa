using System.Buffers.Binary;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>Frames with a body that can be checked.</summary>
internal static class TestFrames
{
    public static FrameBuffer Make(FramePool pool, ulong requestId, int bodyBytes, FrameKind kind = FrameKind.Push)
    {
        FrameBuffer frame = pool.Rent(FrameHeader.Size + bodyBytes);
        Fill(frame.Span[FrameHeader.Size..], requestId);
        var header = new FrameHeader { Kind = kind, RequestId = requestId, Cluster = 7, MapVersion = 1 };
        header.Seal(frame.Span);
        return frame;
    }

    public static byte[] Bytes(ulong requestId, int bodyBytes, FrameKind kind = FrameKind.Push)
    {
        var frame = new byte[FrameHeader.Size + bodyBytes];
        Fill(frame.AsSpan(FrameHeader.Size), requestId);
        var header = new FrameHeader { Kind = kind, RequestId = requestId, Cluster = 7, MapVersion = 1 };
        header.Seal(frame);
        return frame;
    }

    /// <summary>A header whose own checksum is right, whatever its fields say.</summary>
    public static byte[] WithLength(int bodyLength)
    {
        byte[] frame = Bytes(1, 0);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(8), bodyLength);
        SealHeader(frame);
        return frame;
    }

    /// <summary>A frame without a body of another version, whole in itself.</summary>
    public static byte[] WithVersion(byte version)
    {
        byte[] frame = Bytes(1, 0);
        frame[4] = version;
        SealHeader(frame);
        return frame;
    }

    public static FrameHeader Header(ReadOnlySpan<byte> frame)
    {
        Assert.Equal(HeaderFault.None, FrameHeader.TryRead(frame, out FrameHeader header));
        Assert.True(header.BodyIsWhole(frame[FrameHeader.Size..]));
        return header;
    }

    public static ulong RequestId(FrameBuffer frame) => Header(frame.Span).RequestId;

    private static void Fill(Span<byte> body, ulong seed) => new Random((int)(seed % int.MaxValue)).NextBytes(body);

    // CRC32C over all of the header but bytes 36..39, as docs/protocol.md says.
    private static void SealHeader(Span<byte> frame)
    {
        uint crc = uint.MaxValue;
        for (int at = 0; at < FrameHeader.Size; at += 4)
        {
            if (at != 36)
            {
                crc = System.Numerics.BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(frame[at..]));
            }
        }

        BinaryPrimitives.WriteUInt32LittleEndian(frame[36..], ~crc);
    }
}
