using Weir.Register;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>A checker of histories that passes everything would be none (design R1, invariant 5).</summary>
public class RegisterHistoryTests
{
    [Fact]
    public void A_history_that_some_order_explains_is_sound_whether_or_not_contents_repeat()
    {
        RegisterHistory.Check(
        [
            Read(0, 1, 0, 0), Swap(1, 2, 0, 7, RegisterOutcome.Done), Swap(2, 9, 1, 7, RegisterOutcome.Unknown), Read(3, 4, 2, 7), Read(3, 9, 1, 7), Swap(5, 6, 1, 8, RegisterOutcome.Mismatch, 2, 7),
        ]);
    }

    [Fact]
    public void What_no_order_explains_is_found()
    {
        Broken("written once", Swap(1, 2, 0, 7, RegisterOutcome.Done), Swap(3, 4, 0, 7, RegisterOutcome.Done));
        Broken("one content", Swap(1, 2, 0, 7, RegisterOutcome.Done), Swap(1, 9, 0, 8, RegisterOutcome.Unknown), Read(3, 4, 1, 8));
        Broken("saw version 0", Swap(1, 2, 0, 7, RegisterOutcome.Done), Read(3, 4, 0, 0));
        Broken("was written by a swap", Swap(1, 2, 0, 7, RegisterOutcome.Mismatch, 1, 7));
        Broken("not seen before", Read(1, 2, 1, 7), Swap(3, 4, 0, 7, RegisterOutcome.Unknown));
        Broken("took place", Read(0, 1, 0, 0), Swap(1, 2, 0, 7, RegisterOutcome.Mismatch, 0, 0));
    }

    private static void Broken(string rule, params RegisterCall[] calls) =>
        Assert.Contains(rule, Assert.Throws<InvariantException>(() => RegisterHistory.Check(calls)).Message, StringComparison.Ordinal);

    private static RegisterCall Read(long from, long to, ulong version, ulong content) =>
        new(new Instant(from), IsSwap: false, 0, 0) { To = new Instant(to), Outcome = RegisterOutcome.Done, Version = version, Content = content };

    private static RegisterCall Swap(long from, long to, ulong expected, ulong written, RegisterOutcome outcome, ulong found = 0, ulong content = 0) =>
        new(new Instant(from), IsSwap: true, expected, written)
        {
            To = outcome == RegisterOutcome.Unknown ? Instant.Never : new Instant(to),
            Outcome = outcome,
            Version = outcome == RegisterOutcome.Done ? expected + 1 : found,
            Content = outcome == RegisterOutcome.Done ? written : content,
        };
}
