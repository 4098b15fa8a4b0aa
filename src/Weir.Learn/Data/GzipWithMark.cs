using System.IO.Compression;

namespace Weir.Learn.Data;

/// <summary>
/// A gzip file followed by one more gzip member that holds a mark. The platform's decompressor takes a file that is cut short for one that
/// ends; with this in between, what it unpacks ends with the mark only if the file's own last member was whole. Several members in a file
/// are legal. Not thread-safe.
/// </summary>
internal sealed class GzipWithMark(Stream file) : Stream
{
    private static readonly byte[] MarkMember = Pack();

    private int _position;

    /// <summary>What whole data end with; it has no line feed.</summary>
    public static ReadOnlySpan<byte> Mark => "\u0004the file was whole"u8;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    // A stream that is read forwards alone: of what else a Stream may do its contract wants this exception.
    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override int Read(Span<byte> buffer)
    {
        int read = file.Read(buffer);
        if (read == 0)
        {
            read = Math.Min(buffer.Length, MarkMember.Length - _position);
            MarkMember.AsSpan(_position, read).CopyTo(buffer);
            _position += read;
        }

        return read;
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
        // Nothing is written.
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            file.Dispose();
        }

        base.Dispose(disposing);
    }

    private static byte[] Pack()
    {
        var packed = new MemoryStream();
        using (var stream = new GZipStream(packed, CompressionLevel.Fastest))
        {
            stream.Write(Mark);
        }

        return packed.ToArray();
    }
}
