using Weir.Client;
using Weir.Keys;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// A client without a clock: pushes of unique tokens, several at a time and in no order, deletes of some of them, and rows that it alone sets,
/// adds to and deletes and reads back. At the end each acknowledged token must stand once, each other one once or not at all, and nothing else
/// (reliability.md, B2). Where their table is committed it reads tokens back all the while (design R22). Not thread-safe.
/// </summary>
internal sealed class TokenWorkload(SimCluster cluster, WeirClient client, WeirTable tokens, WeirTable own, int number, ulong seed)
{
    private const int MostOpen = 3;
    private const int OwnRows = 6;
    private const int LatestTokens = 60;
    private const int MostReadBack = 6;

    private readonly Rng _rng = new(seed);
    private readonly PushHistory _history = new(cluster.Scheduler, client);
    private readonly List<ulong> _standing = [];
    private readonly List<OwnRowsState> _ownStates = [new(new float[OwnRows], default)];
    private ulong _lastToken;
    private ulong _ownChanges;
    private bool _ownIsOpen;
    private uint _ownGeneration = client.State.Map!.Generation;
    private float[] _own = new float[OwnRows];

    /// <summary>What its own rows are after a change of them.</summary>
    private sealed record OwnRowsState(float[] Values, Instant Begun)
    {
        public Instant Acknowledged { get; set; } = Instant.Never;
    }

    public WeirClient Client => client;

    /// <summary>Calls begun, and those of them that were acknowledged.</summary>
    public (long Begun, long Acknowledged) Pushes { get; private set; }

    /// <summary>A call failed because the session had ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Pushes until it is told to stop, and then until all that it began has ended.</summary>
    public async Task RunAsync(Func<bool> stops)
    {
        Task readingBack = tokens.IsCommitted ? ReadBackAsync(stops, new Rng(seed ^ 0x5EE7)) : Task.CompletedTask;
        List<Task> open = [];
        while (!stops())
        {
            open.Add(_rng.Below(8) switch
            {
                0 when _standing.Count > 0 => DeleteAsync(),
                1 => OwnAsync(),
                _ => PushAsync(),
            });
            if (open.Count >= MostOpen)
            {
                await await Task.WhenAny(open);
                open.RemoveAll(t => t.IsCompletedSuccessfully);
            }

            await cluster.Scheduler.Delay(_rng.Below(25L), CancellationToken.None);
        }

        await Task.WhenAll(open);
        await readingBack;
    }

    /// <summary>What the table must say of the key of a token of this client, having been read as <paramref name="value"/>.</summary>
    /// <param name="key">The token.</param>
    /// <param name="value">How often it stands.</param>
    /// <param name="loaded">The checkpoint that the cluster went back to meanwhile; null where it never did.</param>
    public void CheckToken(ulong key, float value, LoadedCheckpoint? loaded)
    {
        Presence presence = _history.Of(key, loaded);
        Invariant.That(
            (value == 1 && presence != Presence.Not) || (value == 0 && presence != Presence.Once),
            $"the token {key:x} of pusher {number} stands {value} times, and should {(presence switch { Presence.Once => "once", Presence.Not => "not", _ => "once or not at all" })}");
    }

    /// <summary>Judges what a checkpoint has of this client's pushes (invariant 8).</summary>
    /// <param name="saved">The checkpoint.</param>
    /// <param name="tokenRows">The rows of the tokens' table in it.</param>
    /// <param name="ownRows">The rows of the other table.</param>
    public void CheckRestored(SavedCheckpoint saved, IReadOnlyDictionary<ulong, float> tokenRows, IReadOnlyDictionary<ulong, float> ownRows)
    {
        _history.Check(saved, key => tokenRows.GetValueOrDefault(key), cluster.SegmentBits, $"pusher {number}");
        int least = Math.Max(0, _ownStates.FindLastIndex(s => s.Acknowledged < saved.Began)), most = _ownStates.FindLastIndex(s => s.Begun <= saved.Ended);
        foreach (IGrouping<int, int> rows in Enumerable.Range(0, OwnRows).GroupBy(row => Mix.Segment(OwnKey(row), cluster.SegmentBits)))
        {
            Invariant.That(
                _ownStates.GetRange(least, most + 1 - least).Exists(s => rows.All(row => ownRows.GetValueOrDefault(OwnKey(row)) == s.Values[row])),
                $"checkpoint {saved.Name}: segment {rows.Key} has the rows of pusher {number} as after one of its changes {least} to {most}, not {string.Join(" ", rows.Select(row => ownRows.GetValueOrDefault(OwnKey(row))))}");
        }
    }

    /// <summary>The tokens that this client ever pushed.</summary>
    public IReadOnlyCollection<ulong> Tokens => _history.Tokens;

    private async Task PushAsync()
    {
        ulong[] keys = [.. Enumerable.Range(0, 1 + _rng.Below(5)).Select(_ => Token(++_lastToken))];
        float[] ones = new float[keys.Length];
        Array.Fill(ones, 1f);
        Task push = client.PushAsync(tokens, keys, ones);
        PushHistory.Call call = _history.Begin(keys, deletes: false);
        bool isAcknowledged = await TryAsync(push);
        _history.End(call, isAcknowledged);
        if (isAcknowledged)
        {
            _standing.AddRange(keys);
        }
    }

    private async Task DeleteAsync()
    {
        int at = _rng.Below(_standing.Count);
        ulong[] keys = [_standing[at]];
        _standing.RemoveAt(at);
        Task delete = client.DeleteAsync(tokens, keys);
        PushHistory.Call call = _history.Begin(keys, deletes: true);
        _history.End(call, await TryAsync(delete));
    }

