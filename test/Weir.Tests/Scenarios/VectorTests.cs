using CsCheck;
using Weir.Client;
using Weir.Server;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Scenarios;

/// <summary>Vectors and matrices on the servers (papers PS-1 to PS-3): the same arithmetic in double precision is what they are compared with.</summary>
public class VectorTests
{
    private const int Length = 1000;

    /// <summary>Any operations, in any order, on any ranges of three vectors.</summary>
    [Fact]
    public void PS01_operations_at_the_servers_agree_with_the_same_arithmetic_in_double_precision() =>
        Gen.Select(Gen.ULong, Gen.Int[1, 300], Step.Array[1, 12]).Sample(
            (seed, width, steps) =>
            {
                using var cluster = new SimCluster(seed, servers: 3, replicas: (int)(seed % 3));
                cluster.Run(
                    async () =>
                    {
                        WeirClient client = await cluster.ConnectAsync("a");
                        WeirVector[] vectors = new WeirVector[3];
                        double[][] models = new double[3][];
                        var rng = new Rng(seed);
                        for (int i = 0; i < vectors.Length; i++)
                        {
                            vectors[i] = await WeirVector.OpenAsync(client, new VectorOptions($"v{i}", Length) { BlockWidth = width });
                            float[] begun = [.. Enumerable.Range(0, Length).Select(_ => (rng.Below(2001) - 1000) / 1000f)];
                            models[i] = [.. begun.Select(e => (double)e)];
                            await vectors[i].SetAsync(begun);
                        }

                        foreach ((int kind, int of, int with, int first, int length, int hundredths) in steps)
                        {
                            int count = Math.Min(length, Length - first);
                            await TakeAsync(kind, vectors[of].Range(first, count), vectors[with].Range(first, count), models[of].AsMemory(first, count), models[with].AsMemory(first, count), hundredths / 100f);
                        }

                        for (int i = 0; i < vectors.Length; i++)
                        {
                            float[] read = new float[Length];
                            await vectors[i].PullAsync(read);
                            Assert.All(read.Zip(models[i]), pair => Assert.Equal(pair.Second, pair.First, Tolerance(pair.Second)));
                        }
                    },
                    limitMs: 60_000);
            },
            iter: 30);

    /// <summary>Frames are lost and come twice, and heads die: each operation took place once.</summary>
    [Fact]
    public void PS01_an_operation_is_applied_once_though_frames_are_sent_again_and_heads_die()
    {
        for (ulong seed = 0; seed < 6; seed++)
        {
            using var cluster = new SimCluster(seed, servers: 4, replicas: 1, acceptors: 3, limits: ServerLimits.FastFailover);
            cluster.Run(
                async () =>
                {
                    var options = new ClientOptions { RetryMs = 60, UnreachableMs = 60_000 };
                    WeirClient client = await cluster.ConnectAsync("a", options);
                    WeirVector w = await WeirVector.OpenAsync(client, new VectorOptions("w", Length) { BlockWidth = 16 });
                    WeirVector one = await WeirVector.OpenAsync(client, new VectorOptions("one", Length) { BlockWidth = 16 });
                    await one.FillAsync(1);
                    cluster.Network.Faults = new SimFaults { LossPerMille = 60, DuplicatePerMille = 60, ReorderPerMille = 60 };
                    int victim = 1 + (int)(seed % 3);
                    cluster.Scheduler.At(cluster.Scheduler.Now.AfterMs(30), () => cluster.KillServer(victim));
                    for (int i = 0; i < 12; i++)
                    {
                        // w = 2 w + 1: twice, or in another order, is another number.
                        await Task.WhenAll(w.ScaleAsync(2), w.AddAsync(one));
                    }

                    cluster.Network.Faults = SimFaults.None;
                    float[] read = new float[Length];
                    await w.PullAsync(read);
                    Assert.All(read, value => Assert.Equal((1 << 12) - 1, value));
                    Assert.Equal(((1 << 12) - 1) * (double)Length, await w.SumAsync());
                },
                limitMs: 120_000);
        }
    }

