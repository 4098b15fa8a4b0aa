using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Host.Disk;
using Weir.Host.Memory;
using Weir.Keys;
using Weir.Placement;

namespace Weir.Cli.Bench;

/// <summary>
/// Writes a checkpoint of a cluster to a folder and loads it into a new cluster, and measures what the folder's disk does by itself before and after
/// each: whatever else the machine has to do then slows both.
/// </summary>
internal sealed class CheckpointBench(CheckpointSettings settings, ToolConsole console)
{
    private const string Table = "bench";
    private const string Name = "bench";

    // Floats of a push that fills the table: 4 MiB, a few frames.
    private const int PushFloats = 1 << 20;

    private const int SampleRows = 100_000;

    private const int MemoryPieceBytes = 64 << 20;

    // What the store takes beside a row's bytes: the index, which has its former self beside it while it grows.
    private const long IndexBytesPerRow = 38;

    private readonly int _segmentBits = ClusterMap.SegmentBitsFor(settings.Servers);

    /// <summary>Measures.</summary>
    /// <exception cref="ToolException">There is not enough memory or disk, or what was loaded is not what was written.</exception>
    public async Task<CheckpointReport> RunAsync(CancellationToken cancellation)
    {
        CheckRoom();
        string folder = Path.Combine(settings.Folder, $"weir-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(folder);
        try
        {
            return await RunAsync(folder, cancellation);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private async Task<CheckpointReport> RunAsync(string folder, CancellationToken cancellation)
    {
        var store = new FolderStore(folder);
        var disk = new BareDisk(Path.Combine(folder, "bare"));
        long bytes;
        double saveSeconds, writeSeconds;
        float[] sample;
        await using (ICluster cluster = await StartAsync(cancellation))
        {
            await using WeirClient client = await cluster.ConnectAsync(Filters.None, cancellation);
            sample = await FillAsync(client, cancellation);
            bytes = settings.Rows * settings.RowBytes;
            console.Say(string.Create(
                CultureInfo.InvariantCulture,
                $"{settings.Rows:N0} rows of {settings.Width:N0} floats, rule {settings.RuleName}, {bytes / 1e9:N2} GB; {cluster.Description}, {1 << _segmentBits} segments"));
            writeSeconds = disk.Write(bytes, cancellation);
            saveSeconds = await TimeAsync("save", async () => bytes = (await client.SaveCheckpointAsync(store, Name, cancellation)).Bytes);
            writeSeconds = (writeSeconds + disk.Write(settings.Rows * settings.RowBytes, cancellation)) / 2;
        }

        double readSeconds = disk.Read(cancellation), restoreSeconds, memorySeconds;
        await using (ICluster cluster = await StartAsync(cancellation))
        {
            await using WeirClient client = await cluster.ConnectAsync(Filters.None, cancellation);
            memorySeconds = Touch(bytes);
            foreach (string file in Directory.GetFiles(Path.Combine(folder, Name)))
            {
                BareDisk.Forget(file);
            }

            restoreSeconds = await TimeAsync("restore", () => client.RestoreCheckpointAsync(store, Name, cancellation: cancellation));
            await CheckAsync(client, sample, cancellation);
        }

        readSeconds = (readSeconds + disk.Read(cancellation)) / 2;
        double bare = settings.Rows * settings.RowBytes;
        return new CheckpointReport(bytes, bare / writeSeconds, bare / readSeconds, bytes / memorySeconds, bytes / saveSeconds, bytes / restoreSeconds);
    }

    /// <summary>
    /// Takes as much memory as the loaded rows will, writes to each of its pages and lets it go. A virtual machine's host may hand memory out more slowly
    /// than any disk reads (66 MB/s was measured); that is no property of a checkpoint, and what it was stands in the report.
    /// </summary>
    private static unsafe double Touch(long bytes)
    {
        const int PageBytes = 4096;
        var memory = new HugePageMemory();
        long begin = Stopwatch.GetTimestamp();
        nint[] pieces = new nint[(bytes + MemoryPieceBytes - 1) / MemoryPieceBytes];
        Parallel.For(0, pieces.Length, piece =>
        {
            byte* at = (byte*)(pieces[piece] = (nint)memory.Allocate(MemoryPieceBytes));
            for (int page = 0; at is not null && page < MemoryPieceBytes; page += PageBytes)
            {
                at[page] = 1;
            }
        });
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        foreach (nint piece in pieces)
        {
            memory.Free((byte*)piece, MemoryPieceBytes);
        }

        return seconds;
    }

    /// <summary>Times some work, and says what of the processors it had: a machine that is busy with other things slows it more than the disk.</summary>
    private async Task<double> TimeAsync(string name, Func<Task> work)
    {
        using var process = Process.GetCurrentProcess();
        TimeSpan before = process.TotalProcessorTime;
        long begin = Stopwatch.GetTimestamp();
        await work();
        double seconds = Stopwatch.GetElapsedTime(begin).TotalSeconds;
        process.Refresh();
        double busy = (process.TotalProcessorTime - before).TotalSeconds;
        console.Say(string.Create(CultureInfo.InvariantCulture, $"{name} took {seconds:N1} s, in which this process had {busy:N1} s of {Environment.ProcessorCount} processors"));
        return seconds;
    }

    private void CheckRoom()
    {
        long rows = settings.Rows * (settings.RowBytes + IndexBytesPerRow), free = FreeMemory.Bytes();
        if (rows > free)
        {
            throw new ToolException(string.Create(
                CultureInfo.InvariantCulture, $"{settings.Rows:N0} rows need {rows / 1e9:N1} GB of memory; {free / 1e9:N1} GB are free. Take fewer --rows or --gigabytes"));
        }

        if (!Directory.Exists(settings.Folder))
        {
            throw new ToolException($"{settings.Folder}: there is no such folder; --to takes one");
        }

        long files = 2 * settings.Rows * settings.RowBytes, space = new DriveInfo(Path.GetFullPath(settings.Folder)).AvailableFreeSpace;
        if (files > space)
        {
            throw new ToolException(string.Create(
                CultureInfo.InvariantCulture, $"{settings.Folder}: the checkpoint and the bare file need {files / 1e9:N1} GB of disk; {space / 1e9:N1} GB are free. Take fewer --rows or --gigabytes"));
        }
    }

    private async Task<ICluster> StartAsync(CancellationToken cancellation) => settings.Processes
        ? await ServerProcesses.StartAsync(new ServerSet(settings.Servers, _segmentBits, Transport.Tcp), console, NullLoggerFactory.Instance, cancellation)
        : new EmbeddedServers(settings.Servers, _segmentBits, 0, NullLoggerFactory.Instance);

    /// <summary>Fills the table by pushes, two at a time, and reads some of its rows.</summary>
    private async Task<float[]> FillAsync(WeirClient client, CancellationToken cancellation)
    {
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = Table, Width = settings.Width, Rule = settings.Rule }, cancellation);
        int most = Math.Max(1, PushFloats / settings.Width);
        float[] values = new float[most * settings.Width];
        var random = new Random(1);
        foreach (ref float value in values.AsSpan())
        {
            value = random.NextSingle() - 0.5f;
        }

        Task before = Task.CompletedTask;
        for (long first = 0; first < settings.Rows; first += most)
        {
            ulong[] keys = Keys(first, (int)Math.Min(most, settings.Rows - first));
            Task push = client.PushAsync(table, keys, values.AsMemory(0, keys.Length * settings.Width), cancellation);
            await before;
            before = push;
        }

        await before;
        return await SampleAsync(client, table, cancellation);
    }

    private async Task<float[]> SampleAsync(WeirClient client, WeirTable table, CancellationToken cancellation)
    {
        ulong[] keys = Keys(0, (int)Math.Min(SampleRows, settings.Rows));
        float[] sample = new float[keys.Length * settings.Width];
        int found = (await client.PullAsync(table, keys, sample, cancellation)).Found;
        return found == keys.Length ? sample : throw new ToolException($"a pull found {found} of {keys.Length} rows, though the table holds all of them");
    }

    private async Task CheckAsync(WeirClient client, float[] sample, CancellationToken cancellation)
    {
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = Table, Width = settings.Width, Rule = settings.Rule }, cancellation);
        float[] loaded = await SampleAsync(client, table, cancellation);
        if (!loaded.AsSpan().SequenceEqual(sample))
        {
            throw new ToolException("the rows that were loaded are not those that were written: this is a defect of Weir, please report it");
        }
    }

    /// <summary>Keys in no order, each once.</summary>
    private static ulong[] Keys(long first, int count)
    {
        ulong[] keys = new ulong[count];
        for (int i = 0; i < count; i++)
        {
            keys[i] = Mix.Of((ulong)(first + i));
        }

        return keys;
    }
}
