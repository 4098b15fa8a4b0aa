using Weir.Client;

namespace MatrixFactorization;

/// <summary>A trained model, where the cluster keeps it.</summary>
/// <param name="Client">A client of the cluster.</param>
/// <param name="Users">The table of the users' rows.</param>
/// <param name="Items">The table of the items' rows.</param>
/// <param name="Mean">The mean of the ratings learned from.</param>
internal sealed record TrainedModel(WeirClient Client, WeirTable Users, WeirTable Items, float Mean)
{
    /// <summary>The root of the mean squared error on ratings, in stars. A user or an item never seen has a row of zeros.</summary>
    /// <param name="ratings">At least one.</param>
    /// <exception cref="WeirException">The cluster cannot be read.</exception>
    public async Task<double> RmseAsync(Rating[] ratings)
    {
        float[] users = await RowsAsync(Users, ratings.Select(rating => rating.User));
        float[] items = await RowsAsync(Items, ratings.Select(rating => rating.Item));
        return Math.Sqrt(ratings.Select((rating, i) => Math.Pow(FactorModel.Predict(Row(users, i), Row(items, i), Mean) - rating.Stars, 2)).Average());
    }

    private static ReadOnlySpan<float> Row(float[] rows, int index) => rows.AsSpan(index * FactorModel.Width, FactorModel.Width);

    private async Task<float[]> RowsAsync(WeirTable table, IEnumerable<ulong> keys)
    {
        ulong[] wanted = [.. keys];
        float[] rows = new float[wanted.Length * table.Width];
        await Client.PullAsync(table, wanted, rows);
        return rows;
    }
}
