using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>A member of a ranking with its score.</summary>
/// <param name="Member">The member.</param>
/// <param name="Score">Its score, a finite number.</param>
public readonly record struct ScoredMember(ulong Member, double Score);

/// <summary>
/// Members with scores in double precision on the servers, and those with the highest: a sorted set. Each addition is applied once, whatever is sent again; a score beyond the largest finite number becomes that
/// number. Additions to one member from several clients sum in the order in which they come, so the last bits of a sum that is no whole number may depend on it.
/// What is added is no part of a worker's iteration, as of <see cref="WeirCounters"/>. Immutable and safe to share among threads.
/// </summary>
public sealed class WeirRanking
{
    private readonly NumberRows<double> _rows;

    private WeirRanking(NumberRows<double> rows) => _rows = rows;

    /// <summary>The table of its rows: dropping it drops the ranking.</summary>
    public WeirTable Table => _rows.Table;

    /// <summary>Opens a ranking, creating it where the cluster has none of this name.</summary>
    /// <exception cref="WeirException">Conflict: a table of this name is something else; the message shows both.</exception>
    public static async Task<WeirRanking> OpenAsync(WeirClient client, RankingOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        return new WeirRanking(new NumberRows<double>(client, await options.OpenTableAsync(client, NumberRows<double>.Width, UpdateRule.Score, default, cancellation)));
    }

    /// <summary>Adds to scores; a member that is not there begins with 0. Members may come in any order and repeat.</summary>
    /// <param name="members">Any 64-bit keys.</param>
    /// <param name="amounts">One for each member, of either sign, finite.</param>
    /// <param name="cancellation">Ends the waiting, not the addition: once sent it may still be applied, once.</param>
    /// <exception cref="ArgumentException">Members and amounts are not equally many, or an amount is not finite.</exception>
    public Task AddAsync(ReadOnlyMemory<ulong> members, ReadOnlyMemory<double> amounts, CancellationToken cancellation = default)
    {
        CheckFinite(amounts.Span, nameof(amounts));
        return _rows.PushAsync(members, amounts, cancellation);
    }

    /// <summary>Sets scores, whatever they were. Each member once.</summary>
    /// <exception cref="ArgumentException">Members and scores are not equally many, or a score is not finite.</exception>
    public Task SetAsync(ReadOnlyMemory<ulong> members, ReadOnlyMemory<double> scores, CancellationToken cancellation = default)
    {
        CheckFinite(scores.Span, nameof(scores));
        return _rows.SetAsync(members, scores, cancellation);
    }

    /// <summary>Reads scores.</summary>
    /// <param name="members">Any members; repeated ones get the same score.</param>
    /// <param name="scores">As many as members.</param>
    /// <param name="cancellation">Ends the call.</param>
    /// <returns>How many of the distinct members are there; the others read as 0.</returns>
    /// <exception cref="ArgumentException">Members and scores are not equally many.</exception>
    public Task<int> ReadAsync(ReadOnlyMemory<ulong> members, Memory<double> scores, CancellationToken cancellation = default) => _rows.PullAsync(members, scores, cancellation);

    /// <summary>Removes members; those that are not there are passed over.</summary>
    public Task RemoveAsync(ReadOnlyMemory<ulong> members, CancellationToken cancellation = default) => _rows.DeleteAsync(members, cancellation);

    /// <summary>
    /// The members with the highest scores, the highest first, of equal scores the smaller member. Scores are kept in no order: every server goes through all members that it leads, some 64,000 a request, and sends
    /// of each request's the highest alone. So it costs as much time as there are members, whatever <paramref name="count"/> is, and takes at most <paramref name="count"/> members a request from the network.
    /// Members added to meanwhile are seen as they were or as they are.
    /// </summary>
    /// <param name="count">How many, at least 1; all members where there are fewer.</param>
    /// <param name="cancellation">Ends the call.</param>
    public async Task<IReadOnlyList<ScoredMember>> TopAsync(int count, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        var highest = new HighestScores(count);
        await _rows.Client.OfferHighestAsync(Table, highest, cancellation);
        return [.. highest.Descending().Select(one => new ScoredMember(one.Key, one.Score))];
    }

    private static void CheckFinite(ReadOnlySpan<double> numbers, string name)
    {
        foreach (double number in numbers)
        {
            if (!double.IsFinite(number))
            {
                throw new ArgumentException($"{number} is no score: scores and what is added to them are finite numbers", name);
            }
        }
    }
}
