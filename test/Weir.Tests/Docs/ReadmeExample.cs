using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.Structures;

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

    public static async Task<(double Slope, double Length)> RunVectorsAndTasksAsync()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();

        // <readme>
        // A million elements on the servers, in blocks. Another process that opens "w" has the same vector.
        WeirVector w = await WeirVector.OpenAsync(client, new VectorOptions("w", Length: 1_000_000));
        WeirVector direction = await WeirVector.OpenAsync(client, new VectorOptions("direction", Length: 1_000_000));
        await direction.FillAsync(0.5f);
        await w.AddAsync(direction, factor: 2); // w = w + 2 direction, where the elements lie: none of them crosses the network
        double slope = await w.DotAsync(direction); // 500,000
        await w.Range(first: 10, length: 3).SetAsync(new float[] { 3, 4, 12 });

        // A process serves functions under its name (ClientOptions.Name), and any process issues tasks to it. Here both are this one.
        _ = client.Tasks.ServeAsync(new Dictionary<string, Func<TaskCall, Task<ReadOnlyMemory<byte>>>>
        {
            ["norm"] = async call => BitConverter.GetBytes(await w.Range(10, 3).NormAsync(call.Cancellation)),
        });
        WeirTask doubled = client.Tasks.Run(stop => w.ScaleAsync(2, stop)); // a push, a pull or whatever takes time is a task too
        WeirTask norm = client.Tasks.Issue("client", "norm", default, doubled.Id); // it begins when that one has finished
        double length = BitConverter.ToDouble((await norm.Finished).Span); // 26
        // </readme>
        return (slope, length);
    }

    public static async Task<(long Page, long Estimate, bool Seen, ulong First)> RunStructuresAsync()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();

        // <readme>
        ulong[] visitors = [17, 17, 4, 99]; // any 64-bit numbers; what is none is hashed to one before

        // Exact 64-bit counters by key.
        WeirCounters pages = await WeirCounters.OpenAsync(client, new CounterOptions("pages"));
        long[] counts = new long[1];
        await pages.AddAndReadAsync(new ulong[] { 7 }, new long[] { 4 }, counts);

        // Counts of any number of items in a few megabytes: never too small, rarely more than epsilon of all too large.
        WeirSketch visits = await WeirSketch.OpenAsync(client, new SketchOptions("visits") { Epsilon = 0.001, Delta = 0.01 });
        await visits.AddAsync(visitors);
        long[] estimates = new long[1];
        await visits.EstimateAsync(new ulong[] { 17 }, estimates); // 2

        // A Bloom filter: knows all who were added, and takes one in a hundred others for one of them.
        WeirSet seen = await WeirSet.OpenAsync(client, new SetOptions("seen", ExpectedItems: 1_000_000) { FalsePositiveRate = 0.01 });
        await seen.AddAsync(visitors);
        bool[] contained = new bool[1];
        await seen.ContainsAsync(new ulong[] { 4 }, contained); // true

        // Members by score.
        WeirRanking ranking = await WeirRanking.OpenAsync(client, new RankingOptions("ranking"));
        await ranking.AddAsync(visitors, new double[] { 1, 0.5, 1, 0.25 });
        IReadOnlyList<ScoredMember> top = await ranking.TopAsync(2); // 17 with 1.5, then 4 with 1
        // </readme>
        return (counts[0], estimates[0], contained[0], top[0].Member);
    }
}
