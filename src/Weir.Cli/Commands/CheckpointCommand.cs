using System.CommandLine;
using System.Globalization;
using Weir.Checkpoints;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir checkpoint save|list|verify|restore</c>.</summary>
internal static class CheckpointCommand
{
    public static Command Create(ToolConsole console) => new("checkpoint", "Writes a running cluster's state to a folder or to S3, and loads it into a cluster again.")
    {
        Save(console),
        List(console),
        Verify(console),
        Restore(console),
    };

    /// <summary>A name that sorts by time.</summary>
    public static string NewName(DateTimeOffset now) => now.UtcDateTime.ToString("yyyyMMdd-HHmmss-fff", CultureInfo.InvariantCulture);

    /// <summary>What a checkpoint holds, in a line.</summary>
    public static string Describe(CheckpointSummary written) =>
        string.Create(CultureInfo.InvariantCulture, $"checkpoint {written.Name}: {written.Rows:N0} rows, {written.Bytes:N0} bytes{(written.LeastClock >= 0 ? $", from iteration {written.LeastClock + 1} on" : "")}");

    private static Command Save(ToolConsole console)
    {
        (Option<string[]?> cluster, Option<string?> folder) = (Cluster(), Folder());
        Option<string?> name = CheckedOption.CheckpointName("The checkpoint's name. Default: the time, so that names sort by age.");
        Option<long?> kept = CheckedOption.WholeOrNone("--keep", "Delete all but the last so many. Default: all stay.", 1, 1_000_000);
        var command = new Command("save", "Writes a checkpoint; training goes on.") { cluster, folder, name, kept };
        command.SetAction(async (parsed, cancellation) =>
        {
            string chosen = parsed.GetValue(name) ?? NewName(DateTimeOffset.UtcNow);
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation);
            CheckpointPlace place = await CheckpointPlace.ToWriteAsync(parsed.GetValue(folder)!, cancellation);
            CheckpointSummary written = await client.SaveCheckpointAsync(place.Store, chosen, cancellation);
            if (parsed.GetValue(kept) is { } most)
            {
                await new CheckpointCatalog(place.Store).KeepAsync((int)most, cancellation);
            }

            console.Say(Describe(written));
            return ExitCode.Done;
        });
        return command;
    }

    private static Command List(ToolConsole console)
    {
        Option<string?> folder = Folder();
        var command = new Command("list", "Names the checkpoints in a folder or bucket, the oldest first.") { folder };
        command.SetAction(async (parsed, cancellation) =>
        {
            var place = CheckpointPlace.ToRead(parsed.GetValue(folder)!);
            IReadOnlyList<StoredCheckpoint> found = await new CheckpointCatalog(place.Store).ListAsync(cancellation);
            foreach (StoredCheckpoint one in found)
            {
                string jobs = string.Join(", ", one.Jobs.Select(j => $"{j.Name} at clock {j.Clocks.Min()}"));
                console.Say(one.Fault ?? string.Create(
                    CultureInfo.InvariantCulture,
                    $"{one.Name}: {one.Rows:N0} rows, {one.Bytes:N0} bytes, {1 << one.SegmentBits} segments; tables {string.Join(", ", one.Tables)}{(jobs.Length == 0 ? "" : $"; {jobs}")}"));
            }

            if (found.Count == 0)
            {
                console.Say($"no checkpoint in {place}");
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static Command Verify(ToolConsole console)
    {
        (Option<string?> folder, Option<string?> name) = (Folder(), Name());
        var command = new Command("verify", "Reads a checkpoint as a whole and names every file that is truncated, damaged, missing or another checkpoint's.") { folder, name };
        command.SetAction(async (parsed, cancellation) =>
        {
            var place = CheckpointPlace.ToRead(parsed.GetValue(folder)!);
            string chosen = await place.ChosenAsync(parsed.GetValue(name), cancellation);
            IReadOnlyList<string> faults = await new CheckpointCatalog(place.Store).VerifyAsync(chosen, cancellation);
            foreach (string fault in faults)
            {
                console.Complain(fault);
            }

            if (faults.Count == 0)
            {
                console.Say($"checkpoint {chosen} is as it was written");
            }

            return faults.Count == 0 ? ExitCode.Done : ExitCode.Failed;
        });
        return command;
    }

    private static Command Restore(ToolConsole console)
    {
        (Option<string[]?> cluster, Option<string?> folder, Option<string?> name) = (Cluster(), Folder(), Name());
        Option<long> hosts = CheckedOption.Whole("--hosts", "Processes that must offer to host a job's workers before it goes on. Default 1.", 1, 1, 1000);
        var command = new Command("restore", "Loads a checkpoint: the cluster then holds it and nothing else. One that is not sound changes nothing.") { cluster, folder, name, hosts };
        command.SetAction(async (parsed, cancellation) =>
        {
            var place = CheckpointPlace.ToRead(parsed.GetValue(folder)!);
            string chosen = await place.ChosenAsync(parsed.GetValue(name), cancellation);
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation);
            RestoreSummary loaded = await client.RestoreCheckpointAsync(place.Store, chosen, new RestoreOptions { Hosts = (int)parsed.GetValue(hosts) }, cancellation);
            console.Say(string.Create(CultureInfo.InvariantCulture, $"checkpoint {chosen} is loaded: {loaded.Rows:N0} rows, {loaded.Bytes:N0} bytes"));
            foreach (LostIterations lost in loaded.Lost)
            {
                console.Say($"gone with what came after it: iterations {lost.First} to {lost.Last} of worker {lost.Worker} of job {lost.Job}, which does them again");
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static Option<string[]?> Cluster()
    {
        Option<string[]?> cluster = CheckedOption.Addresses(
            "--cluster", $"Addresses of the cluster, one or more; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers.");
        cluster.Required = true;
        return cluster;
    }

    private static Option<string?> Folder() => CheckedOption.Checkpoints(
        "--dir", "Where the checkpoints are: a folder, or a prefix of a bucket, reached as the AWS variables say.", required: true);

    private static Option<string?> Name() => CheckedOption.CheckpointName("The checkpoint's name. Default: the last one.");
}
