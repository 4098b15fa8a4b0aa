namespace Weir.Learn.Metrics;

/// <summary>
/// Collects predictions and computes <see cref="BinaryQuality"/>. It keeps eight bytes a row, which an exact AUC needs. Not thread-safe.
/// </summary>
public sealed class BinaryMeter
{
    // The margin as a number whose order is the margin's, shifted left by one, with the label in the lowest bit.
    private ulong[] _ranked = new ulong[1024];
    private int _count;
    private long _positives;
    private long _right;
    private double _loss;
    private double _bestLoss;
    private long _bestRows;

    /// <summary>Adds one row.</summary>
    /// <param name="margin">The predicted log-odds. It is rounded to a float for ranking, as the weights are floats.</param>
    /// <param name="label">0 or 1.</param>
    public void Add(double margin, float label)
    {
        if (_count == _ranked.Length)
        {
            Array.Resize(ref _ranked, _count * 2);
        }

        bool positive = label > 0;
        _ranked[_count++] = (Order((float)margin) << 1) | (positive ? 1UL : 0UL);
        _positives += positive ? 1 : 0;
        _right += margin > 0 == positive ? 1 : 0;
        _loss += LogisticFunction.Loss(margin, label);
    }

    /// <summary>Adds one row whose true probability is known.</summary>
    /// <param name="margin">The predicted log-odds.</param>
    /// <param name="label">0 or 1.</param>
    /// <param name="trueProbability">The probability with which the label was drawn as 1.</param>
    public void Add(double margin, float label, double trueProbability)
    {
        Add(margin, label);
        _bestLoss += LogisticFunction.LossOfProbability(trueProbability, label);
        _bestRows++;
    }

    /// <summary>The quality over the rows so far. More may be added afterwards.</summary>
    /// <returns>The measures.</returns>
    public BinaryQuality Measure() => new()
    {
        Rows = _count,
        Positives = _positives,
        LogLoss = _loss / _count,
        Accuracy = (double)_right / _count,
        Auc = Auc(),
        BestLogLoss = _bestRows == _count && _count > 0 ? _bestLoss / _count : null,
    };

    private double Auc()
    {
        long negatives = _count - _positives;
        if (_positives == 0 || negatives == 0)
        {
            return double.NaN;
        }

        Array.Sort(_ranked, 0, _count);

        // Twice the Mann-Whitney statistic in whole numbers, group of equal margins by group: a positive beats the negatives below it and
        // half of those beside it. 2^31 rows at most keep it below 2^63.
        long twice = 0;
        long negativesBelow = 0;
        for (int start = 0; start < _count;)
        {
            int end = start;
            long positivesHere = 0;
            while (end < _count && _ranked[end] >> 1 == _ranked[start] >> 1)
            {
                positivesHere += (long)(_ranked[end] & 1);
                end++;
            }

            long negativesHere = end - start - positivesHere;
            twice += positivesHere * ((2 * negativesBelow) + negativesHere);
            negativesBelow += negativesHere;
            start = end;
        }

        return twice / 2.0 / ((double)_positives * negatives);
    }

    // IEEE floats order like sign-magnitude numbers: flipping the sign bit of positives and all bits of negatives orders them as unsigned.
    private static ulong Order(float margin)
    {
        // Adding zero turns -0 into 0, which it equals.
        uint bits = BitConverter.SingleToUInt32Bits(margin + 0f);
        return (bits & 0x80000000u) == 0 ? bits | 0x80000000u : ~bits;
    }
}