    /// <summary>What an operand was is in no log: a vector that was computed from one that is gone stands in replicas and journals.</summary>
    [Fact]
    public void A_durable_vector_that_was_computed_from_a_dropped_one_stands_after_a_stop_of_all_servers()
    {
        using var cluster = new SimCluster(7, servers: 3, replicas: 1, acceptors: 3, journals: true, limits: new ServerLimits { NodeTimeoutMs = 500, RecoveryWaitMs = 2000 });
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { UnreachableMs = 60_000, RetryMs = 200 });
                WeirVector kept = await WeirVector.OpenAsync(client, new VectorOptions("kept", Length) { Durable = true, Committed = true });
                WeirVector gone = await WeirVector.OpenAsync(client, new VectorOptions("gone", Length));
                await gone.FillAsync(3);
                await kept.AddAsync(gone, 2);
                await client.DropTableAsync(gone.Table);
                for (int server = 0; server < 3; server++)
                {
                    cluster.KillServer(server);
                }

                for (int server = 0; server < 3; server++)
                {
                    cluster.RestartServer(server);
                }

                float[] read = new float[Length];
                await kept.PullAsync(read);
                Assert.All(read, value => Assert.Equal(6, value));
                Assert.Equal(6.0 * Length, await kept.SumAsync());
            },
            limitMs: 60_000);
    }

    /// <summary>A million elements, of which none crosses: the frames of an operation name blocks, those of a reduction bring a number for some of them.</summary>
    [Fact]
    public void PS01_numbers_alone_cross_the_network_between_a_client_and_the_servers()
    {
        using var cluster = new SimCluster(9, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a", new ClientOptions { Filters = Filters.Lossless });
                WeirVector x = await WeirVector.OpenAsync(client, new VectorOptions("x", 1_000_000) { BlockWidth = 1024 });
                WeirVector y = await WeirVector.OpenAsync(client, new VectorOptions("y", 1_000_000) { BlockWidth = 1024 });
                await x.FillAsync(1);
                long before = Bytes();
                await y.AddAsync(x, 3);
                Assert.InRange(Bytes() - before, 1, 40_000);
                before = Bytes();
                Assert.Equal(3_000_000, await x.DotAsync(y));
                Assert.InRange(Bytes() - before, 1, 60_000);
                long Bytes() => client.Counters.PushBytes + client.Counters.PullBytes;
            },
            limitMs: 60_000);
    }

    [Fact]
    public void PS02_a_range_of_rows_of_a_matrix_is_read_and_changed_and_no_other_element()
    {
        using var cluster = new SimCluster(10, servers: 2);
        cluster.Run(
            async () =>
            {
                const int Rows = 7, Columns = 50;
                WeirClient client = await cluster.ConnectAsync("a");
                WeirMatrix w = await WeirMatrix.OpenAsync(client, new MatrixOptions("w", Rows, Columns) { BlockWidth = 16 });
                WeirMatrix v = await WeirMatrix.OpenAsync(client, new MatrixOptions("v", Rows, Columns) { BlockWidth = 16 });
                float[] all = [.. Enumerable.Range(0, Rows * Columns).Select(i => (float)i)], read = new float[all.Length], two = new float[2 * Columns];
                await w.SetAsync(all);
                await w.RowRange(2, 2).PullAsync(two);
                Assert.Equal(all[(2 * Columns)..(4 * Columns)], two);
                await v.FillAsync(2);
                await w.RowRange(3, 1).MultiplyAsync(v.RowRange(3, 1));
                await w.RowRange(5, 2).PushAsync(two.Select(_ => 1f).ToArray());
                await w.PullAsync(read);
                Assert.Equal(all.Select((e, i) => (i / Columns) switch { 3 => 2 * e, 5 or 6 => e + 1, _ => e }), read);
                Assert.Equal(read.Sum(e => (double)e), await w.SumAsync());
                Assert.Equal(read.Max(), await w.MaximumAsync());
                Assert.Equal(2 * read.Sum(e => (double)e), await w.DotAsync(v));
            },
            limitMs: 60_000);
    }

    /// <summary>Found by the property above, in the pipeline: what is done to a row took more bytes than a narrow row has.</summary>
    [Fact]
    public void A_single_block_narrower_than_what_names_the_operation_is_changed_too()
    {
        using var cluster = new SimCluster(14, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirVector w = await WeirVector.OpenAsync(client, new VectorOptions("w", 1) { BlockWidth = 1 });
                await w.FillAsync(3);
                await w.ScaleAsync(2);
                Assert.Equal(6, await w.SumAsync());
            },
            limitMs: 60_000);
    }

    [Fact]
    public void PS02_a_key_range_of_a_sparse_table_is_all_rows_there_and_no_other()
    {
        using var cluster = new SimCluster(13, servers: 3);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = 2 });
                ulong[] keys = [.. Enumerable.Range(0, 500).Select(i => 3 * (ulong)i)];
                await client.SetAsync(table, keys, keys.SelectMany(k => new[] { (float)k, 1f }).ToArray());
                Dictionary<ulong, float> rows = [];
                await foreach (RowBatch batch in client.ScanAsync(table, 100, 200))
                {
                    for (int i = 0; i < batch.Keys.Length; i++)
                    {
                        rows.Add(batch.Keys.Span[i], batch.Values.Span[2 * i] + batch.Values.Span[(2 * i) + 1] - 1);
                    }
                }

                Assert.Equal(keys.Where(k => k is >= 100 and <= 200), rows.Keys.Order());
                Assert.All(rows, row => Assert.Equal(row.Key, row.Value));
            },
            limitMs: 60_000);
    }

    [Fact]
    public void PS01_a_sparse_matrix_of_this_process_times_a_vector_is_what_double_precision_gives()
    {
        using var cluster = new SimCluster(11, servers: 2);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirVector whole = await WeirVector.OpenAsync(client, new VectorOptions("w", Length) { BlockWidth = 7 });
                await whole.SetAsync(Enumerable.Range(0, Length).Select(i => i * 0.5f).ToArray());
                WeirVector w = whole.Range(100, 300);
                float[] products = new float[3];
                await w.MultiplyByAsync(new[] { 2, 2, 5 }, new long[] { 0, 299, 5, 5, 150 }, new float[] { 1, 2, 3, -1, 4 }, products);
                Assert.Equal([50 + (2 * 199.5f), 0, (2 * 52.5f) + (4 * 125)], products);
                Assert.Contains("column 300", Assert.Throws<ArgumentException>(() => w.MultiplyByAsync(new[] { 1 }, new long[] { 300 }, new float[] { 1 }, new float[1]).GetAwaiter().GetResult()).Message);
            },
            limitMs: 60_000);
    }

    /// <summary>Each is told what is the matter, and nothing is changed.</summary>
    [Fact]
    public void Operands_of_another_shape_and_results_that_are_not_finite_are_refused()
    {
        using var cluster = new SimCluster(12, servers: 2, replicas: 1);
        cluster.Run(
            async () =>
            {
                WeirClient client = await cluster.ConnectAsync("a");
                WeirVector w = await WeirVector.OpenAsync(client, new VectorOptions("w", Length));
                WeirVector shorter = await WeirVector.OpenAsync(client, new VectorOptions("shorter", Length - 1));
                WeirVector narrower = await WeirVector.OpenAsync(client, new VectorOptions("narrower", Length) { BlockWidth = 8 });
                await w.FillAsync(1e30f);
                string conflict = await RefusedAsync<WeirException>(() => WeirVector.OpenAsync(client, new VectorOptions("w", Length + 1)));
                Assert.Contains("exists as a vector of 1000 elements", conflict);
                Assert.Contains("asked for as a vector of 1001 elements", conflict);
                Assert.Contains("no operand", await RefusedAsync<ArgumentException>(() => w.AddAsync(shorter)));
                Assert.Contains("no operand", await RefusedAsync<ArgumentException>(() => w.DotAsync(narrower)));
                Assert.Contains("no operand", await RefusedAsync<ArgumentException>(() => w.Range(0, 10).CopyFromAsync(w.Range(1, 10))));
                Assert.Contains("has 1000 elements, not 3", await RefusedAsync<ArgumentException>(() => w.PushAsync(new float[3])));
                Assert.Contains("finite", await RefusedAsync<ArgumentOutOfRangeException>(() => w.ScaleAsync(float.NaN)));
                Assert.Contains("not a finite number", await RefusedAsync<WeirException>(() => w.MultiplyAsync(w)));
                WeirVector dropped = await WeirVector.OpenAsync(client, new VectorOptions("dropped", Length));
                await client.DropTableAsync(dropped.Table);
                Assert.Contains("dropped", await RefusedAsync<WeirException>(() => w.AddAsync(dropped)));
                Assert.Contains("dropped", await RefusedAsync<WeirException>(() => w.DotAsync(dropped)));
                await w.ScaleAsync(1e-30f);
                Assert.Equal(Length, await w.SumAsync(), 1e-3);
            },
            limitMs: 60_000);

        static async Task<string> RefusedAsync<TFailure>(Func<Task> call)
            where TFailure : Exception => (await Assert.ThrowsAsync<TFailure>(call)).Message;
    }

    private static readonly Gen<(int Kind, int Of, int With, int First, int Length, int Hundredths)> Step =
        Gen.Select(Gen.Int[0, 11], Gen.Int[0, 2], Gen.Int[0, 2], Gen.Int[0, Length - 1], Gen.Int[1, Length], Gen.Int[-150, 150]);

    private static async Task TakeAsync(int kind, WeirVector w, WeirVector x, Memory<double> model, Memory<double> other, float factor)
    {
        double[] others = other.ToArray();
        switch (kind)
        {
            case 0:
                await w.FillAsync(factor);
                Change(model, (_, _) => factor);
                break;
            case 1:
                await w.CopyFromAsync(x);
                Change(model, (_, i) => others[i]);
                break;
            case 2:
                await w.AddAsync(x, factor);
                Change(model, (e, i) => e + (factor * others[i]));
                break;
            case 3:
                await w.ScaleAsync(factor);
                Change(model, (e, _) => factor * e);
                break;
            case 4:
                await w.MultiplyAsync(x);
                Change(model, (e, i) => e * others[i]);
                break;
            case 5:
                await w.PushAsync(others.Select(e => (float)e).ToArray());
                Change(model, (e, i) => e + others[i]);
                break;
            case 6:
                await w.SetAsync(others.Select(e => (float)e).ToArray());
                Change(model, (_, i) => others[i]);
                break;
            case 7:
                Close(model.ToArray().Zip(others).Sum(p => p.First * p.Second), await w.DotAsync(x), model, others);
                break;
            case 8:
                Close(model.ToArray().Sum(), await w.SumAsync(), model, others);
                break;
            case 9:
                Close(Math.Sqrt(model.ToArray().Sum(e => e * e)), await w.NormAsync(), model, others);
                break;
            case 10:
                Close(model.ToArray().Max(), await w.MaximumAsync(), model, others);
                Close(model.ToArray().Max(Math.Abs), await w.MaximumMagnitudeAsync(), model, others);
                break;
            default:
                Close(model.ToArray().Sum(Math.Abs), await w.AbsoluteSumAsync(), model, others);
                break;
        }

        static void Change(Memory<double> model, Func<double, int, double> to)
        {
            for (int i = 0; i < model.Length; i++)
            {
                model.Span[i] = to(model.Span[i], i);
            }
        }

        static void Close(double expected, double actual, Memory<double> model, double[] others) =>
            Assert.Equal(expected, actual, 1e-4 * (1 + model.ToArray().Sum(Math.Abs) + others.Sum(Math.Abs)) * (1 + model.ToArray().Max(Math.Abs)));
    }

    // Some dozen roundings of a float, each of the largest there was.
    private static double Tolerance(double value) => 1e-4 * (1 + Math.Abs(value));
}
