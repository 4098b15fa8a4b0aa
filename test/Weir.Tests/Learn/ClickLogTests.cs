using Weir.Learn.Data;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

/// <summary>The generated data has the properties that its documentation states, measured on the data.</summary>
public sealed class ClickLogTests
{
    // Generated once: the default training and test sets.
    private static readonly Lazy<Measured> Default = new(() => new Measured(new ClickLog()));

    [Fact]
    public void A_row_has_39_fields_and_200_000_and_50_000_rows_are_the_default()
    {
        Assert.Equal(39, ClickLog.Fields);
        Assert.Equal(200_000, Default.Value.TrainRows);
        Assert.Equal(50_000, Default.Value.TestRows);
    }

    [Fact]
    public void The_training_set_has_at_least_300_000_distinct_keys() => Assert.InRange(Default.Value.Occurrences.Count, 300_000, 1_000_000);

    [Fact]
    public void Three_dense_keys_are_in_every_row_and_carry_at_most_a_fifth_of_the_variance_of_the_logit()
    {
        Assert.Equal(3, Default.Value.Occurrences.Count(pair => pair.Value == ClickLog.DefaultTrainRows));
        Assert.InRange(Default.Value.DenseVariance / Default.Value.Variance, 0.05, 0.20);
    }

    [Fact]
    public void The_rest_lies_on_at_least_1_500_keys_expected_400_times_over_at_least_26_fields_and_rarer_keys_weigh_nothing()
    {
        var log = new ClickLog();
        int telling = 0;
        var fields = new HashSet<int>();
        for (int field = ClickLog.DenseFields; field < ClickLog.Fields; field++)
        {
            for (int rank = 0; rank < 100; rank++)
            {
                if (log.TrueWeight(field, rank) == 0)
                {
                    continue;
                }

                telling++;
                fields.Add(field);

                // An expectation of 400 shows as at least 300 unless luck is five standard deviations off.
                Assert.InRange(Default.Value.Occurrences[ClickLog.Key(field, rank)], 300, int.MaxValue);
                Assert.InRange(ClickLogExpectation(field, rank), 400, double.MaxValue);
            }
        }

        Assert.InRange(telling, 1_500, 5_000);
        Assert.InRange(fields.Count, 26, 36);
    }

    [Fact]
    public void The_base_rate_s_loss_is_at_least_a_tenth_of_a_nat_above_the_best_attainable() =>
        Assert.InRange(Default.Value.BaseLogLoss - Default.Value.BestLogLoss, 0.10, 0.25);

    [Fact]
    public void Labels_are_drawn_with_the_true_probabilities()
    {
        // Among rows of like probability the share of ones is that probability, within five standard deviations.
        foreach (IGrouping<int, (double Probability, float Label)> bin in Default.Value.TestPredictions.GroupBy(row => (int)(row.Probability * 10)))
        {
            double expected = bin.Average(row => row.Probability);
            double deviation = Math.Sqrt(0.25 / bin.Count());
            Assert.InRange(bin.Average(row => row.Label), expected - (5 * deviation), expected + (5 * deviation));
        }
    }

    [Fact]
    public void Keys_of_a_field_come_by_the_shifted_Zipf_law()
    {
        for (int field = ClickLog.DenseFields; field < ClickLog.Fields; field++)
        {
            for (int rank = 0; rank < 20; rank++)
            {
                double expected = ClickLogExpectation(field, rank);
                double deviation = Math.Sqrt(expected);
                Assert.InRange(Default.Value.Occurrences[ClickLog.Key(field, rank)], expected - (5.5 * deviation), expected + (5.5 * deviation));
            }
        }
    }

    // These numbers were printed once and never change: the rows are the same on every platform and in every version.
    [Fact]
    public void The_rows_of_seed_1_are_these_on_every_platform()
    {
        var batch = new SparseBatch();
        using ISparseReader reader = new ClickLog().Train.Open(0, 1, 1000);
        reader.Read(batch);
        ulong digest = 0;
        for (int at = 0; at < batch.Nonzeros; at++)
        {
            digest = CounterRandom.Finalize(digest ^ batch.Keys[at] ^ BitConverter.SingleToUInt32Bits(batch.Values[at]));
        }

        for (int row = 0; row < batch.Rows; row++)
        {
            digest = CounterRandom.Finalize(digest ^ BitConverter.DoubleToUInt64Bits(batch.TrueProbabilities[row]) ^ (ulong)batch.Labels[row]);
        }

        Assert.Equal(11474160534759794140UL, digest);
    }

