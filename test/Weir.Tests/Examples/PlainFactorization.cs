using MatrixFactorization;

namespace Weir.Tests.Examples;

/// <summary>
/// What the example is measured against: matrix factorization with biases in one loop, one rating after another, in doubles and with no
/// parameter server (Koren, Bell and Volinsky 2009, the stochastic gradient descent below equation 5). It shares the example's constants, reader
/// and first rows, and none of its arithmetic.
/// </summary>
internal sealed class PlainFactorization
{
    private readonly Dictionary<ulong, double[]> _users;
    private readonly Dictionary<ulong, double[]> _items;
    private readonly double _mean;

    /// <summary>Trains on ratings in the order given, for as many passes as the example and from the same rows.</summary>
    /// <param name="train">The ratings.</param>
    /// <param name="biasesOnly">Begin with factors of 0, which then stay 0: the gradient of each is a multiple of the other's.</param>
    public PlainFactorization(Rating[] train, bool biasesOnly = false)
    {
        _mean = train.Sum(rating => (double)rating.Stars) / train.Length;
        _users = SmallRows(train.Select(rating => rating.User), seed: 1, biasesOnly);
        _items = SmallRows(train.Select(rating => rating.Item), seed: 2, biasesOnly);
        for (int pass = 0; pass < FactorModel.Passes; pass++)
        {
            foreach (Rating rating in train)
            {
                Learn(_users[rating.User], _items[rating.Item], rating.Stars);
            }
        }
    }

    /// <summary>The root of the mean squared error, in stars.</summary>
    public double Rmse(Rating[] test)
    {
        double squares = 0;
        double[] unseen = new double[FactorModel.Width];
        foreach (Rating rating in test)
        {
            double error = rating.Stars - Predicted(_users.GetValueOrDefault(rating.User, unseen), _items.GetValueOrDefault(rating.Item, unseen));
            squares += error * error;
        }

        return Math.Sqrt(squares / test.Length);
    }

    private static Dictionary<ulong, double[]> SmallRows(IEnumerable<ulong> keys, int seed, bool zeros)
    {
        ulong[] distinct = [.. keys.Distinct()];
        float[][] rows = [.. FactorModel.SmallRows(distinct.Length, seed).Chunk(FactorModel.Width)];
        return distinct.Zip(rows).ToDictionary(pair => pair.First, pair => Array.ConvertAll(pair.Second, value => zeros ? 0.0 : value));
    }

    private double Predicted(double[] user, double[] item)
    {
        double product = 0;
        for (int k = 1; k < user.Length; k++)
        {
            product += user[k] * item[k];
        }

        return _mean + user[0] + item[0] + product;
    }

    // b += rate (e - decay b), q += rate (e p - decay q), p += rate (e q - decay p), with e = r - prediction.
    private void Learn(double[] user, double[] item, double stars)
    {
        double error = stars - Predicted(user, item);
        user[0] += FactorModel.Rate * (error - FactorModel.Decay * user[0]);
        item[0] += FactorModel.Rate * (error - FactorModel.Decay * item[0]);
        for (int k = 1; k < user.Length; k++)
        {
            (double p, double q) = (user[k], item[k]);
            user[k] += FactorModel.Rate * (error * q - FactorModel.Decay * p);
            item[k] += FactorModel.Rate * (error * p - FactorModel.Decay * q);
        }
    }
}
