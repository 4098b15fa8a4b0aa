using System.Text.Json;
using System.Text.Json.Serialization;
using Weir.Cli.Training;
using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.ProximalGradient;

namespace Weir.Cli.Processes;

/// <summary>What a process that hosts workers is told, in one line on its standard input; later lines are the pauses lifted so far.</summary>
internal sealed record HostOrder
{
    /// <summary>The cluster's addresses.</summary>
    public required string[] Addresses { get; init; }

    /// <summary>The job's number.</summary>
    public required uint Group { get; init; }

    /// <summary>The table's name.</summary>
    public required string Table { get; init; }

    /// <summary>Where the rows are.</summary>
    public required DataSettings Data { get; init; }

    /// <summary>What the parent's scan counted, so that a child need not scan.</summary>
    public required DataSummary Summary { get; init; }

    /// <summary>The options of learning by mini-batches.</summary>
    public required LogisticOptions Learning { get; init; }

    /// <summary>Those of delayed block proximal gradient, with their step, where it is the method; null for mini-batches.</summary>
    public ProximalGradientOptions? ProximalGradient { get; init; }

    /// <summary>The namespace of job and table; empty for the default one.</summary>
    public required string Namespace { get; init; }

    /// <summary>The filters of the child's requests.</summary>
    public required Filters Filters { get; init; }

    /// <summary>Filters of rows of the user's own; null for none.</summary>
    public OwnFilters? OwnFilters { get; init; }

    /// <summary>Iterations after which workers wait.</summary>
    public required long[] Pauses { get; init; }
}

/// <summary>What such a process says, a line each on its standard output: a worker's step with the process's wire counters, or why it failed.</summary>
/// <param name="Step">A step, or null.</param>
/// <param name="Wire">What the process sent and received so far.</param>
/// <param name="Failure">Why the process cannot go on, or null.</param>
internal sealed record HostLine(WorkerStep? Step, ClientCounters Wire, string? Failure);

/// <summary>Those lines as JSON.</summary>
[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, IgnoreReadOnlyProperties = true)]
[JsonSerializable(typeof(HostOrder))]
[JsonSerializable(typeof(HostLine))]
internal sealed partial class HostLineJson : JsonSerializerContext
{
    public static string Write(HostOrder order) => JsonSerializer.Serialize(order, Default.HostOrder);

    public static string Write(HostLine line) => JsonSerializer.Serialize(line, Default.HostLine);

    /// <summary>Reads what the parent wrote.</summary>
    /// <exception cref="ToolException">It is no order.</exception>
    public static HostOrder ReadOrder(string? line)
    {
        try
        {
            return JsonSerializer.Deserialize(line ?? "", Default.HostOrder) ?? throw new JsonException();
        }
        catch (JsonException exception)
        {
            throw new ToolException("this command is for `weir train --processes`, which tells it on its standard input what to do", exception);
        }
    }

    /// <summary>Reads what a child wrote; null where it makes no sense, as the last line of a process that was killed may.</summary>
    public static HostLine? TryReadLine(string line)
    {
        try
        {
            return JsonSerializer.Deserialize(line, Default.HostLine);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
