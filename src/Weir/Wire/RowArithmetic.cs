using Weir.Keys;

namespace Weir.Wire;

/// <summary>What becomes of an element y of a row where another table's row of the same key has x (BLAS level 1, papers PS-1).</summary>
internal enum ArithmeticKind : byte
{
    /// <summary>y = own y + factor x.</summary>
    Linear = 0,

    /// <summary>y = y x.</summary>
    Multiply = 1,

    /// <summary>y = factor.</summary>
    Fill = 2,
}

/// <summary>What a part of the operation Arithmetic does to its rows: 24 bytes in place of values. The segment of a key is the same in all tables, so both rows lie at one server.</summary>
/// <param name="Kind">The arithmetic.</param>
/// <param name="Source">The table that x is of, of the same width; the part's own where there is no x.</param>
/// <param name="Factor">Finite.</param>
/// <param name="Own">Finite.</param>
/// <param name="FirstColumn">The first element of each row that changes.</param>
/// <param name="Columns">How many change, at least 1.</param>
internal readonly record struct RowArithmetic(ArithmeticKind Kind, uint Source, float Factor, float Own, int FirstColumn, int Columns)
{
    public const int Size = 24;

    /// <summary>Whether the rows of the source are read.</summary>
    public bool ReadsSource => Kind == ArithmeticKind.Multiply || (Kind == ArithmeticKind.Linear && Factor != 0);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Kind);
        writer.UInt32(Source);
        writer.Single(Factor);
        writer.Single(Own);
        writer.Int32(FirstColumn);
        writer.Int32(Columns);
    }

    public byte[] ToBytes()
    {
        byte[] bytes = new byte[Size];
        var writer = new ByteWriter(bytes);
        Write(ref writer);
        return bytes;
    }

    /// <summary>Reads foreign bytes; false where they make no sense for rows of that width.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, int width, out RowArithmetic arithmetic)
    {
        var reader = new ByteReader(bytes);
        uint kind = reader.UInt32();
        arithmetic = new RowArithmetic((ArithmeticKind)kind, reader.UInt32(), reader.Single(), reader.Single(), reader.Int32(), reader.Int32());
        return reader.AtEnd && kind <= (uint)ArithmeticKind.Fill && float.IsFinite(arithmetic.Factor) && float.IsFinite(arithmetic.Own)
            && RowReduction.AreColumns(arithmetic.FirstColumn, arithmetic.Columns, width);
    }
}

/// <summary>What is made of the elements of the rows that an item of a pull names.</summary>
internal enum ReductionKind : byte
{
    /// <summary>Nothing: the rows themselves are wanted.</summary>
    None = 0,
    Sum = 1,
    SumOfMagnitudes = 2,
    SumOfSquares = 3,
    Maximum = 4,

    /// <summary>The largest magnitude.</summary>
    MaximumMagnitude = 5,

    /// <summary>The sum of the products with the elements of another table's rows of the same keys.</summary>
    Dot = 6,
}

/// <summary>One number in place of an item's rows: 16 bytes behind the item's head. It is answered in double precision.</summary>
/// <param name="Kind">What is made of the elements.</param>
/// <param name="Other">The other table of <see cref="ReductionKind.Dot"/>, of the same width; else the item's own.</param>
/// <param name="FirstColumn">The first element of each row that counts.</param>
/// <param name="Columns">How many count, at least 1.</param>
internal readonly record struct RowReduction(ReductionKind Kind, uint Other, int FirstColumn, int Columns)
{
    public const int Size = 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Kind);
        writer.UInt32(Other);
        writer.Int32(FirstColumn);
        writer.Int32(Columns);
    }

    public static RowReduction Read(ref ByteReader reader)
    {
        uint kind = reader.UInt32();
        if (kind is (uint)ReductionKind.None or > (uint)ReductionKind.Dot)
        {
            reader.Fail();
        }

        return new RowReduction((ReductionKind)kind, reader.UInt32(), reader.Int32(), reader.Int32());
    }

    /// <summary>What answers over no element at all, and joins any other answer without changing it.</summary>
    public double Nothing => Kind == ReductionKind.Maximum ? double.NegativeInfinity : 0;

    /// <summary>The answer over both parts of what two answers are over.</summary>
    public double Join(double one, double other) => Kind is ReductionKind.Maximum or ReductionKind.MaximumMagnitude ? Math.Max(one, other) : one + other;

    /// <summary>Whether these are columns of a row of that width, and not none.</summary>
    public static bool AreColumns(int first, int columns, int width) => first >= 0 && columns > 0 && first <= width - columns;
}
