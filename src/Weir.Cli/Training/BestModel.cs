using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Cli.Training;

/// <summary>Measures models on the test rows and keeps the one of least log-loss. Not thread-safe.</summary>
internal sealed class BestModel(TrainingData data)
{
    /// <summary>The best so far; null before the first.</summary>
    public ModelSnapshot? Model { get; private set; }

    /// <summary>Its quality; null where there are no test rows.</summary>
    public BinaryQuality? Quality { get; private set; }

    /// <summary>Measures a model and keeps it where it is the best.</summary>
    /// <returns>Its quality; null where there are no test rows, and the later model is the better one.</returns>
    public async Task<BinaryQuality?> OfferAsync(ModelSnapshot snapshot, CancellationToken cancellation)
    {
        BinaryQuality? quality = data.Test is null
            ? null
            : await Evaluation.MeasureAsync(data.Test, snapshot.Model.LookupAsync, snapshot.Model.InterceptKey, cancellation);
        if (Model is null || quality is null || quality.LogLoss <= Quality!.LogLoss)
        {
            (Model, Quality) = (snapshot, quality);
        }

        return quality;
    }
}
