using Weir.Keys;
using Weir.Store;

namespace Weir.Cli.Bench;

/// <summary>What <c>weir bench checkpoint</c> measures.</summary>
internal sealed record CheckpointSettings
{
    /// <summary>Rows of the table.</summary>
    public required long Rows { get; init; }

    /// <summary>Floats a row.</summary>
    public required int Width { get; init; }

    /// <summary>The name of the table's update rule, for people.</summary>
    public required string RuleName { get; init; }

    public required UpdateRule Rule { get; init; }

    /// <summary>Server nodes.</summary>
    public required int Servers { get; init; }

    /// <summary>Each is a process of its own, reached over TCP.</summary>
    public required bool Processes { get; init; }

    /// <summary>The folder whose disk is measured.</summary>
    public required string Folder { get; init; }

    /// <summary>Bytes of a row in a checkpoint: its key, its floats and its state.</summary>
    public long RowBytes => BytesOfRow(Width, Rule);

    /// <summary>Bytes of a row of this width and rule in a checkpoint.</summary>
    public static long BytesOfRow(int width, UpdateRule rule) => sizeof(ulong) + ((width + UpdateRules.Create(rule).StateWidth(width)) * (long)sizeof(float));
}
