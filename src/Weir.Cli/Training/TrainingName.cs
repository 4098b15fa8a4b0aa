using System.Globalization;
using System.Security.Cryptography;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Cli.Training;

/// <summary>
/// The name of a run's job and of its table: a number that no other run has, and what its iterations depend on, so that a checkpoint of the
/// cluster says which data the run goes on with. Written <c>train-ID-ROWS-NONZEROS-POSITIVES-BATCH</c>, with <c>bBLOCKS</c> in place of the
/// rows of a batch where features are cut, and <c>-plain</c> behind it where rows have no intercept.
/// </summary>
/// <param name="Id">The number.</param>
/// <param name="Rows">Training rows.</param>
/// <param name="Nonzeros">Key and value pairs of all of them.</param>
/// <param name="Positives">Rows with label 1.</param>
/// <param name="Cut">What a pass is cut into.</param>
/// <param name="HasIntercept">Whether every row has an intercept.</param>
internal sealed record TrainingName(ulong Id, long Rows, long Nonzeros, long Positives, TrainingCut Cut, bool HasIntercept)
{
    private const string Prefix = "train-";
    private const string Plain = "plain";
    private const char Blocks = 'b';

    /// <summary>A name for a new run.</summary>
    public static TrainingName New(DataSummary data, ILinearTraining training) =>
        new(BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))), data.Rows, data.Nonzeros, data.Positives, training.Cut, training.HasIntercept);

    /// <summary>Reads a name; null where it is no run's.</summary>
    public static TrainingName? Read(string text)
    {
        string[] parts = text.StartsWith(Prefix, StringComparison.Ordinal) ? text[Prefix.Length..].Split('-') : [];
        return (parts.Length == 5 || (parts.Length == 6 && parts[5] == Plain))
            && ulong.TryParse(parts[0], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong id)
            && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long rows)
            && long.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out long nonzeros)
            && long.TryParse(parts[3], NumberStyles.None, CultureInfo.InvariantCulture, out long positives)
            && parts[4].StartsWith(Blocks) is var cutsFeatures
            && int.TryParse(parts[4].TrimStart(Blocks), NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            ? new TrainingName(id, rows, nonzeros, positives, cutsFeatures ? new TrainingCut(0, count) : new TrainingCut(count, 0), parts.Length == 5)
            : null;
    }

    /// <summary>Its data and what they are cut into, for people.</summary>
    public string Describe() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Rows:N0} rows with {Nonzeros:N0} non-zeros, {Positives:N0} of label 1, in {(Cut.Blocks > 0 ? $"{Cut.Blocks:N0} blocks of features" : $"batches of {Cut.BatchRows:N0}")}{(HasIntercept ? "" : ", without an intercept")}");

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Prefix}{Id:x16}-{Rows}-{Nonzeros}-{Positives}-{(Cut.Blocks > 0 ? $"{Blocks}{Cut.Blocks}" : $"{Cut.BatchRows}")}{(HasIntercept ? "" : $"-{Plain}")}");
}
