using Weir.Learn.Metrics;

namespace Weir.Learn.Data;

/// <summary>
/// A generated log of ad clicks whose true probabilities are known, so that a model's loss can be compared with the best attainable one.
/// A row has 39 fields, each with one non-zero:
/// <list type="bullet">
/// <item>3 dense fields: one key each, present in every row, with a value uniform on the multiples of 1/64 in [-1, 1];</item>
/// <item>28 telling fields: a key of a shifted Zipf distribution, p(rank) ~ 1 / (rank + 5)^1.5, with value 1. The first 58 ranks, each
/// expected 400 times or more in 200,000 rows, weigh up to 0.5 in the logit; all others weigh nothing;</item>
/// <item>8 idle fields: p(rank) ~ 1 / (rank + 5) over 65,536 ranks, which weigh nothing: most keys of the log are these and are rare,
/// there to be ignored.</item>
/// </list>
/// Keys are 64-bit hashes of (field, rank). Row i follows from (seed, i) alone. Every choice is computed in whole numbers or in IEEE
/// additions, multiplications, divisions and square roots in a fixed order: the same rows on every platform. Thread-safe.
/// </summary>
public sealed class ClickLog
{
    /// <summary>Fields of a row, each with one non-zero.</summary>
    public const int Fields = DenseFields + TellingFields + IdleFields;

    /// <summary>Rows of the training set unless asked otherwise.</summary>
    public const int DefaultTrainRows = 200_000;

    /// <summary>Rows of the test set unless asked otherwise.</summary>
    public const int DefaultTestRows = 50_000;

    internal const int DenseFields = 3;
    internal const int TellingFields = 28;
    internal const int IdleFields = 8;

    // Of the telling fields, so many have a small vocabulary.
    private const int SmallFields = 12;
    private const int SmallRanks = 1024;
    private const int LargeRanks = 65_536;

    /// <summary>The ranks of a telling field that weigh anything.</summary>
    internal const int TellingRanks = 58;

    // Each dense feature has variance 1/3, so the three carry 0.36 of the logit's variance.
    private const double DenseWeight = 0.6;
    private const double LargestWeight = 0.5;
    private const int WeightSteps = 1000;
    private const double Bias = -1.4;

    // Streams of random numbers; the train and test rows are far apart.
    private const ulong WeightStream = 1;
    private const ulong TrainStream = 2;
    private const ulong TestStream = 3;

    private static readonly AliasTable Small = Zipf(SmallRanks, rank => Power1Point5(rank + 5));
    private static readonly AliasTable Large = Zipf(LargeRanks, rank => Power1Point5(rank + 5));
    private static readonly AliasTable Idle = Zipf(LargeRanks, rank => rank + 5);

    private readonly ulong _seed;
    private readonly double[] _weights = new double[TellingFields * TellingRanks];

    /// <summary>A log; the seed draws both the true weights and the rows.</summary>
    /// <param name="seed">Any number.</param>
    /// <param name="trainRows">At least 1.</param>
    /// <param name="testRows">At least 1.</param>
    public ClickLog(ulong seed = 1, long trainRows = DefaultTrainRows, long testRows = DefaultTestRows)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(trainRows, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(testRows, 1);
        _seed = seed;
        for (int index = 0; index < _weights.Length; index++)
        {
            // Uniform on 2,001 steps of [-LargestWeight, LargestWeight].
            ulong step = new CounterRandom(seed, WeightStream, (ulong)index).Next() % ((2 * WeightSteps) + 1);
            _weights[index] = ((double)step - WeightSteps) * (LargestWeight / WeightSteps);
        }

        Train = new ClickLogRows(this, "click log", TrainStream, trainRows);
        Test = new ClickLogRows(this, "click log, test", TestStream, testRows);
    }

    /// <summary>The rows to train on.</summary>
    public ISparseSource Train { get; }

    /// <summary>The rows to measure on, independent of the training rows.</summary>
    public ISparseSource Test { get; }

    /// <summary>Adds row <paramref name="row"/> of a stream to the batch.</summary>
    internal void AppendRow(SparseBatch batch, ulong stream, long row)
    {
        batch.Reserve(Fields);
        var random = new CounterRandom(_seed, stream, (ulong)row);
        double margin = Bias;
        for (int field = 0; field < DenseFields; field++)
        {
            // A uniform whole number of -64 .. 64; 64 bits make the remainder's bias immaterial.
            double value = ((double)(random.Next() % 129) - 64) / 64;
            margin += DenseTrueWeight(field) * value;
            batch.Append(Key(field, 0), (float)value);
        }

        for (int telling = 0; telling < TellingFields; telling++)
        {
            int rank = (telling < SmallFields ? Small : Large).Draw(random.Next());
            if (rank < TellingRanks)
            {
                margin += _weights[(telling * TellingRanks) + rank];
            }

            batch.Append(Key(DenseFields + telling, rank), 1);
        }

        for (int idle = 0; idle < IdleFields; idle++)
        {
            batch.Append(Key(DenseFields + TellingFields + idle, Idle.Draw(random.Next())), 1);
        }

        double probability = LogisticFunction.Sigmoid(margin);
        batch.EndRow(random.NextDouble() < probability ? 1 : 0, probability);
    }

    /// <summary>The true weight of a dense field's value.</summary>
    internal static double DenseTrueWeight(int field) => field % 2 == 0 ? DenseWeight : -DenseWeight;

    /// <summary>The true weight of a rank of a field, the dense ones included.</summary>
    internal double TrueWeight(int field, int rank)
    {
        int telling = field - DenseFields;
        return telling < 0 ? DenseTrueWeight(field) : telling < TellingFields && rank < TellingRanks ? _weights[(telling * TellingRanks) + rank] : 0;
    }

    /// <summary>The key of a rank of a field: distinct pairs have distinct keys, since the finalizer is a bijection.</summary>
    internal static ulong Key(int field, int rank) => CounterRandom.Finalize((((ulong)field + 1) << 32) | (uint)rank);

    // x^1.5 from a square root, which IEEE rounds correctly; a library's power function differs between platforms.
    private static double Power1Point5(double x) => x * Math.Sqrt(x);

    private static AliasTable Zipf(int ranks, Func<double, double> power)
    {
        var weights = new double[ranks];
        for (int rank = 0; rank < ranks; rank++)
        {
            weights[rank] = 1 / power(rank);
        }

        return new AliasTable(weights);
    }
}
