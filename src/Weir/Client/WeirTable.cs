using Weir.Keys;
using Weir.Placement;

namespace Weir.Client;

/// <summary>A table that a client has opened: its shape. Immutable and safe to share among threads.</summary>
public sealed class WeirTable
{
    internal WeirTable(MapTable table)
    {
        Id = table.Id;
        Name = QualifiedName.Parse(table.Name).Name;
        Width = table.Width;
        InitialValue = table.InitialValue;
        Aggregate = table.Aggregate;
        IsCommitted = table.IsCommitted;
        Group = table.Group;
    }

    /// <summary>The table's number in the map.</summary>
    internal uint Id { get; }

    internal uint Group { get; }

    /// <summary>The name it was declared by, in its client's namespace.</summary>
    public string Name { get; }

    /// <summary>Floats a row.</summary>
    public int Width { get; }

    /// <summary>What an absent row reads as.</summary>
    public float InitialValue { get; }

    /// <summary>Whether the workers' pushes of an iteration are summed and applied once.</summary>
    public bool Aggregate { get; }

    /// <summary>Whether pulls see acknowledged pushes alone; see <see cref="TableOptions.Committed"/>.</summary>
    public bool IsCommitted { get; }
}
