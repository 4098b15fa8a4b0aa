using System.Globalization;
using Weir.Learn.Metrics;

namespace Weir.Cli.Reports;

/// <summary>A model's quality as a report and as lines for people.</summary>
internal static class QualityText
{
    /// <summary>The measures beside the loss of always predicting <paramref name="rate"/>.</summary>
    public static TestQuality Of(BinaryQuality quality, double rate) => new(
        quality.Rows,
        quality.LogLoss,
        double.IsNaN(quality.Auc) ? null : quality.Auc,
        quality.Accuracy,
        quality.ConstantLogLoss(rate),
        quality.BestLogLoss);

    public static IEnumerable<string> Lines(TestQuality quality, string baseOf)
    {
        yield return Text($"on {quality.Rows:N0} test rows:");
        yield return Text($"  log-loss {quality.LogLoss:F4}");
        yield return Text($"    always predicting {baseOf}: {quality.BaseLogLoss:F4}");
        if (quality.BestLogLoss is { } best)
        {
            double way = (quality.BaseLogLoss - quality.LogLoss) / (quality.BaseLogLoss - best);
            yield return Text($"    best attainable: {best:F4}; the model goes {100 * way:F1} % of the way there");
        }

        yield return quality.Auc is { } auc
            ? Text($"  AUC {auc:F4}, accuracy {quality.Accuracy:F4}")
            : Text($"  accuracy {quality.Accuracy:F4} (no AUC: the rows have one label only)");
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
