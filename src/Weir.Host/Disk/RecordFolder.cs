using System.Collections.Concurrent;
using System.Globalization;
using Weir.Register;
using Weir.World;

namespace Weir.Host.Disk;

/// <summary>
/// A folder of small records, one file each, for the register's acceptor: a record is written beside the old one, flushed, renamed over it, and
/// the folder flushed, all on a thread of its own; then the node's loop is woken to take the result. The folder belongs to one acceptor of one
/// cluster, and to one process at a time. After the first failure every write fails: nobody knows what is on the disk (promise G13). Reading,
/// writing and taking results are for the node's loop; the rest is thread-safe.
/// </summary>
internal sealed class RecordFolder : IDisk, IDisposable
{
    private const string OwnerFile = "owner";

    private readonly string _folder;
    private readonly Action _ended;
    private readonly FileStream _lock;
    private readonly BlockingCollection<(string Record, ReadOnlyMemory<byte> Content, ulong Ticket)> _writes = new();
    private readonly ConcurrentQueue<DiskResult> _results = new();
    private readonly Thread _thread;
    private bool _hasFailed;

    private RecordFolder(string folder, FileStream held, Action ended)
    {
        (_folder, _lock, _ended) = (folder, held, ended);
        _thread = new Thread(Run) { IsBackground = true, Name = $"records in {folder}" };
        _thread.Start();
    }

    /// <summary>Opens the folder of an acceptor, making it at the acceptor's first start.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="cluster">The cluster's number.</param>
    /// <param name="identity">The acceptor's number in it.</param>
    /// <param name="acceptors">How many acceptors the register has, this one among them.</param>
    /// <param name="start">What is known of the acceptor's past: one that runs again must find its folder.</param>
    /// <param name="ended">Called on the folder's thread when a write has ended.</param>
    /// <exception cref="IOException">The folder belongs to somebody else, is in use, cannot be written, or is not as the start says.</exception>
    public static RecordFolder Open(string folder, ulong cluster, ulong identity, int acceptors, AcceptorStart start, Action ended)
    {
        if (start != AcceptorStart.Again)
        {
            Directory.CreateDirectory(folder);
        }
        else if (!Directory.Exists(folder))
        {
            throw new IOException($"there is no folder {folder}: the acceptor that was started there before cannot say what it promised. {AcceptorReplacement.Advice(acceptors)}");
        }

        FileStream held = DurableFiles.Hold(folder);
        try
        {
            Claim(folder, string.Create(CultureInfo.InvariantCulture, $"acceptor {identity} of cluster {cluster:x}\n"), start);
            return new RecordFolder(folder, held, ended);
        }
        catch
        {
            held.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public byte[]? Read(string record)
    {
        string path = Path.Combine(_folder, record);
        return File.Exists(path) ? File.ReadAllBytes(path) : null;
    }

    /// <inheritdoc/>
    public void Write(string record, ReadOnlyMemory<byte> content, ulong ticket) => _writes.Add((record, content, ticket));

    /// <inheritdoc/>
    public bool TryTakeResult(out DiskResult result) => _results.TryDequeue(out result);

    /// <summary>Ends the thread after what is queued was written, and gives the folder free.</summary>
    public void Dispose()
    {
        if (_writes.IsAddingCompleted)
        {
            return;
        }

        _writes.CompleteAdding();
        _thread.Join();
        _lock.Dispose();
    }

    private static void Claim(string folder, string owner, AcceptorStart start)
    {
        string path = Path.Combine(folder, OwnerFile);
        string? stands = File.Exists(path) ? File.ReadAllText(path) : null;
        if (stands is not null && stands != owner)
        {
            throw new IOException($"folder {folder} belongs to {stands.Trim()}, not to {owner.Trim()}: was the wrong folder named?");
        }

        if (stands is not null && start == AcceptorStart.First)
        {
            throw new IOException($"folder {folder} belongs to {owner.Trim()}, which has been started before: it must not begin anew, for it would forget what it promised");
        }

        if (stands is null && start != AcceptorStart.Again)
        {
            DurableFiles.Replace(folder, OwnerFile, System.Text.Encoding.UTF8.GetBytes(owner));
        }
    }

    // What waits is written together: of several writes to one record the last stands for all, which are flushed with it.
    private void Run()
    {
        var last = new Dictionary<string, ReadOnlyMemory<byte>>(StringComparer.Ordinal);
        var tickets = new List<ulong>();
        foreach ((string Record, ReadOnlyMemory<byte> Content, ulong Ticket) first in _writes.GetConsumingEnumerable())
        {
            (string Record, ReadOnlyMemory<byte> Content, ulong Ticket) write = first;
            do
            {
                last[write.Record] = write.Content;
                tickets.Add(write.Ticket);
            }
            while (_writes.TryTake(out write));
            _hasFailed |= !TryWrite(last);
            foreach (ulong ticket in tickets)
            {
                _results.Enqueue(new DiskResult(ticket, !_hasFailed));
            }

            last.Clear();
            tickets.Clear();
            _ended();
        }
    }

    private bool TryWrite(Dictionary<string, ReadOnlyMemory<byte>> records)
    {
        if (_hasFailed)
        {
            return false;
        }

        try
        {
            foreach ((string record, ReadOnlyMemory<byte> content) in records)
            {
                DurableFiles.Replace(_folder, record, content.Span);
            }

            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
