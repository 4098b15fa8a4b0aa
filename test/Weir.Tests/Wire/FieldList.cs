using System.Globalization;
using System.Text;

namespace Weir.Tests.Wire;

/// <summary>The fields of a frame in the order of its bytes, each with its size and its value as docs/protocol.md writes them.</summary>
internal sealed class FieldList
{
    private const int BytesALine = 16;
    private const int HexColumns = (3 * BytesALine) + 1;

    private readonly List<(int Bytes, string Text)> _fields = [];

    public int Bytes => _fields.Sum(f => f.Bytes);

    public void Add(int bytes, string name, object value)
    {
        string text = value is IFormattable number ? number.ToString(null, CultureInfo.InvariantCulture) : value.ToString()!;
        _fields.Add((bytes, $"{name} {text}"));
    }

    public void Number(int bytes, string name, ulong value) => _fields.Add((bytes, $"{name} {value}"));

    public void Hex(int bytes, string name, ulong value) => _fields.Add((bytes, $"{name} 0x{value.ToString($"X{bytes * 2}", CultureInfo.InvariantCulture)}"));

    public void Text(string name, string value)
    {
        _fields.Add((2, $"{name}Bytes {Encoding.UTF8.GetByteCount(value)}"));
        if (value.Length > 0)
        {
            _fields.Add((Encoding.UTF8.GetByteCount(value), $"{name} \"{value}\""));
        }
    }

    public void Padding(int bytes)
    {
        if (bytes > 0)
        {
            _fields.Add((bytes, "padding"));
        }
    }

    /// <summary>Zero bytes that readers pass over.</summary>
    public void Unused(int bytes) => _fields.Add((bytes, "0"));

    /// <summary>
    /// The bytes in lines of at most 16 with the fields that begin in each: a field is not broken over lines unless it is longer than one,
    /// and lines that repeat the one above are counted instead.
    /// </summary>
    public string Render(ReadOnlySpan<byte> bytes)
    {
        Assert.Equal(Bytes, bytes.Length);
        List<(byte[] Bytes, string Text)> lines = [];
        int at = 0;
        List<byte> line = [];
        List<string> texts = [];
        foreach ((int size, string text) in _fields)
        {
            if (line.Count > 0 && line.Count + size > BytesALine)
            {
                lines.Add(([.. line], string.Join(", ", texts)));
                line.Clear();
                texts.Clear();
            }

            texts.Add(text);
            foreach (byte value in bytes.Slice(at, size))
            {
                if (line.Count == BytesALine)
                {
                    lines.Add(([.. line], string.Join(", ", texts)));
                    line.Clear();
                    texts.Clear();
                }

                line.Add(value);
            }

            at += size;
        }

        lines.Add(([.. line], string.Join(", ", texts)));
        return Write(lines);
    }

    /// <summary>The bytes that a block of such lines stands for.</summary>
    public static byte[] Parse(string block)
    {
        List<byte> bytes = [];
        byte[] last = [];
        foreach (string line in block.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (line.StartsWith('*'))
            {
                for (int i = int.Parse(line[1..].Trim().Split(' ')[0], CultureInfo.InvariantCulture); i > 0; i--)
                {
                    bytes.AddRange(last);
                }

                continue;
            }

            last = Convert.FromHexString(line[..Math.Min(line.Length, HexColumns)].Replace(" ", "", StringComparison.Ordinal));
            bytes.AddRange(last);
        }

        return [.. bytes];
    }

    private static string Write(List<(byte[] Bytes, string Text)> lines)
    {
        StringBuilder block = new();
        for (int i = 0; i < lines.Count; i++)
        {
            int same = 0;
            while (i > 0 && i + same < lines.Count && lines[i + same].Text.Length == 0 && lines[i + same].Bytes.AsSpan().SequenceEqual(lines[i - 1].Bytes))
            {
                same++;
            }

            if (same > 1)
            {
                block.Append(CultureInfo.InvariantCulture, $"* {same} times more\n");
                i += same - 1;
                continue;
            }

            StringBuilder hex = new();
            for (int b = 0; b < lines[i].Bytes.Length; b++)
            {
                hex.Append(b == BytesALine / 2 ? " " : "").Append(lines[i].Bytes[b].ToString("X2", CultureInfo.InvariantCulture)).Append(' ');
            }

            block.Append((hex.ToString().PadRight(HexColumns) + lines[i].Text).TrimEnd()).Append('\n');
        }

        return block.ToString();
    }
}
