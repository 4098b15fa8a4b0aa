using CsCheck;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

public class MetricsTests
{
    [Fact]
    public void The_portable_exponential_is_the_library_s_within_two_units_in_the_last_place() =>
        Gen.OneOf(Gen.Double[-708, 709], Gen.Double[-1, 1]).Sample(x =>
        {
            double expected = Math.Exp(x);
            Assert.InRange(LogisticFunction.Exp(x), expected * (1 - 4.5e-16), expected * (1 + 4.5e-16));
        }, iter: 100_000);

    [Fact]
    public void The_logistic_function_and_its_loss_are_finite_and_right_at_the_ends()
    {
        Assert.Equal(1, LogisticFunction.Exp(0));
        Assert.Equal(0, LogisticFunction.Exp(double.NegativeInfinity));
        Assert.Equal(double.PositiveInfinity, LogisticFunction.Exp(710));
        Assert.Equal(0.5, LogisticFunction.Sigmoid(0));
        Assert.Equal(1, LogisticFunction.Sigmoid(1e300));
        Assert.Equal(0, LogisticFunction.Sigmoid(-1e300));
        Assert.Equal(1000, LogisticFunction.Loss(-1000, 1));
        Assert.Equal(0, LogisticFunction.Loss(1000, 1));
        Assert.Equal(Math.Log(2), LogisticFunction.Loss(0, 0), 1e-15);
        Assert.True(double.IsNaN(LogisticFunction.Sigmoid(double.NaN)));
    }

    [Fact]
    public void The_loss_is_minus_the_logarithm_of_the_probability_of_the_label() =>
        Gen.Select(Gen.Double[-30, 30], Gen.Bool).Sample((margin, positive) =>
        {
            double probability = 1 / (1 + Math.Exp(positive ? -margin : margin));
            Assert.Equal(-Math.Log(probability), LogisticFunction.Loss(margin, positive ? 1 : 0), 1e-9);
        });

    [Fact]
    public void AUC_is_the_share_of_pairs_in_the_right_order_with_ties_counting_half() =>
        Gen.Select(Gen.Int[-3, 3], Gen.Bool).Array[1, 60].Sample(rows =>
        {
            var meter = new BinaryMeter();
            double right = 0;
            foreach ((int margin, bool positive) in rows)
            {
                meter.Add(margin / 2.0, positive ? 1 : 0);
                right += rows.Where(other => positive && !other.Item2).Sum(other => margin > other.Item1 ? 1 : margin == other.Item1 ? 0.5 : 0);
            }

            long positives = rows.Count(row => row.Item2);
            Assert.Equal(right / (positives * (rows.Length - positives)), meter.Measure().Auc, 1e-12);
        });

    [Fact]
    public void Negative_zero_ties_with_zero_and_margins_of_any_size_are_ordered()
    {
        var meter = new BinaryMeter();
        meter.Add(-0.0, 1);
        meter.Add(0.0, 0);
        Assert.Equal(0.5, meter.Measure().Auc);
        meter.Add(1e30, 1);
        meter.Add(-1e30, 0);
        Assert.Equal(3.5 / 4, meter.Measure().Auc);
    }

    [Fact]
    public void Quality_counts_rows_accuracy_and_the_losses_to_compare_with()
    {
        var meter = new BinaryMeter();
        meter.Add(1, 1, 0.75);
        meter.Add(-1, 0, 0.25);
        meter.Add(2, 0, 0.5);
        meter.Add(0, 1, 0.5);
        BinaryQuality quality = meter.Measure();
        Assert.Equal((4L, 2L, 0.5), (quality.Rows, quality.Positives, quality.Accuracy));
        Assert.Equal(((2 * LogisticFunction.Loss(1, 1)) + LogisticFunction.Loss(2, 0) + Math.Log(2)) / 4, quality.LogLoss, 1e-12);
        Assert.Equal(-((2 * Math.Log(0.75)) + (2 * Math.Log(0.5))) / 4, quality.BestLogLoss!.Value, 1e-12);
        Assert.Equal(-(Math.Log(0.3) + Math.Log(0.7)) / 2, quality.ConstantLogLoss(0.3), 1e-12);
        meter.Add(0, 1);
        Assert.Null(meter.Measure().BestLogLoss);
        Assert.True(double.IsNaN(new BinaryMeter().Measure().Auc));
    }
}
