using System.Buffers;
using System.IO.Compression;

namespace Weir.Learn.Data;

/// <summary>
/// The lines of a plain or gzip text file, as bytes in a pooled buffer. Memory is bounded by the longest line allowed, whatever the file
/// holds. Not thread-safe.
/// </summary>
internal sealed class LineReader : IDisposable
{
    /// <summary>The longest line, without its line feed: 1 MiB holds 90,000 features of a 64-bit key.</summary>
    public const int MaxLineBytes = 1 << 20;

    private const int FirstBufferBytes = 256 << 10;

    private readonly string _name;
    private readonly Stream _stream;
    private readonly bool _packed;
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(FirstBufferBytes);
    private int _start;
    private int _end;
    private bool _ended;

    private LineReader(string name, FileStream file)
    {
        _name = name;
        _packed = IsGzip(file);
        _stream = _packed ? new GZipStream(new GzipWithMark(file), CompressionMode.Decompress) : file;
    }

    /// <summary>The number of the line read last, counted from 1.</summary>
    public long Line { get; private set; }

    /// <summary>Opens a file; one that begins with the gzip magic number is unpacked on the way.</summary>
    /// <exception cref="DataException">There is no such file, it is a directory, it is empty, or it may not be read.</exception>
    public static LineReader Open(string path)
    {
        if (Directory.Exists(path))
        {
            throw new DataException(path, "is a directory; expected a LIBSVM file");
        }

        try
        {
            // The buffer is here, so the stream needs none of its own.
            var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            return new LineReader(path, file);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DataException(path, "there is no such file", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new DataException(path, $"cannot be opened: {exception.Message}", exception);
        }
    }

    /// <summary>The next line without its line feed and carriage return. The bytes are valid until the next call.</summary>
    /// <returns>False at the end of the file.</returns>
    public bool TryRead(out ReadOnlySpan<byte> line)
    {
        int searched = 0;
        while (true)
        {
            int length = _buffer.AsSpan(_start + searched, _end - _start - searched).IndexOf((byte)'\n');
            if (length >= 0)
            {
                line = Take(searched + length, 1);
                return true;
            }

            searched = _end - _start;
            if (searched > MaxLineBytes + GzipWithMark.Mark.Length)
            {
                throw TooLong();
            }

            if (_ended)
            {
                // The last line may lack its line feed; a file that ends with one has no further line.
                line = searched > 0 ? Take(searched, 0) : default;
                return searched > 0;
            }

            Fill();

            // At the end of a gzip file the mark is taken off what was searched.
            searched = Math.Min(searched, _end - _start);
        }
    }

    public void Dispose()
    {
        _stream.Dispose();
        byte[] buffer = _buffer;
        _buffer = [];
        _start = _end = 0;
        _ended = true;
        if (buffer.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static bool IsGzip(FileStream file)
    {
        Span<byte> magic = stackalloc byte[2];
        int read = file.ReadAtLeast(magic, 2, throwOnEndOfStream: false);
        file.Position = 0;
        return read == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    }

    private ReadOnlySpan<byte> Take(int length, int separator)
    {
        if (length > MaxLineBytes)
        {
            throw TooLong();
        }

        ReadOnlySpan<byte> line = _buffer.AsSpan(_start, length);
        _start += length + separator;
        Line++;
        if (line.EndsWith("\r"u8))
        {
            line = line[..^1];
        }

        // Some editors begin a UTF-8 file with a byte order mark.
        return Line == 1 && line.StartsWith("\uFEFF"u8) ? line[3..] : line;
    }

    private void Fill()
    {
        int kept = _end - _start;
        if (_start > 0)
        {
            _buffer.AsSpan(_start, kept).CopyTo(_buffer);
            (_start, _end) = (0, kept);
        }

        if (kept == _buffer.Length)
        {
            // The length was checked against the longest line before, so this grows to little over twice that at the most.
            byte[] larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
            _buffer.AsSpan(0, kept).CopyTo(larger);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }

        try
        {
            int read = _stream.Read(_buffer, _end, _buffer.Length - _end);
            _ended = read == 0;
            _end += read;
        }
        catch (InvalidDataException exception)
        {
            throw Damaged(exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DataException(_name, $"cannot be read after line {Line}: {exception.Message}", exception);
        }

        if (_ended && _packed)
        {
            // The mark has no line feed, so no line has taken it away.
            if (!_buffer.AsSpan(_start, _end - _start).EndsWith(GzipWithMark.Mark))
            {
                throw Damaged(null);
            }

            _end -= GzipWithMark.Mark.Length;
        }
    }

    private DataException Damaged(Exception? exception) => new(_name, $"the gzip data is damaged or cut short after line {Line}", exception);

    private DataException TooLong() => new(_name, Line + 1, $"the line is longer than {MaxLineBytes:N0} bytes (1 MiB)");
}
