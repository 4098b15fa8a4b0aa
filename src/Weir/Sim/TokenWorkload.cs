using Weir.Client;
using Weir.Keys;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// A client without a clock: pushes of unique tokens, several at a time and in no order, deletes of some of them, and rows that it alone sets,
/// adds to and deletes and reads back. At the end each acknowledged token must stand once, each other one once or not at all, and nothing else
/// (reliability.md, B2). Not thread-safe.
/// </summary>
internal sealed class TokenWorkload(SimCluster cluster, WeirClient client, WeirTable tokens, WeirTable own, int number, ulong seed)
{
    private const int MostOpen = 3;
    private const int OwnRows = 6;

    private readonly Rng _rng = new(seed);
    private readonly Dictionary<ulong, Presence> _presence = [];
    private readonly List<ulong> _standing = [];
    private ulong _lastToken;
    private ulong _ownChanges;
    private bool _ownIsOpen;
    private float[] _own = new float[OwnRows];

    private enum Presence
    {
        Once,
        OnceOrNot,
        Not,
    }

    public WeirClient Client => client;

    /// <summary>Calls begun, and those of them that were acknowledged.</summary>
    public (long Begun, long Acknowledged) Pushes { get; private set; }

    /// <summary>A call failed because the session had ended.</summary>
    public bool HasEnded { get; private set; }

    /// <summary>Pushes until it is told to stop, and then until all that it began has ended.</summary>
    public async Task RunAsync(Func<bool> stops)
    {
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
    }

    /// <summary>What the table must say of the key of a token of this client, having been read as <paramref name="value"/>.</summary>
    public void CheckToken(ulong key, float value) => Invariant.That(
        (value == 1 && _presence[key] != Presence.Not) || (value == 0 && _presence[key] != Presence.Once),
        $"the token {key:x} of pusher {number} stands {value} times, and should {(_presence[key] switch { Presence.Once => "once", Presence.Not => "not", _ => "once or not at all" })}");

    /// <summary>The tokens that this client ever pushed.</summary>
    public IEnumerable<ulong> Tokens => _presence.Keys;

    private async Task PushAsync()
    {
        ulong[] keys = [.. Enumerable.Range(0, 1 + _rng.Below(5)).Select(_ => Mix.Of(((ulong)number << 40) + ++_lastToken))];
        foreach (ulong key in keys)
        {
            _presence[key] = Presence.OnceOrNot;
        }

        float[] ones = new float[keys.Length];
        Array.Fill(ones, 1f);
        if (await TryAsync(() => client.PushAsync(tokens, keys, ones)))
        {
            foreach (ulong key in keys)
            {
                _presence[key] = Presence.Once;
                _standing.Add(key);
            }
        }
    }

    private async Task DeleteAsync()
    {
        int at = _rng.Below(_standing.Count);
        ulong[] keys = [_standing[at]];
        _standing.RemoveAt(at);
        _presence[keys[0]] = Presence.OnceOrNot;
        if (await TryAsync(() => client.DeleteAsync(tokens, keys)))
        {
            _presence[keys[0]] = Presence.Not;
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
        ulong[] keys = [.. Enumerable.Range(0, OwnRows).Select(i => Mix.Of(((ulong)number << 40) + (1UL << 39) + (ulong)i))];
        bool isPushPull = false, isDone;
        switch (_rng.Below(4))
        {
            case 0:
                expected = values;
                isDone = await TryAsync(() => client.SetAsync(own, keys, values));
                break;
            case 1:
                expected = new float[OwnRows];
                isDone = await TryAsync(() => client.DeleteAsync(own, keys));
                break;
            case 2:
                isPushPull = true;
                expected = [.. _own.Zip(values, (a, b) => a + b)];
                isDone = await TryAsync(() => client.PushPullAsync(own, keys, values, read));
                break;
            default:
                expected = [.. _own.Zip(values, (a, b) => a + b)];
                isDone = await TryAsync(() => client.PushAsync(own, keys, values));
                break;
        }

        if (!isDone)
        {
            // What the ended session had under way may or may not stand: these rows are never looked at again.
            return;
        }

        Invariant.That(!isPushPull || expected.AsSpan().SequenceEqual(read), $"a PushPull of pusher {number} reads its own push, applied once (change {change})");
        await client.PullAsync(own, keys, read);
        Invariant.That(expected.AsSpan().SequenceEqual(read), $"what pusher {number} was acknowledged is read, once (change {change}): {string.Join(" ", expected)}, not {string.Join(" ", read)}");
        _own = expected;
        _ownIsOpen = false;
    }

    /// <summary>True where a call was acknowledged; false where its session ended meanwhile, so that nobody knows.</summary>
    private async Task<bool> TryAsync(Func<Task> call)
    {
        Pushes = (Pushes.Begun + 1, Pushes.Acknowledged);
        try
        {
            await call();
            Pushes = (Pushes.Begun, Pushes.Acknowledged + 1);
            return true;
        }
        catch (WeirException ended) when (ended.Status == Status.Ended)
        {
            HasEnded = true;
            return false;
        }
    }
}