    /// <summary>What was acknowledged is read, and what was read once is there until it is deleted.</summary>
    private async Task ReadBackAsync(Func<bool> stops, Rng rng)
    {
        HashSet<ulong> seen = [];
        uint generation = Generation;
        ulong ofEarlier = 0;
        while (!stops())
        {
            await cluster.Scheduler.Delay(rng.Below(25L), CancellationToken.None);
            if (Generation != generation)
            {
                // The cluster went back to a checkpoint: of tokens from before nobody knows.
                (generation, ofEarlier) = (Generation, _lastToken);
                seen.Clear();
            }

            ulong least = Math.Max(ofEarlier, _lastToken - Math.Min(_lastToken, LatestTokens));
            if (least == _lastToken)
            {
                continue;
            }

            ulong[] keys = [.. Enumerable.Range(0, MostReadBack).Select(_ => Token(least + 1 + (ulong)rng.Below((long)(_lastToken - least)))).Distinct()];
            Presence[] before = [.. keys.Select(key => _history.Of(key, loaded: null))];
            float[] values = new float[keys.Length];
            if (!await ReadAsync(tokens, keys, values) || Generation != generation)
            {
                continue;
            }

            for (int i = 0; i < keys.Length; i++)
            {
                Presence after = _history.Of(keys[i], loaded: null);
                bool mustStand = (before[i] == Presence.Once && after == Presence.Once) || (seen.Contains(keys[i]) && !_history.IsDeleted(keys[i]));
                Invariant.That(
                    values[i] == 1 ? before[i] != Presence.Not : values[i] == 0 && !mustStand,
                    $"pusher {number} reads the token {keys[i]:x} {values[i]} times from a committed table, where it was {before[i]} before and is {after} now and was {(seen.Contains(keys[i]) ? "" : "not ")}seen there");
                _ = values[i] == 1 ? seen.Add(keys[i]) : seen.Remove(keys[i]);
            }
        }
    }

    /// <summary>Changes rows that nobody else touches, one change at a time, and reads what must stand.</summary>
    private async Task OwnAsync()
    {
        if (_ownIsOpen)
        {
            return;
        }

        _ownIsOpen = true;
        float[] values = [.. Enumerable.Range(0, OwnRows).Select(_ => (float)_rng.Below(100))];
        float[] expected, read = new float[OwnRows];
        ulong change = ++_ownChanges;
        ulong[] keys = [.. Enumerable.Range(0, OwnRows).Select(OwnKey)];
        uint generation = Generation;
        if (generation != _ownGeneration)
        {
            // The cluster went back to a checkpoint: whatever it holds of these rows is what the next change begins with.
            bool isRead = await ReadAsync(own, keys, read) && Generation == generation;
            (_own, _ownGeneration) = isRead ? ([.. read], generation) : (_own, _ownGeneration);
            _ownIsOpen = false;
            return;
        }

        bool isPushPull = false;
        Task changing;
        switch (_rng.Below(4))
        {
            case 0:
                expected = values;
                changing = client.SetAsync(own, keys, values);
                break;
            case 1:
                expected = new float[OwnRows];
                changing = client.DeleteAsync(own, keys);
                break;
            case 2:
                isPushPull = true;
                expected = [.. _own.Zip(values, (a, b) => a + b)];
                changing = client.PushPullAsync(own, keys, values, read);
                break;
            default:
                expected = [.. _own.Zip(values, (a, b) => a + b)];
                changing = client.PushAsync(own, keys, values);
                break;
        }

        var state = new OwnRowsState(expected, cluster.Scheduler.Now);
        _ownStates.Add(state);
        if (!await TryAsync(changing) || Generation != generation)
        {
            // What the ended session had under way may or may not stand: these rows are never looked at again in this generation.
            _ownIsOpen = Generation == generation;
            return;
        }

        state.Acknowledged = cluster.Scheduler.Now;
        Invariant.That(!isPushPull || expected.AsSpan().SequenceEqual(read), $"a PushPull of pusher {number} reads its own push, applied once (change {change})");
        if (!await ReadAsync(own, keys, read) || Generation != generation)
        {
            _ownIsOpen = false;
            return;
        }

        Invariant.That(expected.AsSpan().SequenceEqual(read), $"what pusher {number} was acknowledged is read, once (change {change}): {string.Join(" ", expected)}, not {string.Join(" ", read)}");
        _own = expected;
        _ownIsOpen = false;
    }

    private uint Generation => client.State.Map!.Generation;

    private ulong Token(ulong nth) => Mix.Of(((ulong)number << 40) + nth);

    private ulong OwnKey(int row) => Mix.Of(((ulong)number << 40) + (1UL << 39) + (ulong)row);

    /// <summary>True where a call was acknowledged; false where its session ended meanwhile, or its generation, so that nobody knows.</summary>
    private async Task<bool> TryAsync(Task call)
    {
        Pushes = (Pushes.Begun + 1, Pushes.Acknowledged);
        try
        {
            await call;
            Pushes = (Pushes.Begun, Pushes.Acknowledged + 1);
            return true;
        }
        catch (WeirException ended) when (ended.Status is Status.Ended or Status.Restored)
        {
            return false;
        }
    }

    /// <summary>False where the cluster went back to a checkpoint meanwhile.</summary>
    private async Task<bool> ReadAsync(WeirTable table, ulong[] keys, float[] read)
    {
        try
        {
            await client.PullAsync(table, keys, read);
            return true;
        }
        catch (WeirException restored) when (restored.Status == Status.Restored)
        {
            HasEnded = true;
            return false;
        }
    }
}
