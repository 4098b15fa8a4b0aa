using System.Buffers.Binary;
using Weir.Client;
using Weir.Functions;
using Weir.Keys;
using Weir.Server;
using Weir.Sim;
using Weir.Wire;

namespace Weir.Tests.Scenarios;

/// <summary>Functions of users at the servers of a cluster (PS-9): a call is a push, whatever the function computes.</summary>
public class ServerFunctionTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 300).Select(i => (ulong)i * 977)];

    /// <summary>Frames are lost and come twice, and heads die: twice, or in another order, is another number.</summary>
    [Fact]
    public void PS09_a_call_is_applied_once_though_frames_are_sent_again_and_heads_die()
    {
        for (ulong seed = 0; seed < 4; seed++)
        {
            using var cluster = new SimCluster(seed, servers: 4, replicas: 1, acceptors: 3, limits: ServerLimits.FastFailover, functions: [new TwiceAndMore()]);
            cluster.Run(
                async () =>
                {
                    WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 60, UnreachableMs = 60_000 });
                    WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
                    float[] halves = new float[Keys.Length * 2], read = new float[halves.Length];
                    Array.Fill(halves, 0.5f);
                    byte[] argument = new byte[4];
                    BinaryPrimitives.WriteSingleLittleEndian(argument, 0.5f);
                    cluster.Network.Faults = new SimFaults { LossPerMille = 60, DuplicatePerMille = 60, ReorderPerMille = 60 };
                    int victim = 1 + (int)(seed % 3);
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(30), () => cluster.KillServer(victim));
                    for (int i = 0; i < 6; i++)
                    {
                        // x = 2 x + 1 and x = 2 x + 0.5 by turns.
                        await Task.WhenAll(client.CallAsync(table, "twice-and-more", Keys, argument, halves), client.CallAsync(table, "twice-and-more", Keys, argument));
                    }

                    cluster.Network.Faults = SimFaults.None;
                    float expected = 0;
                    for (int i = 0; i < 6; i++)
                    {
                        expected = (2 * ((2 * expected) + 1)) + 0.5f;
                    }

                    await client.PullAsync(table, Keys, read);
                    Assert.All(read, value => Assert.Equal(expected, value));
                },
                limitMs: 120_000);
        }
    }

    /// <summary>The log has what came of it: who follows computes nothing, and could not.</summary>
    [Fact]
    public void Replicas_have_what_the_head_made_though_the_function_makes_something_else_each_time()
    {
        using var cluster = new SimCluster(11, servers: 3, replicas: 2, acceptors: 3, limits: ServerLimits.FastFailover, functions: [new Counting()]);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { RetryMs = 60, UnreachableMs = 60_000 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await client.CallAsync(table, "count", Keys);
                float[] before = new float[Keys.Length], after = new float[Keys.Length];
                await client.PullAsync(table, Keys, before);
                Assert.Equal(Keys.Length, before.Distinct().Count());
                cluster.KillServer(1);
                await client.CallAsync(table, "count", Keys.AsMemory(0, 1));
                await client.PullAsync(table, Keys, after);
                Assert.Equal(before[1..], after[1..]);
                Assert.NotEqual(before[0], after[0]);
            },
            limitMs: 60_000);
    }

    /// <summary>A process dies between its call and its clock: the one that takes its worker over redoes the call, whose entry is one without rows.</summary>
    [Fact]
    public void PS09_a_redo_of_an_iteration_applies_no_call_a_second_time()
    {
        using var cluster = new SimCluster(12, servers: 3, replicas: 1, acceptors: 3, limits: ServerLimits.FastFailover, functions: [new TwiceAndMore()]);
        cluster.Run(
            async () =>
            {
                var options = new ClientOptions { RetryMs = 60, UnreachableMs = 60_000 };
                WeirClient first = await cluster.ConnectAsync("a", options), second = await cluster.ConnectAsync("b", options);
                Job job = await first.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await first.OpenTableAsync(new TableOptions { Name = "t", Job = job });
                float[] ones = new float[Keys.Length], read = new float[Keys.Length];
                Array.Fill(ones, 1f);
                var called = new TaskCompletionSource();
                _ = first.HostWorkersAsync(job, async (worker, stop) =>
                {
                    await worker.CallAsync(table, "twice-and-more", Keys, values: ones, cancellation: stop);
                    called.SetResult();
                    await cluster.Scheduler.Delay(100_000, stop);
                });
                await called.Task;
                cluster.Kill(first);
                await second.HostWorkersAsync(job, async (worker, stop) =>
                {
                    while (worker.Clock < 2)
                    {
                        Task call = worker.CallAsync(table, "twice-and-more", Keys, values: ones, cancellation: stop);
                        await worker.ClockAsync(stop);
                        await call;
                    }
                });
                Assert.True(second.Counters.Superseded > 0);
                cluster.KillServer(2);
                await second.PullAsync(table, Keys, read);
                Assert.All(read, value => Assert.Equal(3, value));
            },
            limitMs: 120_000);
    }

    [Fact]
    public void A_call_that_fails_says_why_and_leaves_its_session_well()
    {
        using var cluster = new SimCluster(13, servers: 2, functions: [new TwiceAndMore()]);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
                await client.PushAsync(table, Keys, new float[Keys.Length]);
                WeirException thrown = await Assert.ThrowsAsync<WeirException>(() => client.CallAsync(table, "twice-and-more", Keys, new byte[3]));
                Assert.Equal(Status.Failed, thrown.Status);
                Assert.Contains("function twice-and-more threw ArgumentException: the argument has 4 bytes or none", thrown.Message);
                WeirException missing = await Assert.ThrowsAsync<WeirException>(() => client.CallAsync(table, "thrice", Keys));
                Assert.Equal(Status.Failed, missing.Status);
                Assert.Contains("it has twice-and-more", missing.Message);
                await client.CallAsync(table, "twice-and-more", Keys, values: Keys.Select(k => (float)k).ToArray());
                float[] read = new float[Keys.Length];
                await client.PullAsync(table, Keys, read);
                Assert.Equal(Keys.Select(k => (float)k), read);
            },
            limitMs: 60_000);
    }

    [Fact]
    public void A_call_that_no_server_could_take_is_refused_before_it_is_sent()
    {
        using var cluster = new SimCluster(14, servers: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                Job job = await client.OpenJobAsync(new JobOptions { Name = "j", Workers = 1 });
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
                WeirTable sums = await client.OpenTableAsync(new TableOptions { Name = "s", Job = job, Aggregate = true });
                await RefusedAsync(() => client.CallAsync(table, "", Keys), "");
                await RefusedAsync(() => client.CallAsync(table, new string('n', 257), Keys), "at most 256 bytes");
                await RefusedAsync(() => client.CallAsync(table, "f", Keys, new byte[FunctionRequest.MaxArgumentBytes + 1]), "at most 16384 bytes, not 16385");
                await RefusedAsync(() => client.CallAsync(table, "f", Keys, values: new float[Keys.Length]), "need 600 floats, not 300");
                await RefusedAsync(() => client.CallAsync(sums, "f", Keys), "aggregates");
            },
            limitMs: 60_000);

        static async Task RefusedAsync(Func<Task> call, string expected) => Assert.Contains(expected, (await Assert.ThrowsAnyAsync<ArgumentException>(call)).Message);
    }

    /// <summary>A large call with a long argument: pieces fit their frames.</summary>
    [Fact]
    public void Rows_that_fill_frames_and_the_longest_argument_fit_together()
    {
        using var cluster = new SimCluster(15, servers: 2, functions: [new SumOfArgument()]);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 1024 });
                ulong[] keys = [.. Enumerable.Range(0, 1 << 20).Select(i => (ulong)i).Where(k => Mix.Segment(k, 6) == 9).Take(600)];
                float[] ones = new float[keys.Length * 1024], read = new float[ones.Length];
                Array.Fill(ones, 1f);
                byte[] argument = new byte[FunctionRequest.MaxArgumentBytes];
                Array.Fill(argument, (byte)1);
                await client.CallAsync(table, "sum", keys, argument, ones);
                await client.PullAsync(table, keys, read);
                Assert.All(read, value => Assert.Equal(1f + FunctionRequest.MaxArgumentBytes, value));
            },
            limitMs: 60_000);
    }

    /// <summary>x = 2 x + argument, or + twice the value where there is one.</summary>
    private sealed class TwiceAndMore : IServerFunction
    {
        public string Name => "twice-and-more";

        public void Apply(FunctionCall run)
        {
            float more = run.Argument.Length switch
            {
                0 => 0,
                4 => BinaryPrimitives.ReadSingleLittleEndian(run.Argument),
                _ => throw new ArgumentException("the argument has 4 bytes or none"),
            };
            for (int i = 0; i < run.Rows.Length; i++)
            {
                run.Rows[i] = (2 * run.Rows[i]) + (run.HasValues ? run.Values[i] * (more == 0 ? 1 : more * 4) : more);
            }
        }
    }

    private sealed class Counting : IServerFunction
    {
        private int _rows;

        public string Name => "count";

        public void Apply(FunctionCall run)
        {
            foreach (ref float value in run.Rows)
            {
                value = ++_rows;
            }
        }
    }

    private sealed class SumOfArgument : IServerFunction
    {
        public string Name => "sum";

        public void Apply(FunctionCall run)
        {
            int sum = 0;
            foreach (byte b in run.Argument)
            {
                sum += b;
            }

            for (int i = 0; i < run.Rows.Length; i++)
            {
                run.Rows[i] += run.Values[i] + sum;
            }
        }
    }
}
