using System.Collections.Concurrent;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Weir.World;

namespace Weir.Host.Disk;

/// <summary>
/// A node's journal in a folder of files (design R23): what is appended is written and flushed on a thread of its own, all that waits together; then
/// the node's loop is woken to take the results. The folder belongs to one node of one cluster, and to one process at a time. A torn end is cut when
/// the folder is opened; anything else that is not whole is an error that names file and place. After the first failure every append fails (promise
/// G13). Reading, appending and taking results are for the node's loop; the rest is thread-safe.
/// </summary>
internal sealed class JournalFolder : IJournal, IDisposable
{
    private const string OwnerFile = "owner";
    private const string Prefix = "journal-";

    /// <summary>Where a file ends and the next begins: small enough that parts go soon after they are not needed, large enough that files are few.</summary>
    private const long FileBytes = 64L << 20;

    private readonly string _folder;
    private readonly ulong _cluster;
    private readonly FileStream _lock;
    private readonly Action _ended;
    private readonly BlockingCollection<Order> _orders = new();
    private readonly ConcurrentQueue<DiskResult> _results = new();
    private readonly Thread _thread;
    private readonly SortedDictionary<ulong, long> _files = [];
    private readonly List<ulong> _past;

    // The loop's: the file that appends go to, and where reading is.
    private ulong _file;
    private int _reading;
    private long _readAt;
    private SafeFileHandle? _read;
    private byte[] _block = [];

    // The thread's.
    private SafeFileHandle? _open;
    private ulong _openFile;
    private long _at;
    private ulong _nextBlock;
    private bool _hasFailed;

    /// <summary>A block for a file, or, without one, the files before that to delete.</summary>
    private readonly record struct Order(ulong File, ReadOnlyMemory<byte>? Block, ulong Ticket);

    private JournalFolder(string folder, ulong number, ulong cluster, ulong node, bool hasPast, FileStream held, Action ended)
    {
        (_folder, Number, _cluster, Node, HasPast, _lock, _ended) = (folder, number, cluster, node, hasPast, held, ended);
        _nextBlock = 1;
        Check();
        _past = [.. _files.Keys];
        _file = _past.Count == 0 ? 1 : _past[^1] + 1;
        _thread = new Thread(Run) { IsBackground = true, Name = $"journal in {folder}" };
        _thread.Start();
    }

    /// <summary>The node that the journal is of: it keeps its id from start to start.</summary>
    public ulong Node { get; }

    /// <inheritdoc/>
    public ulong Number { get; }

    /// <inheritdoc/>
    public bool HasPast { get; }

    /// <inheritdoc/>
    public long Bytes => _files.Values.Sum();

