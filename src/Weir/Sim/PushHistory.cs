using Weir.Client;
using Weir.Keys;
using Weir.World;

namespace Weir.Sim;

/// <summary>How often a token stands.</summary>
internal enum Presence
{
    Once,
    OnceOrNot,
    Not,
}

/// <summary>
/// All that one client did to tokens, each of which it pushes once and deletes at most once: what must stand of them in the end, and in a checkpoint
/// (invariants 1 and 8). Not thread-safe.
/// </summary>
internal sealed class PushHistory(SimScheduler scheduler, WeirClient client)
{
    private readonly Dictionary<ulong, Call> _pushes = [];
    private readonly Dictionary<ulong, Call> _deletes = [];
    private int _calls;

    /// <summary>What the cluster says of a call after it went back to a checkpoint.</summary>
    private enum Effect
    {
        Done,
        Undone,
        Unknown,
    }

    /// <summary>One call. Those of one session take effect in their order, segment by segment.</summary>
    internal sealed class Call(int number, ulong session, uint generation, Instant begun)
    {
        public int Number { get; } = number;

        /// <summary>0 where it was being opened yet: of the order among calls that waited for that nothing is known.</summary>
        public ulong Session { get; } = session;

        /// <summary>The cluster's generation as the client knew it.</summary>
        public uint Generation { get; } = generation;

        public Instant Begun { get; } = begun;

        public Instant Acknowledged { get; set; } = Instant.Never;

        /// <summary>When it was acknowledged or failed.</summary>
        public Instant Over { get; set; } = Instant.Never;
    }

    /// <summary>The tokens that were ever pushed.</summary>
    public IReadOnlyCollection<ulong> Tokens => _pushes.Keys;

    /// <summary>Notes a call that has just been made, on keys that were never pushed, or never deleted, before.</summary>
    public Call Begin(ReadOnlySpan<ulong> keys, bool deletes)
    {
        ulong session = client.Core.Pushes.Sessions.FirstOrDefault(s => s.Group == 0 && s.Failure is null)?.Id ?? 0;
        var call = new Call(++_calls, session, client.State.Map!.Generation, scheduler.Now);
        foreach (ulong key in keys)
        {
            (deletes ? _deletes : _pushes).Add(key, call);
        }

        return call;
    }

    /// <summary>Notes how a call ended.</summary>
    public void End(Call call, bool isAcknowledged)
    {
        call.Over = scheduler.Now;
        call.Acknowledged = isAcknowledged ? scheduler.Now : Instant.Never;
    }

    /// <summary>Whether the deletion of a token was begun.</summary>
    public bool IsDeleted(ulong token) => _deletes.ContainsKey(token);

    /// <summary>What must stand of a token once nothing is under way.</summary>
    /// <param name="token">The token.</param>
    /// <param name="loaded">The checkpoint that the cluster went back to meanwhile; null where it never did.</param>
    public Presence Of(ulong token, LoadedCheckpoint? loaded)
    {
        Effect push = EffectOf(_pushes[token], loaded);
        Effect delete = _deletes.TryGetValue(token, out Call? call) ? EffectOf(call, loaded) : Effect.Undone;
        return (push, delete) switch
        {
            (Effect.Undone, _) or (_, Effect.Done) => Presence.Not,
            (Effect.Done, Effect.Undone) => Presence.Once,
            _ => Presence.OnceOrNot,
        };
    }

    /// <summary>
    /// Judges what a checkpoint holds: nothing twice, all that was acknowledged before it and nothing that began after it; and of each session and segment
    /// the first pushes up to one, and the first deletes up to one, none of them in part.
    /// </summary>
    /// <param name="saved">The checkpoint.</param>
    /// <param name="stands">How often a token stands in it.</param>
    /// <param name="segmentBits">2^this segments.</param>
    /// <param name="who">The client, for people.</param>
    public void Check(SavedCheckpoint saved, Func<ulong, float> stands, int segmentBits, string who)
    {
        Dictionary<(ulong Session, int Segment), (int Last, int Missing)> pushes = [], deletes = [];
        foreach ((ulong token, Call push) in _pushes)
        {
            Call? delete = _deletes.GetValueOrDefault(token);
            bool mayBeDeleted = delete is not null && delete.Begun <= saved.Ended;
            float times = stands(token);
            string what = $"checkpoint {saved.Name}: token {token:x} of {who}, segment {Mix.Segment(token, segmentBits)}";
            Invariant.That(times is 0 or 1, $"{what}: it stands {times} times");
            Invariant.That(times == 1 || mayBeDeleted || push.Acknowledged >= saved.Began, $"{what}: it was acknowledged before the checkpoint began and is not in it");
            Invariant.That(times == 0 || push.Begun <= saved.Ended, $"{what}: it was pushed after the checkpoint had ended and is in it");
            Invariant.That(times == 0 || delete is null || delete.Acknowledged >= saved.Began, $"{what}: its deletion was acknowledged before the checkpoint began, and it is in it");
            if (times == 1 || !mayBeDeleted)
            {
                Note(pushes, push, token, segmentBits, isIn: times == 1);
            }
        }

        foreach ((ulong token, Call delete) in _deletes)
        {
            Call push = _pushes[token];
            bool wasPushed = push.Session != 0 && pushes.TryGetValue((push.Session, Mix.Segment(token, segmentBits)), out (int Last, int Missing) held) && push.Number <= held.Last;
            bool isIn = stands(token) == 1;
            if (delete.Begun <= saved.Ended && (isIn || wasPushed))
            {
                Note(deletes, delete, token, segmentBits, isIn: !isIn);
            }
        }

        foreach ((string kind, Dictionary<(ulong Session, int Segment), (int Last, int Missing)> streams) in (ReadOnlySpan<(string, Dictionary<(ulong, int), (int, int)>)>)[("pushes", pushes), ("deletes", deletes)])
        {
            foreach (((ulong session, int segment), (int last, int missing)) in streams)
            {
                Invariant.That(
                    last < missing, $"checkpoint {saved.Name}: segment {segment} has of the {kind} of session {session} of {who} a prefix: call {last} is in it, call {missing} is not");
            }
        }
    }

    private static void Note(Dictionary<(ulong Session, int Segment), (int Last, int Missing)> streams, Call call, ulong token, int segmentBits, bool isIn)
    {
        if (call.Session == 0)
        {
            return;
        }

        (ulong, int) stream = (call.Session, Mix.Segment(token, segmentBits));
        (int last, int missing) = streams.GetValueOrDefault(stream, (0, int.MaxValue));
        streams[stream] = isIn ? (Math.Max(last, call.Number), missing) : (last, Math.Min(missing, call.Number));
    }

    private static Effect EffectOf(Call call, LoadedCheckpoint? loaded)
    {
        if (loaded is null || call.Generation >= loaded.Generation)
        {
            return call.Acknowledged < Instant.Never ? Effect.Done : Effect.Unknown;
        }

        return call.Acknowledged < loaded.Saved.Began ? Effect.Done
            : call.Begun > loaded.Saved.Ended && call.Over < loaded.Began ? Effect.Undone
            : Effect.Unknown;
    }
}
