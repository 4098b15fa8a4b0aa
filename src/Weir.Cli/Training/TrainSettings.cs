using Weir.Cli.Processes;
using Weir.Client;
using Weir.Learn.Logistic;
using Weir.Learn.ProximalGradient;

namespace Weir.Cli.Training;

/// <summary>Which rows to train and to measure on.</summary>
/// <param name="Train">A LIBSVM file; null for the generated click log.</param>
/// <param name="Test">A LIBSVM file, or null.</param>
/// <param name="Seed">Draws the click log.</param>
/// <param name="Rows">Rows of the click log.</param>
/// <param name="TestRows">Test rows of the click log.</param>
internal sealed record DataSettings(string? Train, string? Test, ulong Seed, long Rows, long TestRows);

/// <summary>What a command line of <c>weir train</c> asks for, checked.</summary>
internal sealed record TrainSettings
{
    public required DataSettings Data { get; init; }

    /// <summary>The folder of the model.</summary>
    public required string Out { get; init; }

    /// <summary>The JSON report's file, or null.</summary>
    public string? Report { get; init; }

    /// <summary>How it learns by mini-batches; not looked at where <see cref="ProximalGradient"/> is given.</summary>
    public required LogisticOptions Learning { get; init; }

    /// <summary>How it learns by delayed block proximal gradient; null for mini-batches.</summary>
    public ProximalGradientOptions? ProximalGradient { get; init; }

    /// <summary>Passes over the data.</summary>
    public int Passes => ProximalGradient?.Passes ?? Learning.Passes;

    /// <summary>Whether every row has an intercept.</summary>
    public bool Intercept => ProximalGradient?.Intercept ?? Learning.Intercept;

    /// <summary>Servers to start; not looked at where <see cref="Cluster"/> is given.</summary>
    public required int Servers { get; init; }

    /// <summary>How many servers hold a segment beside the one that leads it.</summary>
    public required int Replicas { get; init; }

    public required int Workers { get; init; }

    /// <summary>2^this segments; null for the smallest that gives 100 a server.</summary>
    public int? SegmentBits { get; init; }

    /// <summary>Whether servers and workers' hosts are processes of their own.</summary>
    public bool Processes { get; init; }

    /// <summary>Whether the run goes on without the workers of a process that dies.</summary>
    public bool ContinueWithout { get; init; }

    /// <summary>What kind of sockets those processes talk over; servers in this process use none.</summary>
    public Transport Transport { get; init; }

    /// <summary>A running cluster's addresses, or null to start servers.</summary>
    public IReadOnlyList<string>? Cluster { get; init; }

    /// <summary>The namespace of the job and the table; empty for the default one.</summary>
    public string Namespace { get; init; } = "";

    /// <summary>The filters of the workers' requests.</summary>
    public Filters Filters { get; init; }

    /// <summary>Filters of rows of the user's own; null for none.</summary>
    public OwnFilters? OwnFilters { get; init; }

    /// <summary>A model file to begin with, or null.</summary>
    public string? InitFrom { get; init; }

    /// <summary>Where checkpoints are written to; null for none.</summary>
    public string? Checkpoints { get; init; }

    public CheckpointInterval CheckpointEvery { get; init; } = CheckpointInterval.Default;

    /// <summary>Checkpoints that stay; older ones are deleted.</summary>
    public int CheckpointsKept { get; init; }

    /// <summary>The place whose last checkpoint the run goes on from; null to begin anew.</summary>
    public string? Resume { get; init; }

    /// <summary>Passes between measurements, of which the best model is kept; null to measure at the end only.</summary>
    public double? EvaluateEveryPasses { get; init; }
}
