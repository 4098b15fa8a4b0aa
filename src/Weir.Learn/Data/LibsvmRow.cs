using System.Text;

namespace Weir.Learn.Data;

/// <summary>
/// One line of LIBSVM text: <c>label index:value index:value ... # comment</c>, separated by spaces or tabs. Static and hence thread-safe.
/// </summary>
internal static class LibsvmRow
{
    // What a message quotes of the file: enough to find it, not enough to flood a terminal.
    private const int QuotedBytes = 40;

    /// <summary>Whether a line holds a row: not blank and not a comment as a whole.</summary>
    public static bool IsRow(ReadOnlySpan<byte> line)
    {
        int at = SkipBlanks(line, 0);
        return at < line.Length && line[at] != '#';
    }

    /// <summary>Adds a line's row to the batch; the label becomes 0 or 1.</summary>
    /// <returns>The label as written: -1, 0 or 1.</returns>
    /// <exception cref="DataException">The line is malformed; the batch is then of no use.</exception>
    public static int Parse(ReadOnlySpan<byte> line, SparseBatch batch, string file, long lineNumber)
    {
        int at = SkipBlanks(line, 0);
        ReadOnlySpan<byte> first = Token(line, at);
        at += first.Length;
        if (!TryParseLabel(first, out int label))
        {
            throw new DataException(file, lineNumber, $"label {Quote(first)} is none of 0 and 1, -1 and +1");
        }

        // A pair takes at least four bytes: a digit, the colon, a digit, a blank.
        batch.Reserve(((line.Length - at) / 4) + 1);
        while (true)
        {
            int start = SkipBlanks(line, at);
            if (start == line.Length || line[start] == '#')
            {
                break;
            }

            at = start;
            if (NumberText.TryReadUnsigned(line, ref at, out ulong key, out _) && at < line.Length && line[at] == ':')
            {
                ReadOnlySpan<byte> text = Token(line, at + 1);
                if (text.Length > 0 && NumberText.TryParse(text, out float value) && float.IsFinite(value))
                {
                    batch.Append(key, value);
                    at += 1 + text.Length;
                    continue;
                }
            }

            throw new DataException(file, lineNumber, Fault(Token(line, start)));
        }

        batch.EndRow(label > 0 ? 1 : 0);
        return label;
    }

    private static bool TryParseLabel(ReadOnlySpan<byte> token, out int label)
    {
        bool number = NumberText.TryParse(token, out float value);
        label = value > 0 ? 1 : value < 0 ? -1 : 0;
        return number && label == value;
    }

    // The slow way through a token that the fast one refused, to say which part is at fault.
    private static string Fault(ReadOnlySpan<byte> token)
    {
        string quoted = Quote(token);
        int colon = token.IndexOf((byte)':');
        if (colon < 0)
        {
            return $"{quoted} has no colon; expected index:value";
        }

        ReadOnlySpan<byte> index = token[..colon];
        int at = 0;
        bool digits = NumberText.TryReadUnsigned(index, ref at, out _, out bool overflow);
        if (overflow && at == index.Length)
        {
            return $"{quoted} has an index above 18446744073709551615, the largest key; expected index:value";
        }

        if (!digits || at < index.Length)
        {
            return index.Length == 0
                ? $"{quoted} has no index; expected index:value"
                : $"{quoted} has an index that is not a whole number of 0 or above; expected index:value";
        }

        ReadOnlySpan<byte> text = token[(colon + 1)..];
        if (text.Length == 0)
        {
            return $"{quoted} has no value; expected index:value";
        }

        return NumberText.TryParse(text, out _)
            ? $"{quoted} has a value that is not a finite number; expected index:value"
            : $"{quoted} has a value that is not a number; expected index:value";
    }

    private static int SkipBlanks(ReadOnlySpan<byte> line, int at)
    {
        while (at < line.Length && line[at] is (byte)' ' or (byte)'\t')
        {
            at++;
        }

        return at;
    }

    private static ReadOnlySpan<byte> Token(ReadOnlySpan<byte> line, int start)
    {
        int at = start;
        while (at < line.Length && line[at] is not ((byte)' ' or (byte)'\t'))
        {
            at++;
        }

        return line[start..at];
    }

    private static string Quote(ReadOnlySpan<byte> token)
    {
        var text = new StringBuilder("\"");
        foreach (byte character in token[..Math.Min(token.Length, QuotedBytes)])
        {
            // Foreign bytes must not steer a terminal.
            text.Append(character is >= 0x20 and < 0x7f ? (char)character : '?');
        }

        return text.Append(token.Length > QuotedBytes ? "...\"" : "\"").ToString();
    }
}
