using Weir.Register;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>One operation as its caller saw it.</summary>
internal sealed record RegisterCall(Instant From, bool IsSwap, ulong Expected, ulong Written)
{
    /// <summary>Never while nobody has heard how it ended.</summary>
    public Instant To { get; set; } = Instant.Never;

    public RegisterOutcome Outcome { get; set; } = RegisterOutcome.Unknown;

    public ulong Version { get; set; }

    /// <summary>The number in the content; each swap writes one of its own.</summary>
    public ulong Content { get; set; }
}

/// <summary>
/// Whether calls on one cell can be put into one order that each saw and that agrees with time (Herlihy and Wing 1990). Versions rise by one with
/// every swap, so the order is theirs, and the search of the general case is not needed.
/// </summary>
internal static class RegisterHistory
{
    public static void Check(IReadOnlyList<RegisterCall> calls)
    {
        // One version, one content; version n + 1 was written by a swap that expected n.
        Dictionary<ulong, ulong> contents = [];
        Dictionary<ulong, RegisterCall> writers = calls.Where(c => c.IsSwap).ToDictionary(c => c.Written);
        RegisterCall[] seen = [.. calls.Where(c => c.Outcome != RegisterOutcome.Unknown)];
        foreach (RegisterCall call in seen)
        {
            if (call.IsSwap && call.Outcome == RegisterOutcome.Done)
            {
                Assert.Equal(call.Expected + 1, call.Version);
                Assert.Equal(call.Written, call.Content);
            }
            else if (call.IsSwap)
            {
                Assert.NotEqual(call.Expected, call.Version);
            }

            Assert.True(contents.TryAdd(call.Version, call.Content) || contents[call.Version] == call.Content, $"version {call.Version} had two contents");
            if (call.Version == 0)
            {
                Assert.Equal(0ul, call.Content);
                continue;
            }

            RegisterCall writer = writers[call.Content];
            Assert.True(writer.Expected + 1 == call.Version, $"version {call.Version} was written by a swap that expected {writer.Expected}");
            Assert.True(writer.Outcome != RegisterOutcome.Mismatch, $"a swap that was told Mismatch wrote version {call.Version}");
            Assert.True(writer.From <= call.To, $"version {call.Version} was seen before it was written");
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
            Assert.True(sees >= highest, $"a call that began at {call.From} saw version {sees}, though version {highest} had been told at {ended}");
        }
    }
}
