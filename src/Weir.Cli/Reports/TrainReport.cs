using System.Text.Json.Serialization;
using Weir.Cli.Processes;

namespace Weir.Cli.Reports;

/// <summary>What <c>weir train --report</c> writes. The names are an interface: scripts read them.</summary>
internal sealed record TrainReport(TrainedRows Train, TestQuality? Test, ModelOfRun Model, ClusterOfRun Cluster, WireOfRun Wire)
{
    /// <summary>What delayed block proximal gradient minimises, of the model written: the sum or the mean of the training rows' losses in nats, plus the penalties.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Objective { get; init; }

    /// <summary>Its step.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? Step { get; init; }

    /// <summary>The largest step for which it is known to converge, from the data and the delay; a step above it may do well or not at all.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? StepBound { get; init; }
}

/// <summary>What was trained on.</summary>
/// <param name="Rows">Rows of the data.</param>
/// <param name="Nonzeros">Key and value pairs of the data.</param>
/// <param name="Passes">Passes over it.</param>
/// <param name="Seconds">From the first iteration to the last.</param>
/// <param name="RowsPerSecond">Rows of all passes by seconds.</param>
internal sealed record TrainedRows(long Rows, long Nonzeros, int Passes, double Seconds, double RowsPerSecond);

/// <summary>The model on the test rows. Losses are means in nats.</summary>
/// <param name="Rows">Test rows.</param>
/// <param name="LogLoss">The model's.</param>
/// <param name="Auc">Area under the ROC curve; null where the rows have one class only.</param>
/// <param name="Accuracy">Share of rows whose label it tells.</param>
/// <param name="BaseLogLoss">That of always predicting the training set's share of positives.</param>
/// <param name="BestLogLoss">That of one who knows the true probabilities, where the data tells them.</param>
internal sealed record TestQuality(long Rows, double LogLoss, double? Auc, double Accuracy, double BaseLogLoss, double? BestLogLoss)
{
    /// <inheritdoc cref="BestLogLoss"/>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public double? BestLogLoss { get; init; } = BestLogLoss;
}

/// <summary>The model written.</summary>
/// <param name="Rows">Rows of its table.</param>
/// <param name="NonZero">Weights that are not 0.</param>
/// <param name="Path">The file.</param>
internal sealed record ModelOfRun(long Rows, long NonZero, string Path);

/// <summary>Who trained it.</summary>
/// <param name="Servers">The servers.</param>
/// <param name="Workers">The workers.</param>
/// <param name="Delay">The delay bound; null for none.</param>
/// <param name="Segments">Slices of the key space.</param>
internal sealed record ClusterOfRun(IReadOnlyList<ServerOfRun> Servers, IReadOnlyList<WorkerOfRun> Workers, int? Delay, int Segments);

/// <summary>A server at the end of the run.</summary>
/// <param name="Id">Its id in the cluster.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Address">Where it is reached.</param>
/// <param name="Rows">Rows that it holds.</param>
internal sealed record ServerOfRun(string Id, int Pid, string Address, long Rows);

/// <summary>A worker at the end of the run.</summary>
/// <param name="Id">Its index.</param>
/// <param name="Pid">The process that hosted it last.</param>
/// <param name="Rows">Rows it went through, over all passes.</param>
/// <param name="Clock">Its last finished iteration.</param>
/// <param name="FirstIteration">The first iteration that it took part in: 1, or where it joined.</param>
/// <param name="LastIteration">The last one: where it left, or the end.</param>
/// <param name="Staleness">The largest of t - 1 - m over its iterations t, where m was the smallest clock of all workers when the weights for t
/// were read: no bound was broken where it is at most the delay. Null where it pulled nothing.</param>
/// <param name="ComputeSeconds">Seconds in which it read rows and computed gradients.</param>
/// <param name="WaitSeconds">Seconds in which it waited for weights, for its pushes and for slower workers.</param>
internal sealed record WorkerOfRun(
    int Id, int Pid, long Rows, long Clock, long FirstIteration, long LastIteration, long? Staleness, double ComputeSeconds, double WaitSeconds);

