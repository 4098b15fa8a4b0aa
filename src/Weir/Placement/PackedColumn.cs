using Weir.Keys;
using Weir.World;

namespace Weir.Placement;

/// <summary>
/// A column of the map: one number for each segment, in the shortest of three forms. Chains drawn at random leave nothing to save beyond
/// a number's range; epochs are few different ones; and most of what is told of members is the same for nearly all. Every form takes at least a
/// bit for each number, so that no short frame makes its reader allocate more than 64 times its length. The same numbers always give the same bytes.
/// Numbers lie less than 2^56 apart. Layout in docs/protocol.md. Pure functions.
/// </summary>
internal static class PackedColumn
{
    private const int MostBits = PackedBits.MaxBits;
    private const int RangedHeadBytes = sizeof(ulong) + 1;

    private enum Form : byte
    {
        /// <summary>What each number lies above the lowest.</summary>
        Ranged = 0,

        /// <summary>The different numbers, rising, and for each its index among them.</summary>
        Listed = 1,

        /// <summary>The number that most have, a bit for each that has another, and a column of those others.</summary>
        Usual = 2,
    }

    /// <summary>The bytes of the numbers in their shortest form.</summary>
    public static byte[] Encode(ReadOnlySpan<ulong> numbers)
    {
        (ulong[] different, int[] counts) = Count(numbers);
        byte[] whole = RangedOrListed(numbers, different);
        if (different.Length < 2)
        {
            return whole;
        }

        // Of equally many the lowest.
        int most = counts.IndexOf(counts.Max());
        int others = numbers.Length - counts[most];
        if (1 + sizeof(ulong) + PackedBits.Bytes(numbers.Length, 1) + PackedBits.Bytes(others, 1) >= whole.Length)
        {
            return whole;
        }

        byte[] apart = Usual(numbers, different[most], others, [.. different[..most], .. different[(most + 1)..]]);
        return apart.Length < whole.Length ? apart : whole;
    }

    /// <summary>Reads foreign bytes; null where they make no sense or hold less.</summary>
    /// <param name="reader">Stands behind the column afterwards.</param>
    /// <param name="count">How many numbers there are.</param>
    public static ulong[]? Read(ref ByteReader reader, int count)
    {
        var form = (Form)reader.Byte();
        if (form != Form.Usual)
        {
            return ReadRangedOrListed(ref reader, form, count);
        }

        ulong usual = reader.UInt64();
        ReadOnlySpan<byte> marks = reader.Take(PackedBits.Bytes(count, 1));
        int others = 0;
        for (int i = 0; i < count && !reader.Failed; i++)
        {
            others += (int)PackedBits.At(marks, 1, i);
        }

        if (ReadRangedOrListed(ref reader, (Form)reader.Byte(), others) is not { } rest)
        {
            return null;
        }

        var numbers = new ulong[count];
        for (int i = 0, next = 0; i < count; i++)
        {
            numbers[i] = PackedBits.At(marks, 1, i) == 0 ? usual : rest[next++];
        }

        return numbers;
    }

    /// <summary>The different numbers, rising, and how many have each.</summary>
    private static (ulong[] Different, int[] Counts) Count(ReadOnlySpan<ulong> numbers)
    {
        ulong[] sorted = numbers.ToArray();
        ulong lowest = ulong.MaxValue, highest = 0;
        foreach (ulong number in sorted)
        {
            (lowest, highest) = (Math.Min(lowest, number), Math.Max(highest, number));
        }

        Invariant.That(sorted.Length == 0 || PackedBits.BitsOf(highest - lowest) <= MostBits, "the numbers of a column lie less than 2^56 apart");
        if (highest > lowest && highest - lowest < (ulong)sorted.Length)
        {
            return CountInRange(sorted, lowest, highest);
        }

        Array.Sort(sorted);
        List<ulong> different = [];
        List<int> counts = [];
        for (int i = 0; i < sorted.Length; i++)
        {
            if (i == 0 || sorted[i] != sorted[i - 1])
            {
                different.Add(sorted[i]);
                counts.Add(0);
            }

            counts[^1]++;
        }

        return ([.. different], [.. counts]);
    }

    /// <summary>The same without sorting: the range has no more numbers than the column.</summary>
    private static (ulong[] Different, int[] Counts) CountInRange(ulong[] numbers, ulong lowest, ulong highest)
    {
        var counts = new int[highest - lowest + 1];
        foreach (ulong number in numbers)
        {
            counts[number - lowest]++;
        }

        ulong[] different = [.. Enumerable.Range(0, counts.Length).Where(i => counts[i] > 0).Select(i => lowest + (ulong)i)];
        return (different, Array.FindAll(counts, c => c > 0));
    }

