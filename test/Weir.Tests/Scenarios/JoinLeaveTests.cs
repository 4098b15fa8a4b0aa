using System.Globalization;

namespace Weir.Tests.Scenarios;

/// <summary>Workers join and leave in mid-run (design R8).</summary>
public class JoinLeaveTests
{
    /// <summary>How many seeds a run tries: 200, or as many as WEIR_SEEDS says.</summary>
    private static int Seeds =>
        int.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out int seeds) ? Math.Max(200, seeds) : 200;

    [Fact]
    public void No_pull_breaks_its_bound_while_workers_join_and_leave_in_200_seeds_and_every_schedule_was_hit()
    {
        Dictionary<string, int> hit = [];
        for (ulong seed = 1; seed <= (ulong)Seeds; seed++)
        {
            using JoinLeaveRun run = Run(seed);
            foreach ((string what, bool was) in new (string, bool)[]
            {
                ("join in mid-run", run.Joins > 0), ("leave in mid-run", run.Leaves > 0), ("both", run.Joins > 0 && run.Leaves > 0),
                ("death during an announcement", run.DiedDuringAnnouncement), ("a living process cut off during an announcement", run.WasCutOffDuringAnnouncement),
                ("a change announced anew", run.AnnouncedAnew), ("an iteration held back", run.HeldBack), ("a worker that joined moved to a process that came for it", run.MovedToLateProcess),
                ("redo superseded", run.Superseded > 0), ("loss", run.Tally.Lost > 0), ("duplicate", run.Tally.Duplicated > 0), ("reorder", run.Tally.Reordered > 0),
            })
            {
                hit[what] = hit.GetValueOrDefault(what) + (was ? 1 : 0);
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine(string.Join(", ", hit.Select(h => $"{h.Key}: {h.Value}")));
        Assert.All(hit, h => Assert.True(h.Value >= 10, $"'{h.Key}' was hit in {h.Value} of {Seeds} seeds; at least 10 are needed"));
    }

    private static JoinLeaveRun Run(ulong seed)
    {
        var run = new JoinLeaveRun(seed);
        try
        {
            run.Run();
        }
        catch (Exception fault)
        {
            throw new InvalidOperationException($"seed {seed} ({run.Describe()}): {fault.Message}", fault);
        }

        return run;
    }
}
