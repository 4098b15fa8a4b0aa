using Weir.Client;
using Weir.Host;
using Weir.Keys;

namespace Weir.Tests.Docs;

/// <summary>
/// The library example of README.md. The text between the two markers is the block there that follows the comment "runs", so the
/// example is compiled; <see cref="ReadmeTests"/> compares the two and runs it.
/// </summary>
internal static class ReadmeExample
{
    public static async Task<float[]> RunAsync()
    {
        // <readme>
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync(); // over TCP: await WeirHost.ConnectAsync(["10.0.0.7:4000"])

        // Four workers train one table. Its rows are 2 floats wide; a push goes through Adagrad at the server.
        Job job = await client.OpenJobAsync(new JobOptions { Name = "demo", Workers = 4 });
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "weights", Width = 2, Rule = UpdateRule.Adagrad(alpha: 0.1f), Job = job });

        await client.HostWorkersAsync(job, async (worker, stop) =>
        {
            ulong[] keys = [7, 1UL << 60, (ulong)worker.Index]; // any 64-bit keys, in any order; repeated ones are summed
            float[] weights = new float[keys.Length * table.Width];
            while (worker.Clock < 10)
            {
                // Nobody runs more than one iteration ahead of what this pull contains (bounded delay, tau = 1).
                await worker.PullAsync(table, keys, weights, delayBound: 1, stop);
                float[] gradients = [.. weights.Select(w => w - 1)]; // of (w - 1)^2 / 2
                Task push = worker.PushAsync(table, keys, gradients, stop);
                await worker.ClockAsync(stop); // ends the iteration once its pushes are acknowledged
                await push;
            }
        });

        float[] learned = new float[2];
        await client.PullAsync(table, new ulong[] { 7 }, learned); // both on their way to 1
        // </readme>
        return learned;
    }
}
