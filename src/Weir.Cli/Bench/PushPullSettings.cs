using Weir.Cli.Processes;
using Weir.Client;
using Weir.Keys;

namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench push-pull</c> measures.</summary>
internal sealed record PushPullSettings
{
    /// <summary>Rows of the table.</summary>
    public required int Keys { get; init; }

    /// <summary>Floats a row.</summary>
    public required int Width { get; init; }

    /// <summary>The name of the table's update rule, for people.</summary>
    public required string RuleName { get; init; }

    /// <summary>The table's update rule.</summary>
    public required UpdateRule Rule { get; init; }

    /// <summary>Keys of a request, at most <see cref="Keys"/>.</summary>
    public required int RequestKeys { get; init; }

    /// <summary>Requests under way at a time.</summary>
    public required int Window { get; init; }

    /// <summary>The filters of the requests.</summary>
    public required Filters Filters { get; init; }

    /// <summary>What kind of sockets the two processes talk over.</summary>
    public required Transport Transport { get; init; }

    /// <summary>How many servers hold each segment beside the one that leads it; there is one server more than that.</summary>
    public int Replicas { get; init; }

    /// <summary>Slices of the key space, as a power of two.</summary>
    public required int SegmentBits { get; init; }

    /// <summary>Seconds for each kind of request, all rounds together.</summary>
    public required double Seconds { get; init; }

    /// <summary>Floats of a request.</summary>
    public int RequestFloats => RequestKeys * Width;

    /// <summary>Value bytes of a request, in one direction.</summary>
    public long RequestBytes => (long)RequestFloats * sizeof(float);
}
