namespace Weir.Keys;

/// <summary>
/// The vector or matrix whose blocks a table's rows are: element (row, column) stands in the table's row of key row * blocks + column / width, where blocks is
/// columns / width, rounded up. A vector has one row.
/// </summary>
/// <param name="Rows">At least 1; 0 for a table of rows alone.</param>
/// <param name="Columns">At least 1.</param>
internal readonly record struct TableDimensions(ulong Rows, ulong Columns)
{
    public const int EncodedBytes = 16;

    public bool IsNone => Rows == 0;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Rows);
        writer.UInt64(Columns);
    }

    /// <summary>Reads foreign bytes; the reader has failed where they make no sense.</summary>
    public static TableDimensions Read(ref ByteReader reader)
    {
        var dimensions = new TableDimensions(reader.UInt64(), reader.UInt64());
        if (dimensions.Rows == 0 || dimensions.Columns == 0)
        {
            reader.Fail();
        }

        return dimensions;
    }

    /// <summary>As the beginning of a list, for people; empty for none.</summary>
    public override string ToString() => IsNone ? "" : Rows == 1 ? $"a vector of {Columns} elements, " : $"a matrix of {Rows} by {Columns} elements, ";
}
