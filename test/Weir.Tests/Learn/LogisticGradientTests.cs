using CsCheck;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

public class LogisticGradientTests
{
    private static readonly Gen<SparseBatch> Batches = Gen.Select(Gen.Select(Gen.ULong[1, 8], Gen.Int[-8, 8]).Array[0, 6], Gen.Bool).Array[1, 10].Select(rows =>
    {
        var batch = new SparseBatch();
        foreach (var (features, positive) in rows)
        {
            batch.Reserve(features.Length);
            foreach ((ulong key, int quarters) in features)
            {
                batch.Append(key, quarters / 4f);
            }

            batch.EndRow(positive ? 1 : 0);
        }

        return batch;
    });

    [Fact]
    public void The_gradient_is_the_slope_of_the_summed_loss_for_every_key_and_the_intercept() =>
        Gen.Select(Batches, Gen.Double[-1, 1].Array[10]).Sample((rows, weights) =>
        {
            const ulong Intercept = 9;
            var batch = new NumberedBatch(Intercept);
            Copy(rows, batch);
            for (int number = 0; number < batch.Keys.Length; number++)
            {
                batch.Weights.Span[number] = (float)weights[batch.Keys.Span[number]];
            }

            double[] exact = [.. weights.Select(weight => (double)(float)weight)];
            Assert.Equal(Loss(rows, exact, Intercept), batch.ComputeGradient(), 1e-9);
            for (int number = 0; number < batch.Keys.Length; number++)
            {
                ulong key = batch.Keys.Span[number];
                double slope = (Loss(rows, Moved(exact, key, 1e-5), Intercept) - Loss(rows, Moved(exact, key, -1e-5), Intercept)) / 2e-5;
                Assert.Equal(slope, batch.Gradient.Span[number], 1e-4);
            }

            Assert.Equal(Intercept, batch.Keys.Span[0]);
        }, iter: 300);

    [Fact]
    public void A_row_that_bears_the_intercept_s_key_adds_to_the_intercept()
    {
        var batch = new NumberedBatch(7);
        batch.Rows.Reserve(1);
        batch.Rows.Append(7, 2);
        batch.Rows.EndRow(1);
        batch.Number();
        Assert.Equal([7UL], batch.Keys.ToArray());
        batch.Weights.Span[0] = 0;
        Assert.Equal(Math.Log(2), batch.ComputeGradient(), 1e-12);
        Assert.Equal(-1.5f, batch.Gradient.Span[0]);
    }

    [Fact]
    public void Options_out_of_range_are_listed_all_at_once()
    {
        string message = Assert.Throws<ArgumentException>(() =>
            new LogisticOptions { Rule = Weir.Keys.UpdateRuleKind.Add, Alpha = -1, L1 = float.NaN, Passes = 0, BatchRows = 0, DelayBound = -1, AdmitAfterSightings = 0, ExpireAfterClocks = 0 }.Validate()).Message;
        Assert.Equal(8, message.Split('\n').Length);
        Assert.Contains("expire after clocks is given", Assert.Throws<ArgumentException>(() => new LogisticOptions { DelayBound = 0, ExpireAfterClocks = 9 }.Validate()).Message);
        new LogisticOptions { DelayBound = null, ExpireAfterClocks = 9 }.Validate();
    }

    [Theory]
    [InlineData(200_000, 4096)]
    [InlineData(81_920, 4096)]
    [InlineData(81_919, 819)]
    [InlineData(32_561, 325)]
    [InlineData(6_513, 65)]
    [InlineData(3, 1)]
    public void A_default_batch_above_a_twentieth_of_the_data_is_made_a_hundredth(long rows, int batchRows) => Assert.Equal(batchRows, LogisticOptions.DefaultBatchRows(rows));

    [Fact]
    public void The_intercept_s_key_is_what_its_documentation_says() =>
        Assert.Equal(LogisticOptions.InterceptKey, System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(System.Security.Cryptography.SHA256.HashData("weir intercept"u8)));

    private static void Copy(SparseBatch rows, NumberedBatch batch)
    {
        for (int row = 0; row < rows.Rows; row++)
        {
            batch.Rows.Reserve(rows.Nonzeros);
            for (int at = rows.Offsets[row]; at < rows.Offsets[row + 1]; at++)
            {
                batch.Rows.Append(rows.Keys[at], rows.Values[at]);
            }

            batch.Rows.EndRow(rows.Labels[row]);
        }

        batch.Number();
    }

    private static double[] Moved(double[] weights, ulong key, double by)
    {
        double[] moved = [.. weights];
        moved[key] += by;
        return moved;
    }

    private static double Loss(SparseBatch rows, double[] weights, ulong intercept)
    {
        double loss = 0;
        for (int row = 0; row < rows.Rows; row++)
        {
            double margin = weights[intercept];
            for (int at = rows.Offsets[row]; at < rows.Offsets[row + 1]; at++)
            {
                margin += weights[rows.Keys[at]] * rows.Values[at];
            }

            loss += LogisticFunction.Loss(margin, rows.Labels[row]);
        }

        return loss;
    }
}
