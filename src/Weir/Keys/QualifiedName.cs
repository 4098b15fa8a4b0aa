using System.Text;

namespace Weir.Keys;

/// <summary>
/// The name of a table, a job or a task's node as the map and requests have it: its namespace, a slash, and the name there (papers PS-6). In the default namespace,
/// whose name is empty, it is the name alone.
/// </summary>
/// <param name="Namespace">The namespace: empty for the default one.</param>
/// <param name="Name">The name there, without a slash.</param>
internal readonly record struct QualifiedName(string Namespace, string Name)
{
    /// <summary>The most characters of a namespace's name.</summary>
    public const int MaxNamespaceLength = 64;

    private const char Separator = '/';

    /// <summary>Takes a text apart at its first slash. Any text has a meaning; whether the parts are in order is to be checked.</summary>
    public static QualifiedName Parse(string text) =>
        text.IndexOf(Separator, StringComparison.Ordinal) is >= 0 and int at ? new QualifiedName(text[..at], text[(at + 1)..]) : new QualifiedName("", text);

    /// <summary>Whether a text may be the name of a namespace other than the default one: people type it in commands, so it looks like no option and needs no quotes.</summary>
    public static bool IsNamespace(string text) =>
        text.Length is > 0 and <= MaxNamespaceLength && char.IsAsciiLetterOrDigit(text[0]) && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_');

    /// <summary>What is wrong with the name of a namespace, the empty one of the default namespace included; null where nothing is.</summary>
    public static string? NamespaceFault(string text) => text.Length == 0 || IsNamespace(text)
        ? null
        : $"a namespace's name has 1 to {MaxNamespaceLength} letters, digits, '.', '-' or '_' and begins with a letter or digit; '{text}' is none";

    /// <summary>What a namespace is called in a sentence.</summary>
    public static string Describe(string @namespace) => @namespace.Length == 0 ? "the default namespace" : $"namespace {@namespace}";

    /// <summary>What is wrong with the name of a table or a job as a request has it; null where nothing is.</summary>
    /// <param name="kind">What is named, for people.</param>
    /// <param name="text">The name, qualified.</param>
    /// <param name="maxNameBytes">The most bytes, in UTF-8, of the name in its namespace.</param>
    public static string? Fault(string kind, string text, int maxNameBytes)
    {
        QualifiedName name = Parse(text);
        return name.Namespace.Length == 0 && text.StartsWith(Separator) ? $"{kind} {text} names no namespace before its slash"
            : NamespaceFault(name.Namespace) is { } fault ? fault
            : name.Name.Length == 0 || Encoding.UTF8.GetByteCount(name.Name) > maxNameBytes ? $"a {kind}'s name has 1 to {maxNameBytes} bytes"
            : name.Name.Contains(Separator, StringComparison.Ordinal) ? NameFault(kind, name.Name)
            : null;
    }

    /// <summary>What is wrong with a name within its namespace, beside its length; null where nothing is.</summary>
    public static string? NameFault(string kind, string name) =>
        name.Contains(Separator, StringComparison.Ordinal) ? $"a {kind}'s name has no '/', which stands between a namespace and a name; '{name}' has one" : null;

    /// <summary>The text that stands in the map.</summary>
    public override string ToString() => Namespace.Length == 0 ? Name : $"{Namespace}{Separator}{Name}";
}
