using System.Diagnostics;
using System.Security.Cryptography;
using Weir.Cli;
using Weir.Tests.Cli;

namespace Weir.Tests.Chaos;

/// <summary>
/// Faults of processes that host workers. Real ones: a training run on the cluster with a process for each worker and delay 0, which ends in the bytes of an
/// undisturbed run's model (promise G6).
/// </summary>
internal static class ProcessFaults
{
    // Longer than the five seconds after which servers count a silent process gone.
    private const int AsleepMs = 8000;

    private static readonly string[] Run = ["train", "--rows", "4000", "--test-rows", "1000", "--batch", "200", "--delay", "0", "--workers", "2", "--passes", "15"];

    // What the run comes to with nobody to disturb it; once for all rounds.
    private static readonly Lazy<Task<string>> Undisturbed = new(async () =>
    {
        string folder = Directory.CreateTempSubdirectory("weir-chaos-train-").FullName;
        (await ToolRun.Of([.. Run, "--out", folder])).IsDone();
        string digest = Digest(folder);
        Directory.Delete(folder, recursive: true);
        return digest;
    });

    public static IReadOnlyList<ChaosFault> All { get; } =
    [
        new("a process that hosts workers killed", ChaosSetup.Plain, ChaosMeans.None, scene => TrainAsync(scene, KillAsync)),
        new("a process sleeps longer than its timeout", ChaosSetup.Plain, ChaosMeans.None, scene => TrainAsync(scene, SleepAsync)),
    ];

    private static Task KillAsync(Process host)
    {
        host.Kill();
        return Task.CompletedTask;
    }

    /// <summary>Its workers are hosted by the other meanwhile. It wakes up, is told so, and offers to host again.</summary>
    private static async Task SleepAsync(Process host)
    {
        ProcessSignals.Stop(host);
        await Task.Delay(AsleepMs);
        ProcessSignals.Continue(host);
    }

    private static async Task TrainAsync(ChaosScene scene, Func<Process, Task> harmAsync)
    {
        string undisturbed = await Undisturbed.Value;
        string folder = Directory.CreateTempSubdirectory("weir-chaos-train-").FullName;
        try
        {
            await using var tool = new ToolChild([.. Run, "--processes", "--cluster", string.Join(',', scene.Cluster.Addresses), "--out", folder]);
            int[] hosts = ToolChild.Processes(await tool.LineAsync("worker processes"), "worker");
            await tool.ProgressAsync();
            using (Process host = Living(hosts[scene.Rng.Below(hosts.Length)]))
            {
                await harmAsync(host);
            }

            if (await tool.ExitAsync() != ExitCode.Done)
            {
                throw new InvalidOperationException($"a training run did not outlive the fault of one of its processes: {tool.Text}");
            }

            if (Digest(folder) is var disturbed && disturbed != undisturbed)
            {
                throw new InvalidOperationException("a training run with delay 0 ended in another model than an undisturbed one (promise G6)");
            }
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static Process Living(int id)
    {
        try
        {
            return Process.GetProcessById(id);
        }
        catch (ArgumentException gone)
        {
            throw new InvalidOperationException($"the training run was over before anything happened to its process {id}: {gone.Message}", gone);
        }
    }

    private static string Digest(string folder) => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(Path.Combine(folder, "model.weir"))));
}
