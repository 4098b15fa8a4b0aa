using System.Globalization;
using Weir.Sim;

namespace Weir.Tests.Scenarios;

/// <summary>Whole clusters from seeds, as <c>weir sim cluster</c> plays them by the thousand (design section 12).</summary>
public class ClusterRunTests
{
    [Fact]
    public void Seeds_break_nothing()
    {
        var batch = new RunBatch();
        for (ulong seed = 1; seed <= 40; seed++)
        {
            batch.Add(Play(seed));
        }

        Assert.Empty(batch.Violations.Select(v => $"{v.Options}\n{v.Violation}"));
        Assert.True(batch.Acknowledged > 2000, $"only {batch.Acknowledged} pushes were acknowledged");
    }

    /// <summary>Each use of checkpoints in turn, where a thousand drawn seeds have them in one of six.</summary>
    [Fact]
    public void Seeds_with_checkpoints_break_nothing()
    {
        var batch = new RunBatch();
        for (ulong seed = 2001; seed <= 2024; seed++)
        {
            using var run = new ClusterRun(SwarmOptions.DrawPlannedChanges(seed) with { Checkpoints = CheckpointUse.RestoredAtEnd + (int)(seed % 3) });
            batch.Add(run.Run());
        }

        Assert.Empty(batch.Violations.Select(v => $"{v.Options}\n{v.Violation}"));
        Assert.True(batch.Tally.Count(NamedSchedule.ChangeDuringCheckpoint) > 0);
    }

    [Fact]
    public void Seeds_whose_servers_all_stop_lose_nothing_durable_and_end_no_session()
    {
        var batch = new RunBatch();
        for (ulong seed = 1; batch.Seeds < 30; seed++)
        {
            if (SwarmOptions.Draw(seed).Has(FaultKind.WholeStop))
            {
                batch.Add(Play(seed));
            }
        }

        Assert.Empty(batch.Violations.Select(v => $"{v.Options}\n{v.Violation}"));
        Assert.True(batch.Tally.Count(FaultKind.WholeStop) > 20, $"only {batch.Tally.Count(FaultKind.WholeStop)} clusters stopped");
    }

    [Fact]
    public void The_same_seed_gives_the_same_run_on_any_thread_and_another_seed_another()
    {
        ulong[] seeds = [3, 11, 84];
        ulong[] alone = [.. seeds.Select(s => Play(s).Trace)];
        ulong[] together = new ulong[seeds.Length];
        Thread[] threads = [.. seeds.Select((seed, i) => new Thread(() => together[i] = Play(seed).Trace))];
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        Assert.Equal(alone, together);
        Assert.Equal(seeds.Length, alone.Distinct().Count());
    }

    [Fact]
    public void A_batch_that_tried_too_little_says_so()
    {
        var batch = new RunBatch();
        RunOutcome outcome = Play(3) with { Tally = new RunTally() };
        for (int i = 0; i < RunBatch.CoveringSeeds; i++)
        {
            batch.Add(outcome);
        }

        Assert.Contains(batch.Missing(), m => m.Contains(nameof(NamedSchedule.LateSlice), StringComparison.Ordinal));
        Assert.Contains(batch.Missing(), m => m.Contains(nameof(NamedSchedule.ChangeDuringCheckpoint), StringComparison.Ordinal));
    }

    /// <summary>A seed that failed, again: WEIR_ONE_SEED names it.</summary>
    [Fact]
    public void One_seed_by_hand()
    {
        if (ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_ONE_SEED"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            RunOutcome outcome = Play(seed);
            Assert.True(outcome.Violation is null, $"{outcome.Options}\n{outcome.Violation}");
        }
    }

    private static RunOutcome Play(ulong seed)
    {
        using var run = new ClusterRun(SwarmOptions.Draw(seed));
        return run.Run();
    }
}
