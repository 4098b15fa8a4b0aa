namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench store --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Lookup">Keys looked up, and their rows copied together.</param>
/// <param name="Update">Keys looked up, and the update rule run on their rows.</param>
/// <param name="BytesPerKey">Bytes of the indexes by rows.</param>
/// <param name="BytesPerRow">Bytes of all native memory - values, state, indexes, and what is reserved - by rows.</param>
/// <param name="RowBytes">Bytes of one row's values and state.</param>
internal sealed record StoreReport(StoreSpeed Lookup, StoreSpeed Update, double BytesPerKey, double BytesPerRow, long RowBytes);

/// <summary>Rows a second, the median of the rounds.</summary>
/// <param name="RowsPerSecond">The store's.</param>
/// <param name="BareRowsPerSecond">Those of a bare loop that does the same to rows of one array whose places it knows, measured in turn.</param>
internal sealed record StoreSpeed(double RowsPerSecond, double BareRowsPerSecond);
