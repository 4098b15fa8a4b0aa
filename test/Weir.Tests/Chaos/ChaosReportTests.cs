namespace Weir.Tests.Chaos;

/// <summary>A chaos run that shows less than it is to show fails, and says why.</summary>
public sealed class ChaosReportTests
{
    private const long Pushes = 10_000;

    private static readonly ChaosRoundReport Round = new(
        "kill", "tokens alone", 0, Pushes, 15_000, 10, ReceivedBefore: 0, MakesDuplicates: false, 800, 900, 2000, 0, 0, 0, 6, null);

    [Fact]
    public void A_run_that_shows_what_it_is_to_show_has_no_shortcomings() =>
        Assert.Empty(Of([.. Rounds(21, 0), .. Rounds(9, 1)]).Shortcomings(Pushes));

    [Fact]
    public void Of_thirty_rounds_three_tenths_must_have_their_fault_between_a_receive_and_its_acknowledgement()
    {
        ChaosReport report = Of([.. Rounds(22, 0), .. Rounds(8, 1)]);
        Assert.Contains("between a receive and its acknowledgement", Assert.Single(report.Shortcomings(Pushes)));
        Assert.Equal(8 / 30.0, report.BetweenReceiveAndAcknowledge);
        Assert.Empty(Of([.. Rounds(29, 0)]).Shortcomings(Pushes));
    }

    /// <summary>A proxy that sends frames twice makes duplicates whether a fault fell anywhere or not.</summary>
    [Fact]
    public void Rounds_whose_fault_makes_duplicates_of_its_own_do_not_count()
    {
        ChaosReport report = Of([.. Rounds(22, 0), .. Rounds(8, 1), .. Rounds(30, 99, makesDuplicates: true)]);
        Assert.Contains("between a receive and its acknowledgement", Assert.Single(report.Shortcomings(Pushes)));
        Assert.Equal((8 / 30.0, 38 / 60.0), (report.BetweenReceiveAndAcknowledge, report.BetweenReceiveAndAcknowledgeOfAll));
    }

    /// <summary>Sixty rounds of busy cores break nothing off: none can fall between a receive and its acknowledgement.</summary>
    [Fact]
    public void Of_a_single_fault_that_was_picked_no_share_is_asked() =>
        Assert.Empty(Of([.. Enumerable.Repeat(Round, 60)]).Shortcomings(Pushes));

    [Fact]
    public void A_round_of_too_few_pushes_is_named_by_its_fault()
    {
        ChaosReport report = Of([Round, Round with { Fault = "pause", AcknowledgedPushes = Pushes - 1, Acknowledged = 2 * Pushes }]);
        Assert.Contains("'pause' had 9,999 acknowledged pushes", Assert.Single(report.Shortcomings(Pushes)));
        Assert.Equal((Pushes + Pushes - 1, Pushes - 1), (report.AcknowledgedPushes, report.LeastAcknowledgedPushes));
    }

    [Fact]
    public void What_was_lost_doubled_or_stuck_is_a_shortcoming_and_so_is_no_round()
    {
        Assert.Single(Of([Round with { Lost = 1 }]).Shortcomings(Pushes));
        Assert.Single(Of([Round with { Doubled = 1 }]).Shortcomings(Pushes));
        Assert.Single(Of([Round with { Problem = "stuck", AcknowledgedPushes = 0 }]).Shortcomings(Pushes));
        Assert.Single(Of([]).Shortcomings(Pushes));
    }

    [Fact]
    public void Times_are_the_middle_the_hundredth_and_the_longest_of_the_rounds_that_have_one()
    {
        ChaosReport report = Of([.. Enumerable.Range(1, 200).Select(i => Round with { ServedAgainMs = i }), Round with { ServedAgainMs = null }]);
        Assert.Equal(new ChaosTimes(100, 198, 200), report.ServedAgain);
        Assert.Null(Of([Round with { WholeAgainMs = null }]).WholeAgain);
    }

    private static ChaosReport Of(ChaosRoundReport[] rounds) => ChaosReport.Of("loopback", 1, [], new Dictionary<string, long>(), rounds);

    private static IEnumerable<ChaosRoundReport> Rounds(int count, long receivedBefore, bool makesDuplicates = false) =>
        Enumerable.Range(0, count).Select(i => Round with { Fault = i % 2 == 0 ? "kill" : "pause", ReceivedBefore = receivedBefore, MakesDuplicates = makesDuplicates });
}
