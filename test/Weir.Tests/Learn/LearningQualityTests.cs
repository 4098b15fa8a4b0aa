using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

/// <summary>
/// The defaults reach what other programs reach, with a parameter server that is as stale as the bound allows. Quality is that of the
/// arithmetic and of the defaults; the same numbers over a real cluster are the end-to-end tests' business.
/// </summary>
public sealed class LearningQualityTests
{
    private static readonly LogisticOptions Defaults = new();

    [Theory]
    [InlineData(1, 2)]
    [InlineData(0, 2)]
    public void The_click_log_is_learned_nine_tenths_of_the_way_from_the_base_rate_to_the_best_attainable(int delay, int workers)
    {
        var log = new ClickLog();
        DataSummary summary = log.Train.Scan(TestContext.Current.CancellationToken);
        (BinaryQuality quality, LinearModel model) = Train(Defaults with { DelayBound = delay }, log.Train, log.Test, workers);
        double baseLogLoss = quality.ConstantLogLoss(summary.BaseRate);
        Assert.InRange((baseLogLoss - quality.LogLoss) / (baseLogLoss - quality.BestLogLoss!.Value), 0.90, 1);

        // Of 425,000 keys nearly all are there to be ignored.
        Assert.InRange(model.Count, 1_500, 30_000);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    public void UCI_Adult_is_learned_as_well_as_by_liblinear_with_the_defaults(int delay)
    {
        (BinaryQuality quality, _) = Train(Defaults with { DelayBound = delay }, RealData.File("a9a.libsvm.gz"), RealData.File("a9a.t.libsvm.gz"), 2);
        Assert.InRange(quality.LogLoss, 0.32, 0.3255);
        Assert.InRange(quality.Auc, 0.9015, 0.91);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    public void With_an_l1_of_10_at_most_105_weights_of_UCI_Adult_are_left_at_the_same_quality(int delay)
    {
        (BinaryQuality quality, LinearModel model) = Train(Defaults with { DelayBound = delay, L1 = 10 }, RealData.File("a9a.libsvm.gz"), RealData.File("a9a.t.libsvm.gz"), 2);
        Assert.InRange(quality.LogLoss, 0.32, 0.3255);
        Assert.InRange(quality.Auc, 0.9015, 0.91);
        Assert.InRange(model.Count, 50, 100);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(0)]
    public void UCI_mushrooms_are_told_apart_without_error_in_20_passes(int delay)
    {
        (BinaryQuality quality, _) = Train(Defaults with { DelayBound = delay, Passes = 20 }, RealData.File("agaricus.train.libsvm.gz"), RealData.File("agaricus.test.libsvm.gz"), 2);
        Assert.Equal(1.0, quality.Accuracy);
    }

    [Theory]
    [InlineData(UpdateRuleKind.Adagrad, 0.80)]
    [InlineData(UpdateRuleKind.Adam, 0.80)]
    [InlineData(UpdateRuleKind.Sgd, 0.70)]
    [InlineData(UpdateRuleKind.Momentum, 0.70)]
    [InlineData(UpdateRuleKind.ProximalSgd, 0.70)]
    public void The_other_rules_defaults_learn_the_click_log_too(UpdateRuleKind rule, double smallestShare)
    {
        var log = new ClickLog();
        (BinaryQuality quality, _) = Train(Defaults with { Rule = rule }, log.Train, log.Test, 2);
        double baseLogLoss = quality.ConstantLogLoss(log.Train.Scan(TestContext.Current.CancellationToken).BaseRate);
        Assert.InRange((baseLogLoss - quality.LogLoss) / (baseLogLoss - quality.BestLogLoss!.Value), smallestShare, 1);
    }

    [Theory]
    [InlineData(UpdateRuleKind.Adagrad, 0.326)]
    [InlineData(UpdateRuleKind.Adam, 0.335)]
    [InlineData(UpdateRuleKind.Sgd, 0.36)]
    [InlineData(UpdateRuleKind.Momentum, 0.36)]
    [InlineData(UpdateRuleKind.ProximalSgd, 0.36)]
    public void The_other_rules_defaults_learn_UCI_Adult_too(UpdateRuleKind rule, double largestLogLoss)
    {
        (BinaryQuality adult, _) = Train(Defaults with { Rule = rule }, RealData.File("a9a.libsvm.gz"), RealData.File("a9a.t.libsvm.gz"), 2);
        Assert.InRange(adult.LogLoss, 0.32, largestLogLoss);
    }

    private static (BinaryQuality Quality, LinearModel Model) Train(LogisticOptions options, ISparseSource train, ISparseSource test, int workers)
    {
        var cluster = new ReferenceCluster(options.ToUpdateRule(), workers, aggregate: options.DelayBound == 0);
        LinearModel model = cluster.Train(options, train, train.Scan());
        BinaryQuality quality = Evaluation.MeasureAsync(test, model.LookupAsync, model.InterceptKey).GetAwaiter().GetResult();
        TestContext.Current.TestOutputHelper?.WriteLine($"log-loss {quality.LogLoss:F5} AUC {quality.Auc:F5} accuracy {quality.Accuracy:F5} best {quality.BestLogLoss:F5} weights {model.Count}");
        return (quality, model);
    }
}
