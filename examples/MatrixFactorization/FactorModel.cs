using Weir.Client;
using Weir.Keys;

namespace MatrixFactorization;

/// <summary>
/// Matrix factorization with biases (Koren, Bell and Volinsky 2009, equations 4 and 5), trained by stochastic gradient descent: a rating is
/// predicted as mean + p[0] + q[0] + p[1] q[1] + ... + p[16] q[16], where p is the user's row and q the item's.
/// </summary>
internal static class FactorModel
{
    /// <summary>Floats a row: a bias, and 16 factors.</summary>
    public const int Width = 17;

    /// <summary>Logical workers, which share the ratings.</summary>
    public const int Workers = 4;

    /// <summary>How often each rating is seen. At 25 the error on ratings held out has nearly stopped falling.</summary>
    public const int Passes = 25;

    /// <summary>
    /// Ratings a batch. The busiest user of MovieLens has 2.7 % of the ratings: 7 of a batch, whose gradients are summed before the rate applies,
    /// so that the sum of all that is under way stays well below a step that would overshoot.
    /// </summary>
    public const int BatchRatings = 250;

    /// <summary>The learning rate.</summary>
    public const float Rate = 0.02f;

    /// <summary>The weight of the squared parameters beside the squared error (lambda of equation 5).</summary>
    public const float Decay = 0.1f;

    /// <summary>New factors are drawn from -0.1 to 0.1: large enough to differ, small enough to say nothing yet.</summary>
    public const float Spread = 0.1f;

    /// <summary>Trains on a cluster. The tables and the job stay there.</summary>
    /// <param name="client">Of a cluster that has no job "ratings" and no tables "users" and "items".</param>
    /// <param name="train">The ratings, in the order in which they are to be seen: shuffled, so that each batch has ratings of many users.</param>
    /// <param name="progress">Gets the errors of every batch.</param>
    /// <exception cref="WeirException">The cluster cannot go on; see <see cref="WeirException.Status"/>.</exception>
    public static async Task<TrainedModel> TrainAsync(WeirClient client, Rating[] train, PassProgress progress)
    {
        // <readme>
        // A row is a bias and 16 factors; a push of a gradient g does w -= Rate * g at the server. Factors begin small and unequal.
        float mean = train.Average(rating => rating.Stars);
        Job job = await client.OpenJobAsync(new JobOptions { Name = "ratings", Workers = Workers });
        var table = new TableOptions { Name = "users", Width = Width, Rule = UpdateRule.Sgd(Rate), Job = job };
        WeirTable users = await client.OpenTableAsync(table), items = await client.OpenTableAsync(table with { Name = "items" });
        await SetSmallAsync(client, users, train.Select(rating => rating.User), seed: 1);
        await SetSmallAsync(client, items, train.Select(rating => rating.Item), seed: 2);

        await client.HostWorkersAsync(job, async (worker, stop) =>
        {
            // A worker's batches depend on its index and its clock alone: were its process to die, another could go on with it.
            Rating[][] batches = [.. train.Where((_, index) => index % worker.Count == worker.Index).Chunk(BatchRatings)];
            while (worker.Clock < Passes * batches.Length)
            {
                Rating[] batch = batches[worker.Clock % batches.Length];
                ulong[] userKeys = [.. batch.Select(rating => rating.User)], itemKeys = [.. batch.Select(rating => rating.Item)];
                float[] p = new float[batch.Length * Width], q = new float[batch.Length * Width];
                Task[] pulls = [worker.PullAsync(users, userKeys, p, delayBound: 1, stop), worker.PullAsync(items, itemKeys, q, delayBound: 1, stop)];
                await Task.WhenAll(pulls);
                progress.Add(batch.Length, ToGradients(batch, p, q, mean));

                // The gradients of a user that the batch has twice are summed. The clock ends the iteration once both pushes are acknowledged.
                Task[] pushes = [worker.PushAsync(users, userKeys, p, stop), worker.PushAsync(items, itemKeys, q, stop)];
                await worker.ClockAsync(stop);
                await Task.WhenAll(pushes);
            }
        });
        // </readme>
        return new TrainedModel(client, users, items, mean);
    }

    // <readme>
    // Puts the gradients of (error^2 + Decay (|p|^2 + |q|^2)) / 2 in place of the rows; returns the sum of the squared errors.
    internal static double ToGradients(Rating[] batch, float[] p, float[] q, float mean)
    {
        double squares = 0;
        for (int i = 0; i < batch.Length; i++)
        {
            Span<float> user = p.AsSpan(i * Width, Width), item = q.AsSpan(i * Width, Width);
            float error = Predict(user, item, mean) - batch[i].Stars;
            (user[0], item[0]) = (error + Decay * user[0], error + Decay * item[0]);
            for (int k = 1; k < Width; k++)
            {
                (user[k], item[k]) = (error * item[k] + Decay * user[k], error * user[k] + Decay * item[k]);
            }

            squares += error * error;
        }

        return squares;
    }
    // </readme>

    /// <summary>What a user is likely to give an item (equation 4).</summary>
    /// <param name="user">The user's row, of <see cref="Width"/> floats; zeros for a user never seen.</param>
    /// <param name="item">The item's row, of <see cref="Width"/> floats; zeros for an item never seen.</param>
    /// <param name="mean">The mean of the ratings learned from.</param>
    public static float Predict(ReadOnlySpan<float> user, ReadOnlySpan<float> item, float mean)
    {
        float prediction = mean + user[0] + item[0];
        for (int k = 1; k < Width; k++)
        {
            prediction += user[k] * item[k];
        }

        return prediction;
    }

    /// <summary>
    /// Rows to begin with, one after another: biases of 0, and factors at random within <see cref="Spread"/>. Equal factors would have equal
    /// gradients, and stay equal.
    /// </summary>
    public static float[] SmallRows(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count * Width).Select(i => i % Width == 0 ? 0 : Spread * (2 * random.NextSingle() - 1))];
    }

    private static Task SetSmallAsync(WeirClient client, WeirTable table, IEnumerable<ulong> keys, int seed)
    {
        ulong[] distinct = [.. keys.Distinct()];
        return client.SetAsync(table, distinct, SmallRows(distinct.Length, seed));
    }
}
