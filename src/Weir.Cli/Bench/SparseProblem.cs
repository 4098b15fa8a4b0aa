using System.Globalization;
using System.Text;
using Weir.Keys;

namespace Weir.Cli.Bench;

/// <summary>
/// A generated problem for a linear classifier: each row names so many features, some of them often and most seldom, and one feature in twenty has a weight. Row by row, so that it takes no memory; the same for the same seed.
/// </summary>
/// <param name="rows">Rows.</param>
/// <param name="features">Features that may be named.</param>
/// <param name="seed">Draws everything.</param>
internal sealed class SparseProblem(long rows, long features, ulong seed)
{
    /// <summary>Features drawn for a row; one that comes twice is named once.</summary>
    public const int FeaturesOfRow = 30;

    private const int OneOf = 20;
    private const double Scale = 2;

    /// <summary>Writes the rows in the format of LIBSVM.</summary>
    /// <returns>Non-zeros written.</returns>
    public long Write(string path, CancellationToken cancellation)
    {
        using var writer = new StreamWriter(path, append: false, Encoding.ASCII);
        long nonzeros = 0;
        ulong state = Mix.Of(seed);
        SortedSet<long> named = [];
        for (long row = 0; row < rows; row++)
        {
            cancellation.ThrowIfCancellationRequested();
            named.Clear();
            double margin = 0;
            for (int i = 0; i < FeaturesOfRow; i++)
            {
                // The cube of a uniform number: the density of feature x falls as x^(-2/3).
                double uniform = Next(ref state);
                long feature = 1 + (long)(features * uniform * uniform * uniform);
                margin += named.Add(feature) ? WeightOf(feature) : 0;
            }

            bool isPositive = Next(ref state) < 1 / (1 + Math.Exp(-margin));
            writer.Write(isPositive ? "+1" : "-1");
            foreach (long feature in named)
            {
                writer.Write(' ');
                writer.Write(feature.ToString(CultureInfo.InvariantCulture));
                writer.Write(":1");
            }

            writer.Write('\n');
            nonzeros += named.Count;
        }

        return nonzeros;
    }

    private double WeightOf(long feature)
    {
        ulong state = Mix.Of((ulong)feature ^ seed);
        if (state % OneOf != 0)
        {
            return 0;
        }

        // Box and Muller 1958.
        double radius = Math.Sqrt(-2 * Math.Log(1 - Next(ref state)));
        return Scale * radius * Math.Cos(2 * Math.PI * Next(ref state));
    }

    private static double Next(ref ulong state) => ((state = Mix.Of(state)) >> 11) * (1.0 / (1UL << 53));
}
