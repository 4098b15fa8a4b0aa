using Weir.Keys;
using Weir.Placement;

namespace Weir.Client;

/// <summary>A table that a client has opened: its shape. Immutable and safe to share among threads.</summary>
public sealed class WeirTable
{
    internal WeirTable(MapTable table, Filters? filters = null)
    {
        Id = table.Id;
        Name = QualifiedName.Parse(table.Name).Name;
        Width = table.Width;
        Rule = table.Rule;
        InitialValue = table.InitialValue;
        Aggregate = table.Aggregate;
        IsCommitted = table.IsCommitted;
        Group = table.Group;
        Filters = filters;
    }

    /// <summary>The table's number in the map.</summary>
    internal uint Id { get; }

    internal uint Group { get; }

    /// <summary>What a push does to a row.</summary>
    internal UpdateRule Rule { get; }

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

    /// <summary>What makes requests for it by this handle, and their answers, shorter; null for the filters of the client that uses it. See <see cref="TableOptions.Filters"/>.</summary>
    public Filters? Filters { get; }
}
