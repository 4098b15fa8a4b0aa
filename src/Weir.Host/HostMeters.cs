using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Weir.Host;

/// <summary>
/// The meters of the transport and the loops, under the meter <c>Weir</c>; names and units by OpenTelemetry's conventions. They cost next
/// to nothing while nobody listens. Thread-safe.
/// </summary>
internal static class HostMeters
{
    public const string MeterName = "Weir";

    private static readonly Meter Weir = new(MeterName);
    private static readonly ConcurrentDictionary<object, (string Queue, Func<long> Bytes)> Queues = new();

    private static readonly KeyValuePair<string, object?> In = new("network.io.direction", "receive");
    private static readonly KeyValuePair<string, object?> Out = new("network.io.direction", "transmit");

    private static readonly Counter<long> Bytes =
        Weir.CreateCounter<long>("weir.network.io", "By", "Bytes of whole frames, headers included, that crossed a connection.");

    private static readonly Counter<long> Frames =
        Weir.CreateCounter<long>("weir.network.frames", "{frame}", "Frames that crossed a connection.");

    private static readonly Counter<long> DroppedFrames =
        Weir.CreateCounter<long>("weir.network.frames.dropped", "{frame}", "Frames given up at a bound or on a link that was down.");

    private static readonly UpDownCounter<long> OpenConnections =
        Weir.CreateUpDownCounter<long>("weir.network.connections", "{connection}", "Open connections.");

    private static readonly Counter<long> PeerFaults =
        Weir.CreateCounter<long>("weir.network.peer_faults", "{fault}", "Connections closed because the peer broke the protocol.");

    // Kept in a field like the others: an instrument lives as long as its meter.
    private static readonly ObservableUpDownCounter<long> QueueSizes =
        Weir.CreateObservableUpDownCounter("weir.queue.size", MeasureQueues, "By", "Bytes of frame buffers that wait in queues.");

    public static void Received(int frames, long bytes)
    {
        Frames.Add(frames, In);
        Bytes.Add(bytes, In);
    }

    public static void Sent(int frames, long bytes)
    {
        Frames.Add(frames, Out);
        Bytes.Add(bytes, Out);
    }

    /// <summary>One frame less; where says which queue or state gave it up: mailbox, send, down.</summary>
    public static void Dropped(string where) => DroppedFrames.Add(1, new KeyValuePair<string, object?>("weir.queue", where));

    public static void ConnectionOpened() => OpenConnections.Add(1);

    public static void ConnectionClosed() => OpenConnections.Add(-1);

    public static void PeerFault() => PeerFaults.Add(1);

    /// <summary>Counts an owner's queue in <c>weir.queue.size</c> until <see cref="Forget"/>.</summary>
    public static void Watch(object owner, string queue, Func<long> bytes) => Queues[owner] = (queue, bytes);

    public static void Forget(object owner) => Queues.TryRemove(owner, out _);

    private static IEnumerable<Measurement<long>> MeasureQueues() =>
        Queues.Values
            .GroupBy(queue => queue.Queue, queue => queue.Bytes())
            .Select(sizes => new Measurement<long>(sizes.Sum(), new KeyValuePair<string, object?>("weir.queue", sizes.Key)));
}
