using System.Diagnostics;
using Weir.Client;
using Weir.Functions;
using Weir.Host;
using Weir.Keys;

namespace Weir.Tests.Host;

/// <summary>A function that does not come back: its node is given up and the caller is told; the process lives on.</summary>
public class StuckFunctionTests
{
    [Fact]
    public async Task The_caller_hears_of_a_function_that_does_not_come_back_and_the_cluster_says_that_it_has_stopped()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var release = new ManualResetEventSlim();
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Functions = [new Waiting(release)], FunctionBudgetMs = 1 });
        await using WeirClient client = await cluster.ConnectAsync(cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        await client.PushAsync(table, new ulong[] { 1 }, new float[] { 1 }, stop);
        long began = Stopwatch.GetTimestamp();

        // The node's turn may be on this thread, which is lost with it.
        Task call = Task.Run(() => client.CallAsync(table, "waits", new ulong[] { 1 }, cancellation: stop), stop);
        Exception stopped = await Assert.ThrowsAnyAsync<Exception>(() => cluster.Completion.WaitAsync(TimeSpan.FromSeconds(30), stop));
        Assert.Contains("function waits has not come back from a run of rows of table t for 1 s, with a budget of 1 ms", stopped.Message);
        Assert.InRange(Stopwatch.GetElapsedTime(began).TotalSeconds, 0.9, 25);
        release.Set();
        WeirException told = await Assert.ThrowsAsync<WeirException>(() => call.WaitAsync(TimeSpan.FromSeconds(30), stop));
        Assert.Equal(Status.Failed, told.Status);
        Assert.Contains("the call is not sent to the next one", told.Message);
    }

    [Fact]
    public async Task A_budget_that_would_make_a_server_count_as_gone_is_refused()
    {
        ArgumentException refused = await Assert.ThrowsAsync<ArgumentException>(() => WeirHost.ServeAsync(new ServeOptions { NodeTimeoutMs = 500, FunctionBudgetMs = 126 }, cancellation: TestContext.Current.CancellationToken));
        Assert.Contains("FunctionBudgetMs is 126, and must be from 1 to 125", refused.Message);
        Assert.ThrowsAny<ArgumentException>(() => WeirHost.StartEmbedded(new EmbeddedOptions { FunctionBudgetMs = 0 }));
    }

    private sealed class Waiting(ManualResetEventSlim release) : IServerFunction
    {
        public string Name => "waits";

        public void Apply(FunctionCall run) => release.Wait();
    }
}
