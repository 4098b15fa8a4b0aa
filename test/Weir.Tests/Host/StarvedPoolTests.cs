using Weir.Cli.Bench;
using Weir.Client;
using Weir.Host;
using Weir.Tests.Learn;

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

    // So long is a server that computes beside all the others of a test run not silent.
    private static ServeOptions Options => new() { SegmentBits = 6, NodeTimeoutMs = 3000 };

    /// <summary>Design R6: the heartbeat is off the training thread. Found by this test: it was on the pool, and the worker began anew in a second session.</summary>
    [Fact]
    public async Task A_process_keeps_its_workers_under_their_sessions()
    {
        await using WeirServer server = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: TestContext.Current.CancellationToken);
        await RunChildAsync(server.Address);
    }

    [Fact]
    public async Task A_cluster_inside_the_process_loses_nobody_and_nothing() => await RunChildAsync(Embedded);

    /// <summary>It answers nobody, so it had better be silent: one that was heard would go on leading what all pushes wait for.</summary>
    [Fact]
    public async Task A_server_is_silent_and_others_serve_what_it_led()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var folder = new ScratchFolder();
        ServeOptions options = Options with { Replicas = 1 };
        await using WeirServer first = await WeirHost.ServeAsync(options, cancellation: stop);
        await using WeirServer second = await WeirHost.ServeAsync(options with { Join = first.Address }, cancellation: stop);
        await using WeirClient client = await WeirHost.ConnectAsync([first.Address], cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        await using var third = new OwnProcess(typeof(StarvedPoolTests), nameof(A_server_in_a_process_of_its_own), Variable, $"{first.Address} {folder["now"]}");
        while (client.Core.State.Map!.Members.Length < 3 && !third.HasExited)
        {
            await client.GetStatusAsync(stop);
            await Task.Delay(50, stop);
        }

        await RepairedCluster.AwaitAsync(client, 3, stop);
        Assert.Contains(client.Core.State.Map!.Chains, chain => chain.Head == 2);
        ulong[] keys = [.. Enumerable.Range(0, 1000).Select(i => (ulong)i)];
        float[] ones = [.. keys.Select(_ => 1f)], read = new float[keys.Length];
        int pushes = 0;
        folder.Write("now", "");
        while (client.Core.State.Map!.Members.Length == 3 && !third.HasExited)
        {
            await client.PushAsync(table, keys, ones, stop);
            pushes++;
        }

        Assert.False(third.HasExited, "it did not count as gone while it was starved");
        await client.PullAsync(table, keys, read, cancellation: stop);
        Assert.All(read, value => Assert.Equal(pushes, value));
        Assert.Empty((await client.GetStatusAsync(stop)).Losses);
        await third.PassesAsync();
    }

    [Fact(Explicit = true)]
    public async Task A_server_in_a_process_of_its_own()
    {
        string[] told = Environment.GetEnvironmentVariable(Variable)?.Split(' ', 2) ?? [];
        Assert.SkipWhen(told.Length < 2, "a part of another");
        await using WeirServer server = await WeirHost.ServeAsync(Options with { Join = told[0] });
        while (!File.Exists(told[1]))
        {
            await Task.Delay(10);
        }

        Starve();
    }

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
            // A thread of the pool is to be held, which a wait that gives it back would not do.
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