    private static byte[] Usual(ReadOnlySpan<ulong> numbers, ulong usual, int others, ulong[] different)
    {
        var marks = new ulong[numbers.Length];
        var rest = new ulong[others];
        int next = 0;
        for (int i = 0; i < numbers.Length; i++)
        {
            if (numbers[i] != usual)
            {
                marks[i] = 1;
                rest[next++] = numbers[i];
            }
        }

        byte[] behind = RangedOrListed(rest, different);
        int markBytes = PackedBits.Bytes(marks.Length, 1);
        byte[] bytes = new byte[1 + sizeof(ulong) + markBytes + behind.Length];
        var writer = new ByteWriter(bytes);
        writer.Byte((byte)Form.Usual);
        writer.UInt64(usual);
        PackedBits.Pack(marks, 1, writer.Take(markBytes));
        writer.Raw(behind);
        return bytes;
    }

    private static byte[] RangedOrListed(ReadOnlySpan<ulong> numbers, ulong[] different)
    {
        int indexBits = BitsOf((ulong)Math.Max(0, different.Length - 1));
        var gaps = new ulong[Math.Max(0, different.Length - 1)];
        for (int i = 0; i < gaps.Length; i++)
        {
            gaps[i] = different[i + 1] - different[i] - 1;
        }

        int ranged = 1 + RangedBytes(numbers.Length, different);
        int listed = 1 + sizeof(uint) + sizeof(ulong) + 1 + PackedBits.Bytes(gaps.Length, BitsOf(Highest(gaps))) + 1 + PackedBits.Bytes(numbers.Length, indexBits);
        byte[] bytes = new byte[Math.Min(ranged, listed)];
        var writer = new ByteWriter(bytes);
        if (ranged <= listed)
        {
            writer.Byte((byte)Form.Ranged);
            WriteRanged(ref writer, numbers, different);
            return bytes;
        }

        writer.Byte((byte)Form.Listed);
        writer.Int32(different.Length);
        writer.UInt64(different[0]);
        WritePacked(ref writer, gaps, BitsOf(Highest(gaps)));
        var indexes = new ulong[numbers.Length];
        for (int i = 0; i < indexes.Length; i++)
        {
            indexes[i] = (ulong)Array.BinarySearch(different, numbers[i]);
        }

        WritePacked(ref writer, indexes, indexBits);
        return bytes;
    }

    private static int RangedBytes(int count, ulong[] different) =>
        RangedHeadBytes + PackedBits.Bytes(count, BitsOf(different.Length == 0 ? 0 : different[^1] - different[0]));

    private static void WriteRanged(ref ByteWriter writer, ReadOnlySpan<ulong> numbers, ulong[] different)
    {
        ulong lowest = different.Length == 0 ? 0 : different[0];
        var above = new ulong[numbers.Length];
        for (int i = 0; i < above.Length; i++)
        {
            above[i] = numbers[i] - lowest;
        }

        writer.UInt64(lowest);
        WritePacked(ref writer, above, BitsOf(different.Length == 0 ? 0 : different[^1] - lowest));
    }

    private static void WritePacked(ref ByteWriter writer, ulong[] numbers, int bits)
    {
        writer.Byte((byte)bits);
        PackedBits.Pack(numbers, bits, writer.Take(PackedBits.Bytes(numbers.Length, bits)));
    }

    private static ulong[]? ReadRangedOrListed(ref ByteReader reader, Form form, int count) => form switch
    {
        Form.Ranged => ReadRanged(ref reader, count),
        Form.Listed => ReadListed(ref reader, count),
        _ => null,
    };

    private static ulong[]? ReadRanged(ref ByteReader reader, int count)
    {
        ulong lowest = reader.UInt64();
        ulong[]? numbers = ReadPacked(ref reader, count);
        for (int i = 0; i < numbers?.Length; i++)
        {
            if (numbers[i] > ulong.MaxValue - lowest)
            {
                return null;
            }

            numbers[i] += lowest;
        }

        return numbers;
    }

    private static ulong[]? ReadListed(ref ByteReader reader, int count)
    {
        uint different = reader.UInt32();
        ulong next = reader.UInt64();
        if (different is 0 || different > count || ReadPacked(ref reader, (int)different - 1) is not { } gaps || ReadPacked(ref reader, count) is not { } numbers)
        {
            return null;
        }

        var list = new ulong[different];
        for (int i = 0; i < list.Length; i++)
        {
            ulong gap = i == 0 ? 0 : gaps[i - 1] + 1;
            if (gap > ulong.MaxValue - next)
            {
                return null;
            }

            next += gap;
            list[i] = next;
        }

        foreach (ref ulong number in numbers.AsSpan())
        {
            if (number >= different)
            {
                return null;
            }

            number = list[number];
        }

        return numbers;
    }

    private static ulong[]? ReadPacked(ref ByteReader reader, int count)
    {
        int bits = reader.Byte();
        if (bits is < 1 or > MostBits)
        {
            return null;
        }

        // Taken before anything is allocated: what is not there costs nothing.
        ReadOnlySpan<byte> packed = reader.Take(PackedBits.Bytes(count, bits));
        if (reader.Failed)
        {
            return null;
        }

        var numbers = new ulong[count];
        PackedBits.Unpack(packed, bits, numbers);
        return numbers;
    }

    private static ulong Highest(ulong[] numbers) => numbers.Length == 0 ? 0 : numbers.Max();

    private static int BitsOf(ulong highest) => Math.Max(1, PackedBits.BitsOf(highest));
}
