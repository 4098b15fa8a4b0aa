using Weir.Checkpoints;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>Gathers the slices of a checkpoint into files and writes them, two at a time, so that readers wait for the store and memory is bounded. Thread-safe.</summary>
internal sealed class BlockFiles(ICheckpointStore store, string name, ulong checkpoint, CancellationToken cancellation)
{
    /// <summary>Bytes of a file: long enough for a disk or a store to be quick with, short enough to keep three in memory.</summary>
    private const int FileBytes = 32 << 20;

    private const int WritesAtATime = 2;

    private const int FirstBytes = 64 << 10;

    private readonly object _gate = new();
    private readonly List<ManifestFile> _files = [];
    private readonly List<Task> _writes = [];
    private readonly Stack<byte[]> _free = new();
    private readonly Dictionary<uint, long> _through = [];
    private byte[] _file = [];
    private int _bytes;
    private int _blocks;

    /// <summary>The files so far.</summary>
    public ManifestFile[] Written
    {
        get
        {
            lock (_gate)
            {
                return [.. _files];
            }
        }
    }

    /// <summary>The last iteration of a job that anything in the files is of.</summary>
    public long Through(uint group)
    {
        lock (_gate)
        {
            return _through.GetValueOrDefault(group);
        }
    }

    /// <summary>Takes a slice on. Completes when there is room for the next one.</summary>
    /// <param name="records">Its records, which are copied before this returns.</param>
    /// <param name="segment">The segment.</param>
    /// <param name="attempt">The walk that it is of.</param>
    /// <param name="position">Its place in the walk.</param>
    /// <param name="isLast">It is the walk's last.</param>
    /// <param name="tables">The tables whose rows are counted.</param>
    /// <returns>The rows in it.</returns>
    public async Task<long> AddAsync(ReadOnlyMemory<byte> records, int segment, uint attempt, ulong position, bool isLast, IReadOnlySet<uint> tables)
    {
        long rows = Look(records.Span, tables);
        Task full;
        lock (_gate)
        {
            Span<byte> block = Reserve(Block.HeadSize + records.Length);
            new Block(checkpoint, _files.Count, _blocks, (uint)segment, attempt, position, isLast, records.Length).WriteHead(block[..Block.HeadSize], records.Span);
            records.Span.CopyTo(block[Block.HeadSize..]);
            _blocks++;
            full = _bytes >= FileBytes ? Write() : Room();
        }

        await full;
        return rows;
    }

    /// <summary>The last file is written, and all of them are there.</summary>
    public async Task CompleteAsync()
    {
        Task last;
        lock (_gate)
        {
            last = _blocks > 0 ? Write() : Task.CompletedTask;
        }

        await last;
        await Task.WhenAll(_writes);
    }

    /// <summary>Nothing is written any more, however that ended.</summary>
    public Task EndedAsync() =>
        Task.WhenAll(_writes).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    private Task Write()
    {
        int file = _files.Count;
        _files.Add(new ManifestFile(_bytes, _blocks));
        (byte[] bytes, int length) = (_file, _bytes);
        (_file, _bytes, _blocks) = (_free.TryPop(out byte[]? free) ? free : [], 0, 0);
        _writes.RemoveAll(w => w.IsCompletedSuccessfully);
        Task before = _writes.Count >= WritesAtATime ? _writes[^WritesAtATime] : Task.CompletedTask;
        _writes.Add(WriteAsync(file, bytes, length, before));
        return Room();
    }

    private async Task WriteAsync(int file, byte[] bytes, int length, Task before)
    {
        await before;
        await store.WriteAsync($"{name}/{Manifest.FileName(file)}", [bytes.AsMemory(0, length)], cancellation);
        lock (_gate)
        {
            _free.Push(bytes);
        }
    }

    /// <summary>Room for a block in the file that is being gathered. Files are used again: their memory is as long as the longest one was.</summary>
    private Span<byte> Reserve(int bytes)
    {
        if (_bytes + bytes > _file.Length)
        {
            Array.Resize(ref _file, Math.Max(_bytes + bytes, Math.Min(Math.Max(2 * _file.Length, FirstBytes), FileBytes + FramePool.MaxFrameBytes)));
        }

        Span<byte> block = _file.AsSpan(_bytes, bytes);
        _bytes += bytes;
        return block;
    }

    /// <summary>While two files are written and a third is full, readers wait for the first.</summary>
    private Task Room()
    {
        Task[] open = [.. _writes.Where(w => !w.IsCompletedSuccessfully)];
        return open.Length <= WritesAtATime ? Task.CompletedTask : open[^(WritesAtATime + 1)];
    }

    /// <summary>Counts rows, and notes of last[] how far the pushes of each job go.</summary>
    private long Look(ReadOnlySpan<byte> records, IReadOnlySet<uint> tables)
    {
        long rows = 0;
        var reader = new ByteReader(records);
        while (reader.Left > 0)
        {
            var record = CopyRecord.Read(ref reader);
            ReadOnlySpan<byte> bytes = reader.Take(record.Bytes);
            reader.SkipPadTo8();
            rows += record.Kind == CopyRecordKind.Rows && tables.Contains(record.Table) ? record.Count : 0;
            if (record.Kind is CopyRecordKind.Updates or CopyRecordKind.Deletes)
            {
                Look(new ByteReader(bytes));
            }
        }

        return rows;
    }

    private void Look(ByteReader last)
    {
        lock (_gate)
        {
            while (last.Left >= LastPushRecord.Size)
            {
                var push = LastPushRecord.Read(ref last);
                _through[push.Worker.Group] = Math.Max(_through.GetValueOrDefault(push.Worker.Group), push.Seq.Iteration);
            }
        }
    }
}
