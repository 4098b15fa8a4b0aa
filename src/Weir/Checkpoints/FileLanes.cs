using Weir.World;

namespace Weir.Checkpoints;

/// <summary>Goes through the files of a checkpoint, some at a time, so that one is read while another is used; their memory is used again for the next.</summary>
internal static class FileLanes
{
    /// <summary>Files at a time: one is used, and the store is asked for two.</summary>
    private const int Lanes = 3;

    /// <summary>What is done with a file.</summary>
    /// <param name="file">Its number.</param>
    /// <param name="bytes">Its bytes, or as many as the manifest says and one more. They are somebody else's once the task completes.</param>
    /// <param name="length">Its length; null where it is missing.</param>
    /// <param name="cancellation">Another file's use has failed.</param>
    public delegate Task Use(int file, ReadOnlyMemory<byte> bytes, long? length, CancellationToken cancellation);

    /// <summary>Reads every file and has it used, in no particular order, perhaps on several threads. The first failure ends it.</summary>
    public static async Task RunAsync(ICheckpointStore store, string name, Manifest manifest, Use use, CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        int longest = manifest.Files.Select(f => f.Bytes).DefaultIfEmpty().Max();
        List<Task> open = [.. Enumerable.Range(0, Math.Min(Lanes, manifest.Files.Length)).Select(LaneAsync)];
        while (open.Count > 0)
        {
            Task ended = await Task.WhenAny(open);
            open.Remove(ended);
            if (!ended.IsCompletedSuccessfully)
            {
                // The first to fail says why; nobody reads on when this ends.
                end.Cancel();
                await Task.WhenAll(open).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                await ended;
            }
        }

        async Task LaneAsync(int lane)
        {
            byte[] bytes = new byte[longest + 1];
            for (int file = lane; file < manifest.Files.Length; file += Lanes)
            {
                long? length = await store.ReadAsync($"{name}/{Manifest.FileName(file)}", bytes, end.Token);
                await use(file, bytes.AsMemory(0, (int)Math.Min(length ?? 0, bytes.Length)), length, end.Token);
            }
        }
    }
}
