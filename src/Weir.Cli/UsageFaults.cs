using System.CommandLine;
using System.CommandLine.Invocation;

namespace Weir.Cli;

/// <summary>What is wrong with a command line, a line for each fault.</summary>
internal static class UsageFaults
{
    public static IEnumerable<string> Describe(ParseResult parsed, ParseErrorAction action)
    {
        List<string> faults = [.. parsed.Errors.Select(error => error.Message).Distinct()];
        string? near = NearOptions(parsed, action);
        if (near is not null && parsed.UnmatchedTokens.Count > 0)
        {
            // Whatever else did not match belonged to the mistyped word.
            faults.RemoveAll(fault => parsed.UnmatchedTokens.Any(token => fault.Contains($"'{token}'", StringComparison.Ordinal)));
            faults.Insert(0, near);
        }

        string command = string.Join(' ', Path(parsed.CommandResult.Command));
        return faults.Select(fault => $"{fault.TrimEnd('.')}; see {command} --help");
    }

    /// <summary>The corrections that the parser proposes, on one line; null where it has none.</summary>
    private static string? NearOptions(ParseResult parsed, ParseErrorAction action)
    {
        action.ShowHelp = false;
        action.ShowTypoCorrections = true;
        using var text = new StringWriter();
        using var ignored = new StringWriter();
        parsed.InvocationConfiguration.Output = text;
        parsed.InvocationConfiguration.Error = ignored;
        action.Invoke(parsed);
        string[] lines = text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return lines.Length < 2 ? null : $"{lines[0].Replace("one of the following?", "", StringComparison.Ordinal)}{string.Join(" or ", lines[1..])}?";
    }

    private static IEnumerable<string> Path(Command command)
    {
        Command? parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? ["weir"] : [.. Path(parent), command.Name];
    }
}