    /// <summary>Opens a journal, making it where the folder is not there or empty.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="cluster">The cluster's number.</param>
    /// <param name="newNode">The node's id where the journal is a new one.</param>
    /// <param name="ended">Called on the journal's thread when appends have ended.</param>
    /// <exception cref="IOException">The folder belongs to another cluster, is in use, cannot be written, or what is in it is not whole.</exception>
    public static JournalFolder Open(string folder, ulong cluster, ulong newNode, Action ended)
    {
        Directory.CreateDirectory(folder);
        FileStream held = DurableFiles.Hold(folder);
        try
        {
            string path = Path.Combine(folder, OwnerFile);
            string cluster16 = cluster.ToString("x", CultureInfo.InvariantCulture);
            if (File.Exists(path))
            {
                string[] owner = File.ReadAllText(path).Split(' ', StringSplitOptions.TrimEntries);
                if (owner is not ["journal", { } which, "of", "node", { } id, "of", "cluster", { } stands] || !TryReadHex(which, out ulong number) || !TryReadHex(id, out ulong node))
                {
                    throw new IOException($"{path} does not say whose journal folder {folder} is: was the wrong folder named?");
                }

                return stands == cluster16
                    ? new JournalFolder(folder, number, cluster, node, hasPast: true, held, ended)
                    : throw new IOException($"folder {folder} has the journal of node {id} of cluster {stands}, not of cluster {cluster16}: was the wrong folder named?");
            }

            if (Directory.EnumerateFiles(folder, Prefix + "*").Any())
            {
                throw new IOException($"folder {folder} has files of a journal and no file '{OwnerFile}' that says whose: put that back, or name an empty folder");
            }

            ulong drawn = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))) | 1;
            DurableFiles.Replace(folder, OwnerFile, Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"journal {drawn:x} of node {newNode:x} of cluster {cluster16}\n")));
            return new JournalFolder(folder, drawn, cluster, newNode, hasPast: false, held, ended);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    private static bool TryReadHex(string text, out ulong number) =>
        ulong.TryParse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out number) && number != 0;

    /// <inheritdoc/>
    public bool TryRead(out ReadOnlyMemory<byte> block)
    {
        while (_reading < _past.Count)
        {
            if (_read is null)
            {
                (_read, _readAt) = (File.OpenHandle(PathOf(_past[_reading])), JournalFile.HeaderBytes);
            }

            if (JournalFile.TryReadBlock(_read, _readAt, RandomAccess.GetLength(_read), ref _block, out _, out int bytes))
            {
                _readAt += JournalFile.BlockHeadBytes + bytes;
                block = _block.AsMemory(0, bytes);
                return true;
            }

            // All blocks were found whole when the folder was opened.
            _read.Dispose();
            (_read, _reading) = (null, _reading + 1);
        }

        (block, _block) = (default, []);
        return false;
    }

    /// <inheritdoc/>
    public void Append(ReadOnlyMemory<byte> block, ulong ticket)
    {
        long bytes = _files.GetValueOrDefault(_file);
        if (bytes > FileBytes)
        {
            (_file, bytes) = (_file + 1, 0);
        }

        _files[_file] = bytes + JournalFile.BlockHeadBytes + block.Length;
        _orders.Add(new Order(_file, block, ticket));
    }

    /// <inheritdoc/>
    public bool TryTakeResult(out DiskResult result) => _results.TryDequeue(out result);

    /// <inheritdoc/>
    public ulong BeginPart() => ++_file;

    /// <inheritdoc/>
    public void DropPartsBefore(ulong part)
    {
        foreach (ulong file in _files.Keys.Where(f => f < part).ToArray())
        {
            _files.Remove(file);
        }

        _orders.Add(new Order(part, null, 0));
    }

    /// <summary>Ends the thread after what is queued was written, and gives the folder free.</summary>
    public void Dispose()
    {
        if (_orders.IsAddingCompleted)
        {
            return;
        }

        _orders.CompleteAdding();
        _thread.Join();
        _open?.Dispose();
        _read?.Dispose();
        _lock.Dispose();
    }

    private string PathOf(ulong file) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{file:d10}"));

    /// <summary>Reads all there is: what is whole stands, a torn end is cut, and anything else ends the start.</summary>
    private void Check()
    {
        ulong[] files = [.. Directory.EnumerateFiles(_folder, Prefix + "*").Select(NumberOf).Order()];
        for (int i = 0; i < files.Length; i++)
        {
            Check(files[i], isFirst: i == 0, isLast: i == files.Length - 1);
        }
    }

    private static ulong NumberOf(string path) =>
        ulong.TryParse(Path.GetFileName(path.AsSpan())[Prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out ulong number)
            ? number
            : throw new IOException($"{path} is no file of a journal");

    private void Check(ulong number, bool isFirst, bool isLast)
    {
        string path = PathOf(number);
        using SafeFileHandle file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite);
        long length = RandomAccess.GetLength(file);
        if (!JournalFile.TryReadHeader(file, out uint version, out ulong cluster, out ulong node, out ulong stands, out ulong firstBlock))
        {
            if (isLast && length <= JournalFile.HeaderBytes)
            {
                // It was begun and has nothing.
                File.Delete(path);
                return;
            }

            throw new IOException($"{path} at byte 0: the header is damaged");
        }

        if (!JournalFile.Knows(version))
        {
            throw new IOException($"{path} has format {version}, which this version does not know");
        }

        if (cluster != _cluster || node != Node || stands != number)
        {
            throw new IOException($"{path} is file {stands} of the journal of node {node:x} of cluster {cluster:x}, and the folder is of node {Node:x} of cluster {_cluster:x}: files were mixed");
        }

        if (!isFirst && firstBlock != _nextBlock)
        {
            throw new IOException($"{path} begins with block {firstBlock}, and the file before ends before block {_nextBlock}: a file of the journal is missing");
        }

        _nextBlock = firstBlock;
        long at = JournalFile.HeaderBytes;
        while (JournalFile.TryReadBlock(file, at, length, ref _block, out ulong block, out int bytes) && block == _nextBlock)
        {
            at += JournalFile.BlockHeadBytes + bytes;
            _nextBlock++;
        }

        if (at < length)
        {
            if (!isLast || JournalFile.HasBlockBehind(file, at, length))
            {
                throw new IOException($"{path} at byte {at}: block {_nextBlock} is damaged, and others follow it. What they hold cannot be had from this journal: start this server with an empty folder where others hold its segments, else put back what was there");
            }

            // It was being written when the process ended, and was acknowledged to nobody.
            RandomAccess.SetLength(file, at);
            DurableFiles.Flush(file);
        }

        _files.Add(number, at);
    }

    // What waits is written together and flushed once.
    private void Run()
    {
        var tickets = new List<ulong>();
        foreach (Order first in _orders.GetConsumingEnumerable())
        {
            Order order = first;
            do
            {
                if (order.Block is { } block)
                {
                    _hasFailed |= !Try(() => Write(order.File, block));
                    tickets.Add(order.Ticket);
                }
                else
                {
                    // That older parts stay is no harm.
                    _ = Try(() => Delete(order.File));
                }
            }
            while (_orders.TryTake(out order));
            if (tickets.Count == 0)
            {
                continue;
            }

            _hasFailed |= !Try(() => DurableFiles.Flush(_open!));
            foreach (ulong ticket in tickets)
            {
                _results.Enqueue(new DiskResult(ticket, !_hasFailed));
            }

            tickets.Clear();
            _ended();
        }
    }

    private bool Try(Action act)
    {
        if (_hasFailed)
        {
            return false;
        }

        try
        {
            act();
            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void Write(ulong file, ReadOnlyMemory<byte> block)
    {
        if (_open is null || file != _openFile)
        {
            if (_open is not null)
            {
                // Nothing of the next file stands before all of this does.
                DurableFiles.Flush(_open);
                _open.Dispose();
            }

            _open = File.OpenHandle(PathOf(file), FileMode.CreateNew, FileAccess.Write);
            RandomAccess.Write(_open, JournalFile.Header(_cluster, Node, file, _nextBlock), 0);
            DurableFiles.FlushFolder(_folder);
            (_openFile, _at) = (file, JournalFile.HeaderBytes);
        }

        byte[] head = JournalFile.BlockHead(_nextBlock++, block.Span);
        RandomAccess.Write(_open, [head, block], _at);
        _at += head.Length + block.Length;
    }

    private void Delete(ulong before)
    {
        foreach (string path in Directory.EnumerateFiles(_folder, Prefix + "*").Where(path => NumberOf(path) < before).ToArray())
        {
            File.Delete(path);
        }
    }
}
