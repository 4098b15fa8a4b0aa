using System.CommandLine;
using System.Globalization;
using System.Runtime;
using Weir.Cli.Reports;
using Weir.Sim;
using Weir.World;

namespace Weir.Cli.Commands;

/// <summary><c>weir sim cluster</c>.</summary>
internal static class SimClusterCommand
{
    private const int ProgressEvery = 100;
    private const int ShownViolations = 10;

    public static Command Create(ToolConsole console)
    {
        Option<long> seeds = CheckedOption.Whole("--seeds", "Runs, each of the seed after the last one's. Default 1,000: enough to hit every fault.", 1_000, 1, 1_000_000_000);
        Option<long> from = CheckedOption.Whole("--from", "The first seed. Default 1.", 1, 0, long.MaxValue / 2, "S");
        Option<string?> report = CheckedOption.Text("--report", "Also write what was found as JSON. Default: no file.", "FILE.json");
        var command = new Command(
            "cluster",
            "Plays whole clusters - servers, the register, clients, workers - with faults of all kinds in simulated time, each from its seed, on all cores, and checks that "
            + "nothing acknowledged is lost or applied twice. Exit code 1 where a promise was broken, or where a batch of 1,000 seeds or more failed to try a fault.")
        {
            seeds, from, report,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            string? path = parsed.GetValue(report);
            JsonFile.Check(path);
            RunBatch batch = await Task.Run(() => Play(console, parsed.GetValue(from), parsed.GetValue(seeds), cancellation), cancellation);
            return Tell(console, batch, path);
        });
        return command;
    }

    private static RunBatch Play(ToolConsole console, long from, long seeds, CancellationToken cancellation)
    {
        var batch = new RunBatch();
        int shown = 0;

        // Nothing here waits for anybody: garbage that is collected beside the runs would only take their cores.
        GCSettings.LatencyMode = GCLatencyMode.Batch;

        // A pool for each run would begin with nothing: then most of what a run allocates is frames, each pinned and as large as a slice of a copy.
        using var pools = new ThreadLocal<FramePool>(() => new FramePool());
        if (seeds == 1)
        {
            console.Say(SwarmOptions.Draw((ulong)from).ToString());
        }

        Parallel.For(from, from + seeds, new ParallelOptions { CancellationToken = cancellation, MaxDegreeOfParallelism = Environment.ProcessorCount }, seed =>
        {
            RunOutcome outcome;
            using (var run = new ClusterRun(SwarmOptions.Draw((ulong)seed), pools.Value))
            {
                outcome = run.Run();
            }

            lock (batch)
            {
                batch.Add(outcome);
                if (outcome.Violation is { } violation && shown++ < ShownViolations)
                {
                    console.Complain($"{outcome.Options}\n{violation}\nplay it again: {Command(outcome)}");
                }

                if (batch.Seeds % ProgressEvery == 0)
                {
                    console.Say(string.Create(CultureInfo.InvariantCulture, $"{batch.Seeds} of {seeds} seeds, {batch.SimulatedMs / 1000} s simulated, {batch.Acknowledged} pushes acknowledged, {batch.Violations.Count} violations"));
                }
                else if (seeds == 1)
                {
                    console.Say($"trace {outcome.Trace:x16}");
                }
            }
        });
        return batch;
    }

    private static string Command(RunOutcome outcome) => string.Create(CultureInfo.InvariantCulture, $"weir sim cluster --seeds 1 --from {outcome.Options.Seed}");

    private static int Tell(ToolConsole console, RunBatch batch, string? path)
    {
        string[] missing = [.. batch.Missing()];
        foreach (string gap in missing)
        {
            console.Complain($"the batch has not tried what it should: {gap}");
        }

        FaultKind[] kinds = Enum.GetValues<FaultKind>();
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{batch.Seeds} seeds, {batch.SimulatedMs / 1000} s simulated, {batch.Events} events, {batch.Acknowledged} of {batch.Pushes} pushes acknowledged, {kinds.Sum(batch.Tally.Count)} faults, {batch.Violations.Count} violations, {missing.Length} gaps"));
        if (path is not null)
        {
            var report = new SimReport(
                batch.Seeds,
                batch.SimulatedMs / 1000.0,
                batch.Events,
                kinds.ToDictionary(Name, batch.Tally.Count),
                kinds.ToDictionary(Name, batch.Tally.Seeds),
                kinds.ToDictionary(Name, batch.Tally.SeedsDuringChange),
                Enum.GetValues<NamedSchedule>().ToDictionary(Name, batch.Tally.Count),
                batch.Pushes,
                batch.Acknowledged,
                missing,
                [.. batch.Violations.OrderBy(v => v.Options.Seed).Select(v => new SimViolation(v.Options.Seed, Command(v), v.Violation!))]);
            JsonFile.Write(path, report, ReportJson.Default.SimReport);
        }

        return batch.Violations.Count == 0 && missing.Length == 0 ? ExitCode.Done : ExitCode.Failed;
    }

    /// <summary>As JSON names things.</summary>
    private static string Name<T>(T named)
        where T : struct, Enum
    {
        string name = named.ToString();
        return char.ToLowerInvariant(name[0]) + name[1..];
    }
}
