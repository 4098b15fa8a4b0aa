using System.CommandLine;
using System.Globalization;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Keys;

namespace Weir.Cli.Commands;

/// <summary><c>weir namespace</c>: what a namespace has, and how much memory its rows may take.</summary>
internal static class NamespaceCommand
{
    /// <summary>A megabyte of a quota, in bytes.</summary>
    public const long BytesOfMegabyte = 1_000_000;

    private const long MostMegabytes = 1_000_000_000;

    public static Command Create(ToolConsole console)
    {
        var name = new Argument<string>("name")
        {
            Description = "The namespace; \"\" for the default one. Nothing needs to be in it yet.",
            HelpName = "NAME",
            CustomParser = result =>
            {
                string text = result.Tokens[0].Value;
                if (QualifiedName.NamespaceFault(text) is { } fault)
                {
                    result.AddError(fault);
                }

                return text;
            },
        };
        Option<string[]?> cluster = AddCommand.ClusterOption();
        Option<long?> quota = CheckedOption.WholeOrNone(
            "--quota-mb",
            "The rows of all its tables may take so many megabytes of 1,000,000 bytes: each row its values, the update rule's state and 12 bytes for its key, once however many replicas there are. "
            + "Pushes that need new rows beyond that wait until there is room. Default: left as it is; where none was ever set there is no quota.",
            1, MostMegabytes);
        var none = new Option<bool>("--no-quota") { Description = "Its rows may take what memory the servers have." };
        var command = new Command("namespace", "Says how much memory the rows of a namespace may take, and shows what they take. Jobs use a namespace with `weir train --namespace`.")
        {
            name, cluster, quota, none,
        };
        command.Validators.Add(result =>
        {
            if (result.IsGiven(quota) && result.IsGiven(none))
            {
                result.AddError("--quota-mb and --no-quota contradict each other");
            }
        });
        command.SetAction((parsed, cancellation) => RunAsync(console, parsed.GetValue(name)!, parsed.GetValue(cluster)!, parsed.GetValue(quota), parsed.GetValue(none), cancellation));
        return command;
    }

    private static async Task<int> RunAsync(ToolConsole console, string name, string[] addresses, long? megabytes, bool takesAway, CancellationToken cancellation)
    {
        await using WeirClient client = await ClusterConnection.OpenAsync(addresses, Filters.None, null, cancellation);
        if (megabytes is not null || takesAway)
        {
            await client.SetNamespaceQuotaAsync(name, megabytes * BytesOfMegabyte, cancellation);
        }

        ClusterStatus status = await client.GetStatusAsync(cancellation);
        NamespaceStatus found = status.Namespaces.FirstOrDefault(n => n.Name == name) ?? new NamespaceStatus(name, 0, 0, 0, 0, 0, null);
        string quota = found.QuotaBytes is { } bytes ? $"of {Megabytes(bytes)} MB" : "without a quota";
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{QualifiedName.Describe(name)}: {found.Tables} tables, {found.Jobs} jobs, {found.Rows:N0} rows, {Megabytes(found.Bytes)} MB {quota}"));
        return ExitCode.Done;
    }

    /// <summary>Bytes as megabytes, for people.</summary>
    public static string Megabytes(long bytes) => ((double)bytes / BytesOfMegabyte).ToString("#,0.###", CultureInfo.InvariantCulture);
}
