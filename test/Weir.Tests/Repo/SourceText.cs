using System.Text;
using System.Text.RegularExpressions;

namespace Weir.Tests.Repo;

/// <summary>One C# file as the rules read it: its code without comments and strings, and the types that it declares.</summary>
internal sealed partial class SourceText
{
    private SourceText(string file, string code)
    {
        File = file;
        Code = code;
        Namespace = NamespaceLine().Match(code) is { Success: true } match ? match.Groups[1].Value : null;
        Types = [.. Declaration().Matches(code).Select(match => (match.Groups["name"].Value, match.Groups["bases"].Value))];
    }

    /// <summary>Relative to the root, with forward slashes.</summary>
    public string File { get; }

    /// <summary>The code; a comment or string is one space.</summary>
    public string Code { get; }

    public string? Namespace { get; }

    /// <summary>Declared types, nested ones too, each with the text of its list of bases.</summary>
    public IReadOnlyList<(string Name, string Bases)> Types { get; }

    /// <summary>The namespace that the folder asks for: src/Weir.Host/Sockets is Weir.Host.Sockets.</summary>
    public string FolderNamespace => string.Join('.', File.Split('/')[1..^1]);

    /// <summary>The folder under src/Weir; null for a file in its root.</summary>
    public string? Room => File.Split('/') is { Length: > 3 } parts ? parts[2] : null;

    public static SourceText Read(string file) => Parse(file, Repository.Text(file));

    public static SourceText Parse(string file, string text) => new(file, WithoutCommentsAndStrings(text));

    private static string WithoutCommentsAndStrings(string text)
    {
        var code = new StringBuilder(text.Length);
        int at = 0;
        while (at < text.Length)
        {
            int end = EndOfToken(text, at);
            if (end > at)
            {
                code.Append(' ');
                at = end;
            }
            else
            {
                code.Append(text[at++]);
            }
        }

        return code.ToString();
    }

    // The end of the comment, string or character that begins here; the same place where none does.
    private static int EndOfToken(string text, int at)
    {
        ReadOnlySpan<char> rest = text.AsSpan(at);
        if (rest.StartsWith("//"))
        {
            return At(text, text.IndexOf('\n', at), 0);
        }

        if (rest.StartsWith("/*"))
        {
            return At(text, text.IndexOf("*/", at + 2, StringComparison.Ordinal), 2);
        }

        if (rest.StartsWith("\"\"\""))
        {
            string quotes = new('"', rest.Length - rest.TrimStart('"').Length);
            return At(text, text.IndexOf(quotes, at + quotes.Length, StringComparison.Ordinal), quotes.Length);
        }

        return text[at] switch
        {
            '"' => EndOfQuoted(text, at, verbatim: at > 0 && (text[at - 1] == '@' || (at > 1 && text[(at - 2)..at] == "@$"))),
            '\'' => EndOfQuoted(text, at, verbatim: false),
            _ => at,
        };
    }

    private static int EndOfQuoted(string text, int at, bool verbatim)
    {
        char quote = text[at];
        for (int next = at + 1; next < text.Length; next++)
        {
            if (text[next] == '\\' && !verbatim)
            {
                next++;
            }
            else if (text[next] == quote)
            {
                if (!verbatim || next + 1 >= text.Length || text[next + 1] != quote)
                {
                    return next + 1;
                }

                next++;
            }
        }

        return text.Length;
    }

    private static int At(string text, int found, int length) => found < 0 ? text.Length : found + length;

    [GeneratedRegex(@"^\s*namespace\s+([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    // A declaration starts a line, after attributes and modifiers; the bases follow the type and primary constructor parameters.
    [GeneratedRegex(@"^[ ]*(?:\[[^\]\n]*\]\s*)*(?:(?:public|internal|private|protected|file|static|sealed|abstract|partial|readonly|ref|unsafe|new)\s+)*(?:class|struct|interface|enum|record(?:\s+(?:class|struct))?)\s+(?<name>[A-Z]\w*)(?:<[^>{;]*>)?\s*(?:\((?>[^()]|\((?<open>)|\)(?<-open>))*\))?\s*(?::(?<bases>[^{;]*))?", RegexOptions.Multiline)]
    private static partial Regex Declaration();
}
