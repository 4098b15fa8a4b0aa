namespace Weir.Learn.Metrics;

/// <summary>How good a model's predictions of 0/1 labels are on a set of rows.</summary>
public sealed record BinaryQuality
{
    /// <summary>Rows measured.</summary>
    public required long Rows { get; init; }

    /// <summary>Rows with label 1.</summary>
    public required long Positives { get; init; }

    /// <summary>Mean log-loss in nats; NaN without rows.</summary>
    public required double LogLoss { get; init; }

    /// <summary>
    /// The area under the ROC curve: the share of (positive, negative) pairs that the margins order rightly, a tie counting half
    /// (Hanley and McNeil 1982). NaN where one of the classes is missing.
    /// </summary>
    public required double Auc { get; init; }

    /// <summary>The share of rows whose label the margin's sign tells; a margin of exactly 0 says label 0. NaN without rows.</summary>
    public required double Accuracy { get; init; }

    /// <summary>
    /// The mean log-loss on these rows' labels of one who knows each row's true probability, where the source tells it; else null. It is
    /// measured on the same labels as <see cref="LogLoss"/>, so that the luck of the draw is in both.
    /// </summary>
    public double? BestLogLoss { get; init; }

    /// <summary>The mean log-loss in nats, on these rows, of always predicting <paramref name="rate"/>.</summary>
    /// <param name="rate">A probability, usually the training set's share of positives.</param>
    /// <returns>The loss; NaN without rows.</returns>
    public double ConstantLogLoss(double rate) =>
        ((Positives * LogisticFunction.LossOfProbability(rate, 1)) + ((Rows - Positives) * LogisticFunction.LossOfProbability(rate, 0))) / Rows;
}
