using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Metrics;
using Weir.Learn.ProximalGradient;
using Weir.World;

namespace Weir.Tests.Learn;

/// <summary>The parts of delayed block proximal gradient: blocks, columns, margins, options.</summary>
public sealed class ProximalGradientTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(16)]
    public void A_pass_works_once_on_each_block_and_a_block_rests_for_half_of_them(int count)
    {
        var blocks = new FeatureBlocks(count, seed: 3);
        int[] order = [.. Enumerable.Range(1, 20 * count).Select(iteration => blocks.At(iteration))];
        Assert.All(order.Chunk(count), pass => Assert.Equal(Enumerable.Range(0, count), pass.Order()));
        for (int at = 0; at < order.Length; at++)
        {
            Assert.DoesNotContain(order[at], order.Skip(at + 1).Take(blocks.Spacing));
        }

        Assert.True(count < 4 || order.Chunk(count).Select(pass => string.Join(' ', pass)).Distinct().Count() > 10, "passes have orders of their own");
        Assert.True(count < 4 || !order.SequenceEqual(Enumerable.Range(1, order.Length).Select(iteration => new FeatureBlocks(count, 4).At(iteration))));
    }

    [Fact]
    public void Keys_are_shared_out_to_the_blocks_by_their_hash()
    {
        var blocks = new FeatureBlocks(16, seed: 3);
        int[] counts = new int[16];
        for (ulong key = 0; key < 16_000; key++)
        {
            counts[blocks.Of(key)]++;
            Assert.Equal(blocks.Of(key), new FeatureBlocks(16, seed: 9).Of(key));
        }

        Assert.All(counts, count => Assert.InRange(count, 850, 1150));
    }

    [Fact]
    public void Columns_have_the_values_of_the_rows_with_repeated_keys_summed_and_the_intercept()
    {
        string path = _folder.Write("rows.libsvm", "1 3:2 7:1 3:0.5\n0 7:-4\n1 \n");
        var blocks = new FeatureBlocks(2, seed: 1);
        ColumnShare share = ColumnShare.Read(new LibsvmFile(path), 0, 1, 2, interceptKey: 99, blocks);
        Assert.Equal((3, 3, 6), (share.Rows, share.Columns, share.Nonzeros));
        foreach ((ulong key, int[] rows, float[] values) in (ReadOnlySpan<(ulong, int[], float[])>)[(3, [0], [2.5f]), (7, [0, 1], [1, -4]), (99, [0, 1, 2], [1, 1, 1])])
        {
            int column = Array.IndexOf(share.Keys, key);
            Assert.Equal(rows, share.RowsOf(column).ToArray());
            Assert.Equal(values, share.Values(column).ToArray());
            Assert.Equal(values.Sum(value => value * value) / 4, share.Curvatures[column]);
            (int first, int count) = share.Block(blocks.Of(key));
            Assert.InRange(column, first, first + count - 1);
        }
    }

    [Fact]
    public void Margins_and_gradients_are_those_of_the_definition_and_have_the_same_bits_whatever_was_before()
    {
        var data = new GeneratedRows(60, 20, 5, seed: 4);
        var blocks = new FeatureBlocks(3, seed: 1);
        ColumnShare share = ColumnShare.Read(data, 0, 1, 16, null, blocks);
        var rng = new Rng(8);
        var wandered = new BlockState(share);
        float[] pulled = new float[2 * share.Columns];
        for (int step = 0; step < 50; step++)
        {
            (int first, int count) = share.Block(step % 3);
            for (int column = first; column < first + count; column++)
            {
                pulled[2 * column] = (float)(rng.NextDouble() - 0.5) * 8;
            }

            wandered.Adopt(first, pulled.AsSpan(2 * first, 2 * count));
        }

        var anew = new BlockState(share);
        anew.Adopt(0, pulled);
        wandered.ComputeErrors();
        anew.ComputeErrors();
        double loss = 0;
        double[] gradient = new double[share.Columns];
        for (int row = 0; row < share.Rows; row++)
        {
            Assert.Equal(BitConverter.DoubleToInt64Bits(anew.Margin(row)), BitConverter.DoubleToInt64Bits(wandered.Margin(row)));
            double margin = data.Rows[row].Sum(entry => (double)entry.Value * pulled[2 * Array.IndexOf(share.Keys, entry.Key)]);
            Assert.Equal(margin, anew.Margin(row), 1e-11);
            loss += LogisticFunction.Loss(margin, data.Labels[row]);
            foreach ((ulong key, float value) in data.Rows[row])
            {
                gradient[Array.IndexOf(share.Keys, key)] += (LogisticFunction.Sigmoid(margin) - data.Labels[row]) * value;
            }
        }

        Assert.Equal(loss, anew.Loss(), 1e-8);
        for (int column = 0; column < share.Columns; column++)
        {
            Assert.Equal(gradient[column], anew.Gradient(column), 1e-9);
            Assert.Equal(BitConverter.DoubleToInt64Bits(anew.Gradient(column)), BitConverter.DoubleToInt64Bits(wandered.Gradient(column)));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(7)]
    public void The_workers_go_through_every_row_in_a_pass(int workers)
    {
        foreach (int rows in new[] { 1, 5, 100, 4096, 20_000 })
        {
            var summary = new DataSummary { Rows = rows, Nonzeros = rows, Positives = 0, Labels = LabelKind.ZeroOne };
            var loop = new ProximalGradientLoop(new ProximalGradientOptions { Passes = 6, Blocks = 4 }, new GeneratedRows(1, 1, 1, 1), summary);
            WorkerSchedule schedule = WorkerSchedule.Of(workers);
            Assert.Equal(24, loop.Iterations);
            Assert.Equal(6L * rows, Enumerable.Range(0, workers).Sum(worker => loop.RowsThrough(schedule, worker, loop.Iterations)));
        }
    }

    [Fact]
    public void All_faults_of_the_options_are_told_at_once()
    {
        var options = new ProximalGradientOptions { Blocks = 0, Passes = 0, DelayBound = -1, Step = 0, L1 = -1, L2 = double.NaN, LossScale = (LossScale)7, Curvature = (CurvatureKind)7 };
        Assert.Equal(8, Assert.Throws<ArgumentException>(options.Validate).Message.Split('\n').Length);
        var data = new GeneratedRows(10, 5, 2, 1);
        Assert.Contains("BlockLipschitz", Assert.Throws<ArgumentException>(() => new ProximalGradientTraining(new ProximalGradientOptions(), data, data.Scan())).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_objective_has_the_sum_or_the_mean_of_the_losses()
    {
        var data = new GeneratedRows(10, 5, 2, 1);
        LinearModel model = LinearModel.Create([1, 2], [3, -1]);
        Assert.Equal(10 * 0.5 + 2 * 4 + 0.5 * 10, Objective(LossScale.Sum), 1e-9);
        Assert.Equal(0.5 + 2 * 4 + 0.5 * 10, Objective(LossScale.Mean), 1e-9);

        double Objective(LossScale scale) =>
            new ProximalGradientTraining(new ProximalGradientOptions { Step = 1, L1 = 2, L2 = 1, LossScale = scale }, data, data.Scan()).Objective(model, 0.5);
    }
}
