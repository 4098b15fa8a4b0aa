using System.CommandLine;
using System.Globalization;
using Weir.Checkpoints;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Host.Disk;
using Weir.World;

namespace Weir.Cli.Commands;

/// <summary><c>weir checkpoint save|list|verify|restore</c>.</summary>
internal static class CheckpointCommand
{
    public static Command Create(ToolConsole console) => new("checkpoint", "Writes a running cluster's state to a folder, and loads it into a cluster again.")
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
        (Option<string[]?> cluster, Option<string> folder) = (Cluster(), Folder());
        Option<string?> name = CheckedOption.Text("--name", "The checkpoint's name. Default: the time, so that names sort by age.", "NAME");
        Option<long?> kept = CheckedOption.WholeOrNone("--keep", "Delete all but the last so many. Default: all stay.", 1, 1_000_000);
        var command = new Command("save", "Writes a checkpoint; training goes on.") { cluster, folder, name, kept };
        command.SetAction(async (parsed, cancellation) =>
        {
            var store = new FolderStore(parsed.GetValue(folder)!);
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation);
            CheckpointSummary written = await client.SaveCheckpointAsync(store, Checked(parsed.GetValue(name)) ?? NewName(DateTimeOffset.UtcNow), cancellation);
            if (parsed.GetValue(kept) is { } most)
            {
                await new CheckpointCatalog(store).KeepAsync((int)most, cancellation);
            }

            console.Say(Describe(written));
            return ExitCode.Done;
        });
        return command;
    }

    private static Command List(ToolConsole console)
    {
        Option<string> folder = Folder();
        var command = new Command("list", "Names the checkpoints in a folder, the oldest first.") { folder };
        command.SetAction(async (parsed, cancellation) =>
        {
            IReadOnlyList<StoredCheckpoint> found = await new CheckpointCatalog(new FolderStore(parsed.GetValue(folder)!)).ListAsync(cancellation);
            foreach (StoredCheckpoint one in found)
            {
                string jobs = string.Join(", ", one.Jobs.Select(j => $"{j.Name} at clock {j.Clocks.Min()}"));
                console.Say(one.Fault ?? string.Create(
                    CultureInfo.InvariantCulture,
                    $"{one.Name}: {one.Rows:N0} rows, {one.Bytes:N0} bytes, {1 << one.SegmentBits} segments; tables {string.Join(", ", one.Tables)}{(jobs.Length == 0 ? "" : $"; {jobs}")}"));
            }

            if (found.Count == 0)
            {
                console.Say($"no checkpoint in {parsed.GetValue(folder)}");
            }

            return ExitCode.Done;
        });
        return command;
    }

    private static Command Verify(ToolConsole console)
    {
        (Option<string> folder, Option<string?> name) = (Folder(), Name());
        var command = new Command("verify", "Reads a checkpoint as a whole and names every file that is truncated, damaged, missing or another checkpoint's.") { folder, name };
        command.SetAction(async (parsed, cancellation) =>
        {
            var store = new FolderStore(parsed.GetValue(folder)!);
            string chosen = await ChosenAsync(store, parsed.GetValue(folder)!, parsed.GetValue(name), cancellation);
            IReadOnlyList<string> faults = await new CheckpointCatalog(store).VerifyAsync(chosen, cancellation);
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
        (Option<string[]?> cluster, Option<string> folder, Option<string?> name) = (Cluster(), Folder(), Name());
        Option<long> hosts = CheckedOption.Whole("--hosts", "Processes that must offer to host a job's workers before it goes on. Default 1.", 1, 1, 1000);
        var command = new Command("restore", "Loads a checkpoint: the cluster then holds it and nothing else. One that is not sound changes nothing.") { cluster, folder, name, hosts };
        command.SetAction(async (parsed, cancellation) =>
        {
            var store = new FolderStore(parsed.GetValue(folder)!);
            string chosen = await ChosenAsync(store, parsed.GetValue(folder)!, parsed.GetValue(name), cancellation);
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation);
            RestoreSummary loaded = await client.RestoreCheckpointAsync(store, chosen, new RestoreOptions { Hosts = (int)parsed.GetValue(hosts) }, cancellation);
            console.Say(string.Create(CultureInfo.InvariantCulture, $"checkpoint {chosen} is loaded: {loaded.Rows:N0} rows, {loaded.Bytes:N0} bytes"));
            foreach (LostIterations lost in loaded.Lost)
            {
                console.Say($"gone with what came after it: iterations {lost.First} to {lost.Last} of worker {lost.Worker} of job {lost.Job}, which does them again");
            }

            return ExitCode.Done;
        });
        return command;
    }

    /// <summary>The checkpoint that was named, or the last one.</summary>
    public static async Task<string> ChosenAsync(ICheckpointStore store, string folder, string? name, CancellationToken cancellation)
    {
        if (Checked(name) is { } given)
        {
            return given;
        }

        IReadOnlyList<StoredCheckpoint> found = await new CheckpointCatalog(store).ListAsync(cancellation);
        return found.Count > 0 ? found[^1].Name : throw new ToolException($"no checkpoint in {folder}");
    }

    private static string? Checked(string? name)
    {
        try
        {
            if (name is not null)
            {
                CheckpointCatalog.CheckName(name);
            }

            return name;
        }
        catch (ArgumentException fault)
        {
            throw new ToolException(fault.Message.Split(" (Parameter")[0], fault);
        }
    }

    private static Option<string[]?> Cluster()
    {
        Option<string[]?> cluster = CheckedOption.Addresses(
            "--cluster", $"Addresses of the cluster, one or more; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers.");
        cluster.Required = true;
        return cluster;
    }

    private static Option<string> Folder() => CheckedOption.RequiredText("--dir", "The folder of the checkpoints.", "DIR");

    private static Option<string?> Name() => CheckedOption.Text("--name", "The checkpoint's name. Default: the last one.", "NAME");
}
