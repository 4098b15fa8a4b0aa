using System.Buffers.Binary;
using System.Globalization;
using System.IO.Hashing;

namespace Weir.Learn.Data;

/// <summary>
/// Model files, laid out in docs/model.md: a header, an entry of key and weight for each weight that is not 0, a checksum. Equal weights
/// give equal bytes: there is no time, path or server in it. Static, hence thread-safe.
/// </summary>
public static class ModelFile
{
    private const int HeaderBytes = 40;
    private const int EntryBytes = 12;
    private const int ChecksumBytes = 8;
    private const uint Version = 1;
    private const uint KindLogistic = 1;
    private const uint FlagIntercept = 1;
    private const int ChunkEntries = 8192;

    private static ReadOnlySpan<byte> Magic => "WEIRMODL"u8;

    /// <summary>Writes a model under a temporary name beside <paramref name="path"/> and renames it, so that no reader sees half of one.</summary>
    /// <param name="path">Where to; a file there is replaced.</param>
    /// <param name="model">The weights.</param>
    /// <exception cref="DataException">It cannot be written; what was there before still is.</exception>
    public static void Write(string path, LinearModel model) => Replace(path, stream => Write(stream, model));

    /// <summary>Reads and checks a model.</summary>
    /// <param name="path">The file.</param>
    /// <returns>The model.</returns>
    /// <exception cref="DataException">The file is missing, is no model, is of another version, is damaged or cut short; the message says which.</exception>
    public static LinearModel Read(string path)
    {
        if (Directory.Exists(path))
        {
            throw new DataException(path, "is a directory; expected a model file");
        }

        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0, FileOptions.SequentialScan);
            return Read(path, stream);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new DataException(path, "there is no such file", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DataException(path, $"cannot be read: {exception.Message}", exception);
        }
    }

    /// <summary>Writes a model as text: a line <c>key TAB weight</c> for each weight, keys ascending, weights in the fewest digits that read back the same.</summary>
    /// <param name="path">Where to; a file there is replaced as by <see cref="Write(string, LinearModel)"/>.</param>
    /// <param name="model">The weights.</param>
    /// <exception cref="DataException">It cannot be written.</exception>
    public static void WriteText(string path, LinearModel model) => Replace(path, stream =>
    {
        using var writer = new StreamWriter(stream, leaveOpen: true) { NewLine = "\n" };
        Span<char> line = stackalloc char[64];
        for (int index = 0; index < model.Count; index++)
        {
            line.TryWrite(CultureInfo.InvariantCulture, $"{model.Keys[index]}\t{model.Weights[index]:R}\n", out int written);
            writer.Write(line[..written]);
        }
    });

    internal static void Write(Stream stream, LinearModel model)
    {
        var hash = new XxHash3();
        var buffer = new byte[ChunkEntries * EntryBytes];
        Span<byte> header = buffer.AsSpan(0, HeaderBytes);
        Magic.CopyTo(header);
        BinaryPrimitives.WriteUInt32LittleEndian(header[8..], Version);
        BinaryPrimitives.WriteUInt32LittleEndian(header[12..], KindLogistic);
        BinaryPrimitives.WriteUInt32LittleEndian(header[16..], 1);
        BinaryPrimitives.WriteUInt32LittleEndian(header[20..], model.InterceptKey.HasValue ? FlagIntercept : 0);
        BinaryPrimitives.WriteUInt64LittleEndian(header[24..], model.InterceptKey ?? 0);
        BinaryPrimitives.WriteUInt64LittleEndian(header[32..], (ulong)model.Count);
        Put(header);
        for (int start = 0; start < model.Count; start += ChunkEntries)
        {
            int count = Math.Min(ChunkEntries, model.Count - start);
            for (int index = 0; index < count; index++)
            {
                Span<byte> entry = buffer.AsSpan(index * EntryBytes, EntryBytes);
                BinaryPrimitives.WriteUInt64LittleEndian(entry, model.Keys[start + index]);
                BinaryPrimitives.WriteSingleLittleEndian(entry[8..], model.Weights[start + index]);
            }

            Put(buffer.AsSpan(0, count * EntryBytes));
        }

        Span<byte> checksum = stackalloc byte[ChecksumBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(checksum, hash.GetCurrentHashAsUInt64());
        stream.Write(checksum);

        void Put(ReadOnlySpan<byte> bytes)
        {
            hash.Append(bytes);
            stream.Write(bytes);
        }
    }

    internal static LinearModel Read(string name, Stream stream)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        int got = stream.ReadAtLeast(header, HeaderBytes, throwOnEndOfStream: false);
        if (got == 0 || !Magic.StartsWith(header[..Math.Min(got, Magic.Length)]))
        {
            throw new DataException(name, got == 0 ? "the file is empty" : "is not a Weir model file: it does not begin with WEIRMODL");
        }

        uint version = got < 12 ? Version : BinaryPrimitives.ReadUInt32LittleEndian(header[8..]);
        if (version != Version)
        {
            throw new DataException(name, $"has format version {version}; this program reads version {Version}");
        }

        if (got < HeaderBytes)
        {
            throw CutShort(name);
        }

        uint kind = BinaryPrimitives.ReadUInt32LittleEndian(header[12..]);
        uint width = BinaryPrimitives.ReadUInt32LittleEndian(header[16..]);
        uint flags = BinaryPrimitives.ReadUInt32LittleEndian(header[20..]);
        ulong interceptKey = BinaryPrimitives.ReadUInt64LittleEndian(header[24..]);
        ulong count = BinaryPrimitives.ReadUInt64LittleEndian(header[32..]);
        if (kind != KindLogistic || width != 1 || (flags & ~FlagIntercept) != 0)
        {
            throw new DataException(name, $"is of kind {kind}, width {width}, flags {flags}; this program reads logistic regression: kind {KindLogistic}, width 1, flags 0 or 1");
        }

        // The length is known beforehand, so a damaged count cannot make this reserve memory that the file has no bytes for.
        ulong body = (ulong)Math.Max(0, stream.Length - HeaderBytes - ChecksumBytes);
        if (count > body / EntryBytes)
        {
            throw CutShort(name);
        }

        if (count * EntryBytes != body)
        {
            throw new DataException(name, $"has {body - (count * EntryBytes)} bytes too many for its {count} weights");
        }

        if (count > (ulong)Array.MaxLength)
        {
            throw new DataException(name, $"has {count} weights; this program reads {Array.MaxLength} at the most");
        }

        return ReadEntries(name, stream, header, (int)count, (flags & FlagIntercept) != 0 ? interceptKey : null);
    }

    private static LinearModel ReadEntries(string name, Stream stream, ReadOnlySpan<byte> header, int count, ulong? interceptKey)
    {
        var hash = new XxHash3();
        hash.Append(header);
        var keys = new ulong[count];
        var weights = new float[count];
        var buffer = new byte[ChunkEntries * EntryBytes];
        for (int start = 0; start < count; start += ChunkEntries)
        {
            Span<byte> chunk = buffer.AsSpan(0, Math.Min(ChunkEntries, count - start) * EntryBytes);
            if (stream.ReadAtLeast(chunk, chunk.Length, throwOnEndOfStream: false) < chunk.Length)
            {
                throw CutShort(name);
            }

            hash.Append(chunk);
            for (int index = 0; index < chunk.Length / EntryBytes; index++)
            {
                keys[start + index] = BinaryPrimitives.ReadUInt64LittleEndian(chunk[(index * EntryBytes)..]);
                weights[start + index] = BinaryPrimitives.ReadSingleLittleEndian(chunk[((index * EntryBytes) + 8)..]);
            }
        }

        Span<byte> checksum = stackalloc byte[ChecksumBytes];
        if (stream.ReadAtLeast(checksum, ChecksumBytes, throwOnEndOfStream: false) < ChecksumBytes)
        {
            throw CutShort(name);
        }

        if (BinaryPrimitives.ReadUInt64LittleEndian(checksum) != hash.GetCurrentHashAsUInt64())
        {
            throw new DataException(name, "is damaged: the checksum at its end does not match its content");
        }

        for (int index = 0; index < count; index++)
        {
            if (!float.IsFinite(weights[index]) || weights[index] == 0 || (index > 0 && keys[index] <= keys[index - 1]))
            {
                throw new DataException(name, $"is malformed at weight {index}: keys must ascend, weights must be finite and not 0");
            }
        }

        return LinearModel.OfSorted(keys, weights, interceptKey);
    }

    private static void Replace(string path, Action<Stream> write)
    {
        // One name a target: two writers of one file are an error of the caller, and what a crash left behind is overwritten next time.
        string temporary = path + ".tmp";
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                write(stream);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new DataException(path, $"cannot be written: {exception.Message}", exception);
        }
    }

    private static DataException CutShort(string name) => new(name, "is cut short: it has fewer bytes than its header promises");
}
