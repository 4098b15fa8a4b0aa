using System.CommandLine;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir workers add</c> and <c>weir workers remove</c>: workers join and leave a running job.</summary>
internal static class WorkersCommand
{
    private const long MostIterations = 1_000_000_000_000;

    public static Command Create(ToolConsole console) => new("workers", "Lets workers join a running job, or leave it, while it goes on.")
    {
        Add(console),
        Remove(console),
    };

    private static Command Add(ToolConsole console)
    {
        (Option<string[]?> cluster, Option<string> @namespace, Option<string?> job) = Common();
        Option<long> count = CheckedOption.Whole("--count", "How many. Default 1.", 1, 1, 1000);
        Option<long> from = CheckedOption.Whole(
            "--from", "The first iteration that they may take part in; the job's hosts may agree on a later one. Default 1: as soon as they agree.", 1, 1, MostIterations, "T");
        var command = new Command(
            "add", "Adds workers to a running job. `weir train` divides the rows that are left of the pass anew; with --processes it starts a process for each.")
        {
            cluster, @namespace, job, count, from,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation, parsed.GetValue(@namespace)!);
            Job found = await client.FindJobAsync(parsed.GetValue(job), cancellation);
            JoinedWorkers joined = await client.AddWorkersAsync(found, (int)parsed.GetValue(count), parsed.GetValue(from), cancellation);
            string who = joined.Count == 1 ? $"worker {joined.FirstWorker} joins" : $"workers {joined.FirstWorker} to {joined.FirstWorker + joined.Count - 1} join";
            console.Say($"{who} from iteration {joined.FirstIteration} on");
            return ExitCode.Done;
        });
        return command;
    }

    private static Command Remove(ToolConsole console)
    {
        (Option<string[]?> cluster, Option<string> @namespace, Option<string?> job) = Common();
        Option<long?> worker = CheckedOption.WholeOrNone("--worker", "The worker's index, as `weir status` shows it.", 0, 1_000_000, "W");
        worker.Required = true;
        Option<long> through = CheckedOption.Whole(
            "--through", "The first iteration that may be its last; the job's hosts may agree on a later one. Default 1: as soon as they agree.", 1, 1, MostIterations, "T");
        var command = new Command("remove", "Takes a worker out of a running job. Its last iteration is finished, and the others go through its share of the rows from then on.")
        {
            cluster, @namespace, job, worker, through,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation, parsed.GetValue(@namespace)!);
            Job found = await client.FindJobAsync(parsed.GetValue(job), cancellation);
            int index = (int)parsed.GetValue(worker)!;
            long last = await client.RemoveWorkerAsync(found, index, parsed.GetValue(through), cancellation);
            console.Say($"worker {index} leaves after iteration {last}");
            return ExitCode.Done;
        });
        return command;
    }

    private static (Option<string[]?> Cluster, Option<string> Namespace, Option<string?> Job) Common()
    {
        Option<string[]?> cluster = CheckedOption.Addresses(
            "--cluster", $"Addresses of the cluster, one or more; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers.");
        cluster.Required = true;
        return (
            cluster, CheckedOption.Namespace("The namespace of the job."), CheckedOption.Text("--job", "The job's name, as `weir status` shows it. Default: the only job that runs in the namespace.", "NAME"));
    }
}
