namespace Weir.Keys;

/// <summary>
/// What a table's rows are together; its rule says which. The vector or matrix whose blocks they are: element (row, column) stands in the table's row of key row * blocks + column / width, where blocks is
/// columns / width, rounded up; a vector has one row. With the rule Count a sketch of so many rows with so many counters of each item, with Union a set of so many blocks with so many bits of each item.
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
    public string Describe(UpdateRule rule) => IsNone ? "" : rule.Kind switch
    {
        UpdateRuleKind.Count => $"a sketch of {Rows} rows with {Columns} counters an item, ",
        UpdateRuleKind.Union => $"a set of {Rows} blocks with {Columns} bits an item, ",
        _ => Rows == 1 ? $"a vector of {Columns} elements, " : $"a matrix of {Rows} by {Columns} elements, ",
    };
}
