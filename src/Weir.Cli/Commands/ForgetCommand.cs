using System.CommandLine;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary><c>weir forget</c>: a dead or drained server leaves the map for good.</summary>
internal static class ForgetCommand
{
    public static Command Create(ToolConsole console)
    {
        Argument<string> server = AddCommand.ServerArgument();
        Option<string[]?> cluster = AddCommand.ClusterOption();
        var givesUp = new Option<bool>("--give-up")
        {
            Description = "Accept that segments which no other server has a complete copy of are lost: they begin anew without rows, and training goes on from there.",
        };
        var command = new Command(
            "forget", "Takes a server that is dead or drained out of the cluster for good. Where that would lose segments it refuses and names them, unless --give-up is given.")
        {
            server, cluster, givesUp,
        };
        command.SetAction(async (parsed, cancellation) =>
        {
            await using WeirClient client = await ClusterConnection.OpenAsync(parsed.GetValue(cluster)!, Filters.None, null, cancellation);
            string name = parsed.GetValue(server)!;
            int lost = await client.ForgetServerAsync(name, parsed.GetValue(givesUp), cancellation);
            console.Say(lost == 0 ? $"server {name} is forgotten" : $"server {name} is forgotten, and {lost} segments begin anew without their rows");
            return ExitCode.Done;
        });
        return command;
    }
}
