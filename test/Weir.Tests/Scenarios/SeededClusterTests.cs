using System.Globalization;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

public class SeededClusterTests
{
    /// <summary>How many seeds a run tries: 200, or as many as WEIR_SEEDS says.</summary>
    private static int Seeds =>
        int.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out int seeds) ? Math.Max(200, seeds) : 200;

    [Fact]
    public void No_acknowledged_push_is_lost_or_applied_twice_in_200_seeds_and_every_fault_was_hit()
    {
        Dictionary<string, int> hit = [];
        for (ulong seed = 1; seed <= (ulong)Seeds; seed++)
        {
            using TokenRun run = Run(seed);
            SimTally tally = run.Tally;
            foreach ((string fault, long count) in new (string, long)[]
            {
                ("loss", tally.Lost), ("duplicate", tally.Duplicated), ("reorder", tally.Reordered), ("slow node", tally.Slowed),
                ("death of a hosting process", tally.ProcessDeaths), ("superseded redo", run.Superseded), ("held part", run.Held),
            })
            {
                hit[fault] = hit.GetValueOrDefault(fault) + (count > 0 ? 1 : 0);
            }
        }

        Assert.All(hit, fault => Assert.True(fault.Value >= 20, $"the fault '{fault.Key}' was hit in {fault.Value} of {Seeds} seeds; at least 20 are needed"));
    }

    [Fact]
    public void The_same_seed_gives_the_same_trace_and_another_seed_another()
    {
        ulong[] traces = [.. new ulong[] { 3, 4, 5 }.Select(Trace)];
        Assert.Equal(traces, new ulong[] { 3, 4, 5 }.Select(Trace));
        Assert.Equal(3, traces.Distinct().Count());
    }

    private static ulong Trace(ulong seed)
    {
        using TokenRun run = Run(seed);
        return run.Trace;
    }

    private static TokenRun Run(ulong seed)
    {
        var run = new TokenRun(seed);
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
