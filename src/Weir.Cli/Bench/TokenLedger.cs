using Weir.Client;
using Weir.Keys;

namespace Weir.Cli.Bench;

/// <summary>What became of the tokens of a table.</summary>
/// <param name="Acknowledged">Those whose push was acknowledged.</param>
/// <param name="Lost">Of these, those that are not there.</param>
/// <param name="Doubled">Tokens that are there more than once, acknowledged or not.</param>
/// <param name="Foreign">Rows that are no whole number of a token that was pushed.</param>
internal readonly record struct TokenVerdict(long Acknowledged, long Lost, long Doubled, long Foreign)
{
    /// <summary>Every acknowledged token is there once, every other at most once, and nothing else is.</summary>
    public bool IsSound => Lost == 0 && Doubled == 0 && Foreign == 0;

    public static TokenVerdict operator +(TokenVerdict left, TokenVerdict right) => new(
        left.Acknowledged + right.Acknowledged, left.Lost + right.Lost, left.Doubled + right.Doubled, left.Foreign + right.Foreign);
}

/// <summary>
/// Tokens that were pushed, each into a row of its own whose value is then 1, and which of them were acknowledged: the check that every
/// acknowledged push was applied, and none twice, needs no search (unique elements of a set, as Jepsen's set workload). The key is the hash of the
/// token's number, so that tokens fall into all segments and a row tells its token. One caller at a time.
/// </summary>
/// <param name="owner">Who pushes them, from 0: each ledger of a table has another.</param>
internal sealed class TokenLedger(int owner = 0)
{
    private const int OwnerShift = 32;

    // Of each token the how manieth it is to be acknowledged, from 1; 0 while it is not.
    private readonly List<int> _acknowledged = [];
    private int _acknowledgements;

    /// <summary>Tokens drawn so far.</summary>
    public int Count => _acknowledged.Count;

    /// <summary>The key of a token.</summary>
    public ulong Key(int token) => Mix.Of(((ulong)owner << OwnerShift) | (uint)token);

    /// <summary>Draws the next tokens: their keys go where the caller says.</summary>
    /// <returns>The first token; the others follow.</returns>
    public int Draw(Span<ulong> keys)
    {
        int first = Count;
        for (int i = 0; i < keys.Length; i++)
        {
            keys[i] = Key(first + i);
            _acknowledged.Add(0);
        }

        return first;
    }

    /// <summary>The push of these tokens was acknowledged.</summary>
    public void Acknowledge(int first, int count)
    {
        for (int i = 0; i < count; i++)
        {
            _acknowledged[first + i] = ++_acknowledgements;
        }
    }

    /// <summary>Reads the whole table and says what became of the tokens of all its ledgers. Nothing may be pushed meanwhile.</summary>
    /// <param name="client">Reads.</param>
    /// <param name="table">The table.</param>
    /// <param name="ledgers">All that pushed to it.</param>
    /// <param name="cancellation">Ends the reading.</param>
    /// <param name="first">Of each ledger, how many of the tokens acknowledged first must be there, as the table is of an earlier moment; null for all.</param>
    public static async Task<TokenVerdict> CheckAsync(
        WeirClient client, WeirTable table, IReadOnlyList<TokenLedger> ledgers, CancellationToken cancellation, IReadOnlyList<long>? first = null)
    {
        Dictionary<ulong, TokenLedger> owners = ledgers.ToDictionary(ledger => (ulong)ledger.Owner);
        var found = new HashSet<ulong>();
        long doubled = 0, foreign = 0;
        await foreach (RowBatch batch in client.ScanAsync(table, cancellation))
        {
            for (int i = 0; i < batch.Keys.Length; i++)
            {
                ulong token = Mix.Inverse(batch.Keys.Span[i]);
                float times = batch.Values.Span[i];
                bool isDrawn = owners.TryGetValue(token >> OwnerShift, out TokenLedger? ledger) && (uint)token < ledger.Count;
                if (!isDrawn || times < 1 || times != MathF.Floor(times))
                {
                    foreign++;
                }
                else if (!found.Add(token) || times > 1)
                {
                    doubled++;
                }
            }
        }

        long acknowledged = 0, lost = 0;
        for (int i = 0; i < ledgers.Count; i++)
        {
            TokenLedger ledger = ledgers[i];
            for (int token = 0; token < ledger.Count; token++)
            {
                if (ledger._acknowledged[token] > 0 && ledger._acknowledged[token] <= (first?[i] ?? int.MaxValue))
                {
                    acknowledged++;
                    lost += found.Contains(Mix.Inverse(ledger.Key(token))) ? 0 : 1;
                }
            }
        }

        return new TokenVerdict(acknowledged, lost, doubled, foreign);
    }

    private int Owner => owner;
}
