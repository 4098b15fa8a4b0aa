using System.CommandLine;
using System.CommandLine.Invocation;

namespace Weir.Cli;

/// <summary>What is wrong with a command line, a line for each fault.</summary>
internal static class UsageFaults
{
    private const string NotMatched = "' was not matched.";

    public static IEnumerable<string> Describe(ParseResult parsed, ParseErrorAction action)
    {
        string help = $"{string.Join(' ', Path(parsed.CommandResult.Command))} --help";
        List<(string Word, string Near)> corrections = Corrections(parsed, action);
        foreach (string word in parsed.UnmatchedTokens.Where(word => word.StartsWith("--", StringComparison.Ordinal) && word.Contains('=', StringComparison.Ordinal)))
        {
            // The parser compares the word with its value; without it there is something near.
            ParseResult alone = parsed.CommandResult.Command.Parse([word[..word.IndexOf('=', StringComparison.Ordinal)]]);
            corrections.AddRange(alone.Action is ParseErrorAction other ? Corrections(alone, other) : []);
        }

        if (corrections.Exists(correction => correction.Word.StartsWith('-')))
        {
            // The value of a mistyped option does not match either, and is no fault of its own.
            corrections.RemoveAll(correction => !correction.Word.StartsWith('-'));
        }

        bool hasCorrection = corrections.Count > 0;
        IEnumerable<string> others = parsed.Errors
            .Select(error => error.Message.TrimEnd('.'))
            .Where(fault => !hasCorrection || !(fault.Contains("command was not provided", StringComparison.Ordinal)
                || parsed.UnmatchedTokens.Any(token => fault.Contains($"'{token}'", StringComparison.Ordinal))))
            .Distinct();
        return [.. corrections.Select(c => $"'{c.Word}' is not known; did you mean {c.Near}? See {help}"), .. others.Select(fault => $"{fault}; see {help}")];
    }

    /// <summary>The corrections that the parser proposes: blocks of a line with the word and a line for each proposal.</summary>
    private static List<(string Word, string Near)> Corrections(ParseResult parsed, ParseErrorAction action)
    {
        action.ShowHelp = false;
        action.ShowTypoCorrections = true;
        using var text = new StringWriter { NewLine = "\n" };
        using var ignored = new StringWriter();
        parsed.InvocationConfiguration.Output = text;
        parsed.InvocationConfiguration.Error = ignored;
        action.Invoke(parsed);
        var corrections = new List<(string Word, List<string> Near)>();
        foreach (string line in text.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int end = line.IndexOf(NotMatched, StringComparison.Ordinal);
            if (end > 0)
            {
                corrections.Add((line[1..end], []));
            }
            else if (corrections.Count > 0)
            {
                corrections[^1].Near.Add(line);
            }
        }

        return [.. corrections.Select(correction => (correction.Word, string.Join(" or ", correction.Near)))];
    }

    private static IEnumerable<string> Path(Command command)
    {
        Command? parent = command.Parents.OfType<Command>().FirstOrDefault();
        return parent is null ? [command.Name] : [.. Path(parent), command.Name];
    }
}