    [Fact]
    public void Another_seed_gives_other_rows_and_train_and_test_rows_differ()
    {
        float[] one = Labels(new ClickLog(1).Train);
        Assert.NotEqual(one, Labels(new ClickLog(2).Train));
        Assert.NotEqual(one, Labels(new ClickLog(1).Test));
        Assert.Equal(one, Labels(new ClickLog(1, 1000, 1).Train));
    }

    private static float[] Labels(ISparseSource source)
    {
        var batch = new SparseBatch();
        using ISparseReader reader = source.Open(0, 1, 1000);
        reader.Read(batch);
        return batch.Labels.ToArray();
    }

    // Written from the documentation, not from the generator.
    private static double ClickLogExpectation(int field, int rank)
    {
        (int ranks, double power) = field < 15 ? (1024, 1.5) : field < 31 ? (65_536, 1.5) : (65_536, 1.0);
        return 200_000 * Math.Pow(rank + 5, -power) / Totals.GetOrAdd((ranks, power), shape => Enumerable.Range(0, shape.Ranks).Sum(other => Math.Pow(other + 5, -shape.Power)));
    }

    private static readonly System.Collections.Concurrent.ConcurrentDictionary<(int Ranks, double Power), double> Totals = new();

    private sealed class Measured
    {
        public Measured(ClickLog log)
        {
            double dense = 0, denseSquare = 0, logit = 0, logitSquare = 0;
            double positives = 0;
            ForEach(log.Train, batch =>
            {
                TrainRows += batch.Rows;
                foreach (ulong key in batch.Keys)
                {
                    System.Runtime.InteropServices.CollectionsMarshal.GetValueRefOrAddDefault(Occurrences, key, out _)++;
                }

                for (int row = 0; row < batch.Rows; row++)
                {
                    double part = 0;
                    for (int field = 0; field < ClickLog.DenseFields; field++)
                    {
                        Assert.Equal(ClickLog.Key(field, 0), batch.Keys[batch.Offsets[row] + field]);
                        part += ClickLog.DenseTrueWeight(field) * batch.Values[batch.Offsets[row] + field];
                    }

                    double probability = batch.TrueProbabilities[row];
                    double margin = Math.Log(probability / (1 - probability));
                    (dense, denseSquare, logit, logitSquare) = (dense + part, denseSquare + (part * part), logit + margin, logitSquare + (margin * margin));
                    positives += batch.Labels[row];
                }
            });
            DenseVariance = (denseSquare / TrainRows) - (dense / TrainRows * (dense / TrainRows));
            Variance = (logitSquare / TrainRows) - (logit / TrainRows * (logit / TrainRows));
            double rate = positives / TrainRows;
            ForEach(log.Test, batch =>
            {
                TestRows += batch.Rows;
                for (int row = 0; row < batch.Rows; row++)
                {
                    TestPredictions.Add((batch.TrueProbabilities[row], batch.Labels[row]));
                    BaseLogLoss += LogisticFunction.LossOfProbability(rate, batch.Labels[row]);
                    BestLogLoss += LogisticFunction.LossOfProbability(batch.TrueProbabilities[row], batch.Labels[row]);
                }
            });
            BaseLogLoss /= TestRows;
            BestLogLoss /= TestRows;
        }

        public int TrainRows { get; private set; }

        public int TestRows { get; private set; }

        public Dictionary<ulong, int> Occurrences { get; } = [];

        public double DenseVariance { get; }

        public double Variance { get; }

        public double BaseLogLoss { get; private set; }

        public double BestLogLoss { get; private set; }

        public List<(double Probability, float Label)> TestPredictions { get; } = [];

        private static void ForEach(ISparseSource source, Action<SparseBatch> take)
        {
            using ISparseReader reader = source.Open(0, 1, 4096);
            var batch = new SparseBatch();
            while (reader.Read(batch))
            {
                take(batch);
            }
        }
    }
}
