using System.IO.Hashing;
using Microsoft.Win32.SafeHandles;
using Weir.Keys;

namespace Weir.Host.Disk;

/// <summary>
/// The bytes of one file of a journal: a header that says whose it is and which blocks it begins with, then blocks, each with its length, its
/// number and a checksum. docs/durability.md has the layout.
/// </summary>
internal static class JournalFile
{
    public const int HeaderBytes = 56;
    public const int BlockHeadBytes = 24;

    private const ulong Magic = 0x314C4E5252494557; // "WEIRRNL1"
    private const uint BlockMagic = 0x31424A57; // "WJB1"
    private const uint Version = 1;

    /// <summary>The first bytes of a file.</summary>
    public static byte[] Header(ulong cluster, ulong node, ulong file, ulong firstBlock)
    {
        byte[] header = new byte[HeaderBytes];
        var writer = new ByteWriter(header);
        writer.UInt64(Magic);
        writer.UInt32(Version);
        writer.UInt32(0);
        writer.UInt64(cluster);
        writer.UInt64(node);
        writer.UInt64(file);
        writer.UInt64(firstBlock);
        writer.UInt64(XxHash3.HashToUInt64(header.AsSpan(0, HeaderBytes - 8)));
        return header;
    }

    /// <summary>What stands before a block.</summary>
    public static byte[] BlockHead(ulong number, ReadOnlySpan<byte> block)
    {
        byte[] head = new byte[BlockHeadBytes];
        var writer = new ByteWriter(head);
        writer.UInt32(BlockMagic);
        writer.Int32(block.Length);
        writer.UInt64(number);
        writer.UInt64(Checksum(head.AsSpan(0, 16), block));
        return head;
    }

    /// <summary>Reads a file's header; false where it is not whole.</summary>
    public static bool TryReadHeader(SafeFileHandle file, out uint version, out ulong cluster, out ulong node, out ulong number, out ulong firstBlock)
    {
        byte[] header = new byte[HeaderBytes];
        int read = RandomAccess.Read(file, header, 0);
        var reader = new ByteReader(header);
        bool isOurs = reader.UInt64() == Magic;
        version = reader.UInt32();
        reader.UInt32();
        (cluster, node, number, firstBlock) = (reader.UInt64(), reader.UInt64(), reader.UInt64(), reader.UInt64());
        return read == HeaderBytes && isOurs && reader.UInt64() == XxHash3.HashToUInt64(header.AsSpan(0, HeaderBytes - 8));
    }

    /// <summary>Whether this version can read a file whose header says so.</summary>
    public static bool Knows(uint version) => version == Version;

    /// <summary>Reads the block at a place of a file; false where there is no whole one.</summary>
    /// <param name="file">The file.</param>
    /// <param name="offset">Where.</param>
    /// <param name="length">The file's length.</param>
    /// <param name="buffer">Room, which grows as needed.</param>
    /// <param name="number">The block's number.</param>
    /// <param name="bytes">Its bytes, which begin the buffer.</param>
    public static bool TryReadBlock(SafeFileHandle file, long offset, long length, ref byte[] buffer, out ulong number, out int bytes)
    {
        Span<byte> head = stackalloc byte[BlockHeadBytes];
        (number, bytes) = (0, 0);
        if (offset + BlockHeadBytes > length || RandomAccess.Read(file, head, offset) != BlockHeadBytes)
        {
            return false;
        }

        var reader = new ByteReader(head);
        uint magic = reader.UInt32();
        bytes = reader.Int32();
        number = reader.UInt64();
        ulong checksum = reader.UInt64();
        if (magic != BlockMagic || bytes < 0 || offset + BlockHeadBytes + bytes > length)
        {
            return false;
        }

        buffer = buffer.Length >= bytes ? buffer : new byte[bytes];
        for (int at = 0; at < bytes;)
        {
            int read = RandomAccess.Read(file, buffer.AsSpan(at, bytes - at), offset + BlockHeadBytes + at);
            if (read == 0)
            {
                return false;
            }

            at += read;
        }

        return checksum == Checksum(head[..16], buffer.AsSpan(0, bytes));
    }

    /// <summary>Whether a whole block stands anywhere behind a place: then what is not whole there is no torn end.</summary>
    public static bool HasBlockBehind(SafeFileHandle file, long offset, long length)
    {
        const int Step = 8;
        byte[] window = new byte[1 << 20];
        byte[] block = [];
        for (long at = offset + Step; at + BlockHeadBytes <= length; at += window.Length)
        {
            int read = RandomAccess.Read(file, window, at);
            for (int i = 0; i + sizeof(uint) <= read; i += Step)
            {
                if (BitConverter.ToUInt32(window, i) == BlockMagic && TryReadBlock(file, at + i, length, ref block, out _, out _))
                {
                    return true;
                }
            }
        }

        return false;
    }

    private static ulong Checksum(ReadOnlySpan<byte> head, ReadOnlySpan<byte> block)
    {
        var hash = new XxHash3();
        hash.Append(head);
        hash.Append(block);
        return hash.GetCurrentHashAsUInt64();
    }
}
