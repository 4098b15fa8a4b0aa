namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench push-pull --report</c> writes. The names are an interface: scripts read them.</summary>
internal sealed record PushPullReport(RequestSpeed Push, RequestSpeed Pull, RequestSpeed PushPull, RawSpeed Raw);

/// <summary>Requests of one kind. Rates are the median of the rounds, times are over all requests.</summary>
/// <param name="KeysPerSecond">Keys of requests, a second.</param>
/// <param name="BytesPerSecond">Bytes of values, a second; of a push-pull those of both directions.</param>
/// <param name="P50Us">Half of the requests were done in so many microseconds.</param>
/// <param name="P99Us">99 of 100 were.</param>
/// <param name="P999Us">999 of 1,000 were.</param>
internal sealed record RequestSpeed(double KeysPerSecond, double BytesPerSecond, double P50Us, double P99Us, double P999Us);

/// <summary>The bare socket, measured in turn with the requests.</summary>
/// <param name="BytesPerSecond">Requests of the keys and values of a push, sent and thrown away, as bytes of values a second.</param>
/// <param name="P50Us">The median of a ping of 8 bytes each way, in microseconds.</param>
internal sealed record RawSpeed(double BytesPerSecond, double P50Us);
