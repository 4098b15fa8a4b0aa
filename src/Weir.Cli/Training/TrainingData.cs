using Weir.Learn.Data;

namespace Weir.Cli.Training;

/// <summary>The rows of a run, read once to the end before anything begins.</summary>
/// <param name="Train">Rows to train on.</param>
/// <param name="Summary">What they count.</param>
/// <param name="Test">Rows to measure on, or null.</param>
internal sealed record TrainingData(ISparseSource Train, DataSummary Summary, ISparseSource? Test)
{
    /// <summary>Opens and checks the rows.</summary>
    /// <exception cref="DataException">A file is missing or malformed.</exception>
    public static TrainingData Open(DataSettings settings, CancellationToken cancellation)
    {
        (ISparseSource train, ISparseSource? test) = Sources(settings);
        DataSummary summary = train.Scan(cancellation);
        if (settings.Test is not null)
        {
            test!.Scan(cancellation);
        }

        return new TrainingData(train, summary, test);
    }

    /// <summary>The sources, unchecked.</summary>
    public static (ISparseSource Train, ISparseSource? Test) Sources(DataSettings settings)
    {
        if (settings.Train is null)
        {
            var log = new ClickLog(settings.Seed, settings.Rows, settings.TestRows);
            return (log.Train, log.Test);
        }

        return (new LibsvmFile(settings.Train), settings.Test is null ? null : new LibsvmFile(settings.Test));
    }
}
