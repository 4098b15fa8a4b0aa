using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Weir.Server;
using Weir.Wire;

namespace Weir.Host;

/// <summary>
/// What the nodes of this process count, under the meter <c>Weir</c>, each measurement tagged with its node. Read when somebody collects, so it
/// costs the hot path nothing; a figure may be a moment old.
/// </summary>
internal static class NodeMeters
{
    private static readonly Meter Weir = new(HostMeters.MeterName);
    private static readonly ConcurrentDictionary<ServerNode, string> Nodes = new();

    // Kept, as an instrument lives as long as its meter knows it.
    private static readonly Instrument[] Instruments =
    [
        Counter("weir.push.requests", "{request}", "Push frames handled.", c => c.PushRequests),
        Counter("weir.pull.requests", "{request}", "Pull frames handled.", c => c.PullRequests),
        Counter("weir.push.io", "By", "Bytes of pushes and their acknowledgements, headers included.", c => c.PushBytes),
        Counter("weir.pull.io", "By", "Bytes of pulls and their answers, headers included.", c => c.PullBytes),
        Counter("weir.push.keys", "{key}", "Keys pushed.", c => c.KeysPushed),
        Counter("weir.pull.keys", "{key}", "Keys pulled.", c => c.KeysPulled),
        Counter("weir.pull.waited", "{request}", "Pulls that had to wait for clocks.", c => c.PullsWaited),
        Counter("weir.push.held", "{part}", "Parts held for an open iteration.", c => c.PartsHeld),
        Counter("weir.push.duplicates", "{part}", "Parts that had been received before.", c => c.Duplicates),
        Counter("weir.push.superseded", "{part}", "Parts for which an older session's push stood.", c => c.Superseded),
        Counter("weir.push.refused", "{part}", "Parts answered with anything but success.", c => c.Refused),
        Counter("weir.frames.refused", "{frame}", "Frames that made no sense.", c => c.FramesRefused),
        Gauge("weir.pull.waiting", "{request}", "Pulls that wait for clocks now.", n => n.Counters.PullsWaiting),
        Gauge("weir.store.rows", "{row}", "Rows held.", n => n.StoredRows),
        Gauge("weir.store.size", "By", "Bytes of rows, state and index.", n => n.StoredBytes),
    ];

    public static int Count => Instruments.Length;

    public static void Watch(ServerNode node, string address) => Nodes[node] = address;

    public static void Forget(ServerNode node) => Nodes.TryRemove(node, out _);

    private static ObservableCounter<long> Counter(string name, string unit, string description, Func<NodeCounters, long> read) =>
        Weir.CreateObservableCounter(name, () => Measure(n => read(n.Counters)), unit, description);

    private static ObservableUpDownCounter<long> Gauge(string name, string unit, string description, Func<ServerNode, long> read) =>
        Weir.CreateObservableUpDownCounter(name, () => Measure(read), unit, description);

    private static IEnumerable<Measurement<long>> Measure(Func<ServerNode, long> read) =>
        Nodes.Select(n => new Measurement<long>(read(n.Key), new KeyValuePair<string, object?>("weir.node", n.Value)));
}