/// <summary>What the workers' hosts sent and received.</summary>
/// <param name="PushBytes">Bytes of pushes and their replies, headers included.</param>
/// <param name="PullBytes">Bytes of pulls and their replies, headers included.</param>
/// <param name="UncompressedBytes">What both would have been without filters, of the rows that filters left out too.</param>
/// <param name="ReplicationBytes">Bytes of frames that the servers sent down chains meanwhile, to replicas; of servers that died nothing is counted.</param>
/// <param name="Keys">Keys sent.</param>
/// <param name="Values">Floats pushed and pulled.</param>
/// <param name="Filters">What made them shorter, as on the command line.</param>
/// <param name="ByFilter">What each filter got and gave, by its name: they follow one another. Of processes that died what they told last.</param>
/// <param name="ByPass">Of each pass: until every worker had finished it, as their hosts told. Of a run that was resumed, passes that were over then have none.</param>
internal sealed record WireOfRun(
    long PushBytes, long PullBytes, long UncompressedBytes, long ReplicationBytes, long Keys, long Values, string Filters, IReadOnlyDictionary<string, WireOfFilter> ByFilter, IReadOnlyList<WireOfPass> ByPass);

/// <summary>What a filter made of the bytes that it was used on, in both directions.</summary>
/// <param name="BytesIn">Bytes that it got.</param>
/// <param name="BytesOut">Bytes that it gave in their place.</param>
internal sealed record WireOfFilter(long BytesIn, long BytesOut);

/// <summary>What the workers' hosts sent and received in a pass.</summary>
/// <param name="PushBytes">Bytes of pushes and their replies, headers included.</param>
/// <param name="PullBytes">Bytes of pulls and their replies, headers included.</param>
internal sealed record WireOfPass(long PushBytes, long PullBytes);

/// <summary>What <c>weir serve --report</c> writes once it serves.</summary>
/// <param name="Id">The node's id.</param>
/// <param name="Pid">Its process.</param>
/// <param name="Address">Where it is reached.</param>
internal sealed record ServeReport(string Id, int Pid, string Address);

/// <summary>What <c>weir up --report</c> writes once all servers serve.</summary>
/// <param name="Servers">The servers.</param>
/// <param name="Register">The addresses of those that keep the cluster's map, or the etcd that does.</param>
internal sealed record UpReport(IReadOnlyList<ServeReport> Servers, IReadOnlyList<string> Register);

/// <summary>What <c>weir evaluate --report</c> writes.</summary>
/// <param name="Test">The quality; its base is the test rows' own share of positives, since a model file does not tell the training set's.</param>
/// <param name="Model">The model.</param>
internal sealed record EvaluateReport(TestQuality Test, ModelOfFile Model);

/// <summary>A model file.</summary>
/// <param name="NonZero">Its weights.</param>
/// <param name="Path">Where it is.</param>
internal sealed record ModelOfFile(long NonZero, string Path);

/// <summary>The reports' JSON.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(TrainReport))]
[JsonSerializable(typeof(ServeReport))]
[JsonSerializable(typeof(UpReport))]
[JsonSerializable(typeof(ClusterRecord))]
[JsonSerializable(typeof(EvaluateReport))]
[JsonSerializable(typeof(PushPullReport))]
[JsonSerializable(typeof(StoreReport))]
[JsonSerializable(typeof(SimReport))]
[JsonSerializable(typeof(StatusReport))]
[JsonSerializable(typeof(FailoverReport))]
[JsonSerializable(typeof(JoinReport))]
[JsonSerializable(typeof(CheckpointReport))]
[JsonSerializable(typeof(FilterReport))]
[JsonSerializable(typeof(DelayReport))]
[JsonSerializable(typeof(OptimumReport))]
[JsonSerializable(typeof(StructureReport))]
internal sealed partial class ReportJson : JsonSerializerContext;
