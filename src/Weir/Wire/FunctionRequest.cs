using System.Runtime.InteropServices;
using System.Text;
using Weir.Keys;

namespace Weir.Wire;

/// <summary>What a part of the operation Function has in place of values: which function, its argument, and the values where the caller gave some. A view of the bytes that it was read from.</summary>
internal readonly ref struct FunctionRequest
{
    /// <summary>The longest name of a function, in bytes of UTF-8.</summary>
    public const int MaxNameBytes = 256;

    /// <summary>The longest argument, in bytes: it travels with every part of a call, of which there is one for each segment at least.</summary>
    public const int MaxArgumentBytes = 16 << 10;

    /// <summary>The name, as UTF-8.</summary>
    public ReadOnlySpan<byte> Name { get; private init; }

    public ReadOnlySpan<byte> Argument { get; private init; }

    /// <summary>The floats of all rows, or none.</summary>
    public ReadOnlySpan<float> Values { get; private init; }

    /// <summary>What stands before the values, in whole multiples of 8 bytes.</summary>
    public static byte[] Head(string name, ReadOnlySpan<byte> argument)
    {
        byte[] utf8 = Encoding.UTF8.GetBytes(name);
        byte[] head = new byte[8 + PartHeader.Pad8(utf8.Length) + PartHeader.Pad8(argument.Length)];
        var writer = new ByteWriter(head);
        writer.Int32(utf8.Length);
        writer.Int32(argument.Length);
        writer.Raw(utf8);
        writer.PadTo8();
        writer.Raw(argument);
        writer.PadTo8();
        return head;
    }

    /// <summary>Reads foreign bytes; false where they make no sense for rows of so many floats.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, long floats, out FunctionRequest request)
    {
        var reader = new ByteReader(bytes);
        int nameBytes = reader.Int32(), argumentBytes = reader.Int32();
        ReadOnlySpan<byte> name = reader.Take(nameBytes);
        reader.SkipPadTo8();
        ReadOnlySpan<byte> argument = reader.Take(argumentBytes);
        reader.SkipPadTo8();
        request = new FunctionRequest { Name = name, Argument = argument, Values = MemoryMarshal.Cast<byte, float>(reader.Take(reader.Left)) };
        return !reader.Failed && nameBytes is > 0 and <= MaxNameBytes && argumentBytes <= MaxArgumentBytes
            && (request.Values.IsEmpty || request.Values.Length == floats) && (bytes.Length & (sizeof(float) - 1)) == 0;
    }
}
