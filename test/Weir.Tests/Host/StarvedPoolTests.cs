using Weir.Client;
using Weir.Host;

namespace Weir.Tests.Host;

/// <summary>
/// A process whose thread pool has no thread to spare, since what it computes or waits for holds all of them: longer than a process may be silent.
/// </summary>
public class StarvedPoolTests
{
    // Processes count as gone after 5 s.
    private const int StarvedMs = 8_000;

    // The address of the cluster that a child process is to use; "embedded" for one of its own.
    private const string Variable = "WEIR_STARVED";
    private const string Embedded = "embedded";

    /// <summary>Design R6: the heartbeat is off the training thread. Found by this test: it was on the pool, and the worker began anew in a second session.</summary>
    [Fact]
    public async Task A_process_keeps_its_workers_under_their_sessions()
    {
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: TestContext.Current.CancellationToken);
        await RunChildAsync(server.Address);
    }

    [Fact]
    public async Task A_cluster_inside_the_process_loses_nobody_and_nothing() => await RunChildAsync(Embedded);

    /// <summary>What the child process does: a test would take the pool away from all others that run beside it.</summary>
    [Fact(Explicit = true)]
    public async Task In_a_process_of_its_own()
    {
        string place = Environment.GetEnvironmentVariable(Variable) ?? "";
        Assert.SkipWhen(place.Length == 0, "a part of the others");
        await using EmbeddedCluster? embedded = place == Embedded ? WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 3 }) : null;
        await using WeirClient client = embedded is not null ? await embedded.ConnectAsync() : await WeirHost.ConnectAsync([place]);
        Job job = await client.OpenJobAsync(new JobOptions { Name = "job", Workers = 1 });
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Job = job });
        ulong[] keys = [.. Enumerable.Range(0, 100).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        int begun = 0;
        await client.HostWorkersAsync(job, async (worker, stop) =>
        {
            begun++;
            while (worker.Clock < 3)
            {
                Task push = worker.PushAsync(table, keys, ones, stop);
                await worker.ClockAsync(stop);
                await push;
                if (worker.Clock == 1)
                {
                    Starve();
                }
            }
        });
        await client.PullAsync(table, keys, read);
        Assert.All(read, value => Assert.Equal(3, value));
        Assert.Equal(1, begun);
        Assert.Empty((await client.GetStatusAsync()).Losses);
    }

    /// <summary>Holds every thread that the pool may have, this one among them.</summary>
    private static void Starve()
    {
        ThreadPool.GetMinThreads(out int threads, out int completions);
        Assert.True(ThreadPool.SetMaxThreads(threads, completions));
        long ends = Environment.TickCount64 + StarvedMs;
        void Hold()
        {
            Thread.Sleep((int)Math.Max(0, ends - Environment.TickCount64));
        }

        // More than there are threads: whoever wants one waits behind these.
        for (int held = 0; held < 100 * threads; held++)
        {
            ThreadPool.UnsafeQueueUserWorkItem(_ => Hold(), null);
        }

        Hold();
    }

    private static async Task RunChildAsync(string place)
    {
        await using var child = new OwnProcess(typeof(StarvedPoolTests), nameof(In_a_process_of_its_own), Variable, place);
        await child.PassesAsync();
    }
}
