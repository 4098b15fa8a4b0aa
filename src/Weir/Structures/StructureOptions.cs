using Weir.Client;
using Weir.Keys;

namespace Weir.Structures;

/// <summary>What a structure of any kind declares. The same declaration again gives the same structure; another under the same name is refused.</summary>
/// <param name="Name">1 to 256 bytes of UTF-8, which are those of its table too.</param>
public abstract record StructureOptions(string Name)
{
    /// <summary>As <see cref="TableOptions.Durable"/>.</summary>
    public bool Durable { get; init; }

    /// <summary>As <see cref="TableOptions.Committed"/>. The highest of a ranking are those of the first server in either case.</summary>
    public bool Committed { get; init; }

    /// <summary>The job by whose clocks rows expire; null, the default, where none do.</summary>
    public Job? Job { get; init; }

    /// <summary>
    /// As <see cref="TableOptions.ExpireAfterClocks"/>; needs <see cref="Job"/>. What expires is a row: a counter, a member of a ranking, of a set or a sketch all items that share a row to which nothing was
    /// added for so long. A set then has forgotten these, and a sketch counts them anew.
    /// </summary>
    public int? ExpireAfterClocks { get; init; }

    internal Task<WeirTable> OpenTableAsync(WeirClient client, int width, UpdateRule rule, TableDimensions dimensions, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(client);
        var table = new TableOptions { Name = Name, Width = width, Rule = rule, Dimensions = dimensions, Durable = Durable, Committed = Committed, Job = Job, ExpireAfterClocks = ExpireAfterClocks };
        return client.OpenTableAsync(table, cancellation);
    }
}

/// <summary>Declares counters.</summary>
/// <param name="Name">As of any structure.</param>
public sealed record CounterOptions(string Name) : StructureOptions(Name);

/// <summary>Declares a ranking.</summary>
/// <param name="Name">As of any structure.</param>
public sealed record RankingOptions(string Name) : StructureOptions(Name);

/// <summary>Declares a set, which has as many blocks as these numbers need: it does not grow, and where more items are added its false positives become more.</summary>
/// <param name="Name">As of any structure.</param>
/// <param name="ExpectedItems">How many distinct items it is made for, 1 to 10^12.</param>
public sealed record SetOptions(string Name, long ExpectedItems) : StructureOptions(Name)
{
    /// <summary>The part of items never added that it takes for members, at most, once it has the expected items: 0.000001 to 0.5. Default 0.01, for which it takes about 10.5 bits an item.</summary>
    public double FalsePositiveRate { get; init; } = 0.01;
}

/// <summary>Declares a sketch, whose estimates are at most <see cref="Epsilon"/> of all counts too large, but for a part <see cref="Delta"/> of items.</summary>
/// <param name="Name">As of any structure.</param>
public sealed record SketchOptions(string Name) : StructureOptions(Name)
{
    /// <summary>How much too large an estimate may be, as a part of the sum of all counts: 0.000000001 to 0.5. Default 0.0001. Memory grows as its inverse.</summary>
    public double Epsilon { get; init; } = 0.0001;

    /// <summary>With which chance the estimate of an item may be larger yet: 0.000000001 to 0.5. Default 0.01.</summary>
    public double Delta { get; init; } = 0.01;
}
