using Weir.Register;
using Weir.World;

namespace Weir.Sim;

/// <summary>One operation as its caller saw it.</summary>
internal sealed record RegisterCall(Instant From, bool IsSwap, ulong Expected, ulong Written)
{
    /// <summary>Never while nobody has heard how it ended.</summary>
    public Instant To { get; set; } = Instant.Never;

    public RegisterOutcome Outcome { get; set; } = RegisterOutcome.Unknown;

    public ulong Version { get; set; }

    /// <summary>The number of the content; a swap's own is <see cref="Written"/>, which others may have written as well.</summary>
    public ulong Content { get; set; }
}

/// <summary>
/// Whether calls on one cell can be put into one order that each saw and that agrees with time (Herlihy and Wing 1990). Versions rise by one with
/// every swap, so the order is theirs, and the search of the general case is not needed.
/// </summary>
internal static class RegisterHistory
{
    /// <exception cref="InvariantException">They cannot; the message says which two contradict each other.</exception>
    public static void Check(IReadOnlyList<RegisterCall> calls)
    {
        // One version, one content; version n + 1 was written by a swap that expected n, and by one only.
        Dictionary<ulong, ulong> contents = [];
        HashSet<ulong> done = [];
        ILookup<(ulong Version, ulong Content), RegisterCall> writers = calls.Where(c => c.IsSwap).ToLookup(c => (c.Expected + 1, c.Written));
        RegisterCall[] seen = [.. calls.Where(c => c.Outcome != RegisterOutcome.Unknown)];
        foreach (RegisterCall call in seen)
        {
            if (call.IsSwap && call.Outcome == RegisterOutcome.Done)
            {
                Invariant.That(call.Expected + 1 == call.Version && call.Written == call.Content, $"a swap that expected version {call.Expected} of a cell wrote the next, not {call.Version}");
                Invariant.That(done.Add(call.Version), $"version {call.Version} of a cell was written once");
            }
            else if (call.IsSwap)
            {
                Invariant.That(call.Expected != call.Version, $"a swap that expected version {call.Expected} of a cell, which stood there, took place");
            }

            Invariant.That(contents.TryAdd(call.Version, call.Content) || contents[call.Version] == call.Content, $"version {call.Version} of a cell has one content");
            if (call.Version == 0)
            {
                Invariant.That(call.Content == 0, "a cell that nobody wrote is empty");
                continue;
            }

            RegisterCall[] wrote = [.. writers[(call.Version, call.Content)].Where(w => w.Outcome != RegisterOutcome.Mismatch)];
            Invariant.That(wrote.Length > 0, $"version {call.Version} of a cell was written by a swap that expected the one before and was not told that it had not taken place");
            Invariant.That(Array.Exists(wrote, w => w.From <= call.To), $"version {call.Version} of a cell was not seen before it was written");
        }

        // What ended before another began saw no later version than it.
        Instant ended = default;
        ulong highest = 0;
        var byEnd = new PriorityQueue<RegisterCall, long>(seen.Select(c => (c, c.To.Microseconds)));
        foreach (RegisterCall call in seen.OrderBy(c => c.From.Microseconds))
        {
            while (byEnd.TryPeek(out RegisterCall? earlier, out _) && earlier.To < call.From)
            {
                byEnd.Dequeue();
                (ended, highest) = earlier.Version >= highest ? (earlier.To, earlier.Version) : (ended, highest);
            }

            ulong sees = call.IsSwap && call.Outcome == RegisterOutcome.Done ? call.Version - 1 : call.Version;
            Invariant.That(sees >= highest, $"a call on a cell that began at {call.From} saw version {sees}, though version {highest} had been told at {ended}");
        }
    }
}
