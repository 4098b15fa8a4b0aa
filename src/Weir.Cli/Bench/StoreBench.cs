using System.Diagnostics;
using System.Globalization;
using Weir.Cli.Reports;
using Weir.Host.Memory;
using Weir.Store;

namespace Weir.Cli.Bench;

/// <summary>
/// Measures look-ups and updates of a node's rows on one thread, without a client or a socket, and in turn with them a bare loop that
/// does the same to rows whose places it knows: whatever else the machine has to do then slows both.
/// </summary>
internal sealed class StoreBench : IDisposable
{
    /// <summary>The smallest number of segments that gives one node 100.</summary>
    private const int SegmentBits = 7;

    /// <summary>Keys drawn for a request: a few hundred for each segment, as in the parts of a batch of training.</summary>
    private const int RequestDraws = 100_000;

    // 64 MiB: wide rows are fewer a request, and its values still stay in no cache.
    private const int RequestFloats = 1 << 24;

    // Together they touch more rows than fit any cache.
    private const int Requests = 32;

    private const int Rounds = 5;

    // Before the first round: the compiler has then seen the hot paths.
    private const double WarmUpShare = 0.5;

    // A growing index has its former self beside it: 12 bytes a slot at loads of 0.55 and 0.77.
    private const long MostIndexBytesPerRow = 38;

    private readonly StoreSettings _settings;
    private readonly HugePageMemory _memory = new();
    private readonly TableRows _table;
    private readonly SegmentRows[] _segments;
    private readonly BareRows _bare;
    private readonly StoreRequest[] _requests = new StoreRequest[Requests];
    private readonly float[] _gradients;
    private readonly float[] _values;
    private readonly byte[] _found = new byte[(RequestDraws / 8) + 1];
    private int _next;

    private StoreBench(StoreSettings settings)
    {
        _settings = settings;
        _table = new TableRows(settings.Width, settings.Rule, 0, new MemoryBudget(long.MaxValue, _memory));
        _segments = [.. Enumerable.Range(0, 1 << SegmentBits).Select(segment => _table.OpenSegment(segment, SegmentBits))];
        _bare = new BareRows(settings.Rows, settings.Width, settings.Rule, _memory);
        _gradients = new float[DrawsOf(settings) * settings.Width];
        _values = new float[_gradients.Length];
    }

    /// <summary>Fills the tables and measures.</summary>
    /// <exception cref="ToolException">The machine has not enough free memory.</exception>
    public static StoreReport Run(StoreSettings settings, ToolConsole console, CancellationToken cancellation)
    {
        long needed = NeededBytes(settings), free = FreeMemory.Bytes();
        if (needed > free)
        {
            throw new ToolException(string.Create(
                CultureInfo.InvariantCulture,
                $"{settings.Rows:N0} rows of {settings.Width:N0} floats under {settings.RuleName} need {needed / 1e9:N1} GB, about half of it for the bare loop beside the store; {free / 1e9:N1} GB are free. Take fewer --rows or a smaller --width"));
        }

        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"{settings.Rows:N0} rows of {settings.Width:N0} {(settings.Width == 1 ? "float" : "floats")}, rule {settings.RuleName}; {1 << SegmentBits} segments; {DrawsOf(settings):N0} keys a request, {settings.Distribution.ToString().ToLowerInvariant()}; one thread"));
        using var bench = new StoreBench(settings);
        bench.Fill(cancellation);
        return bench.Measure(cancellation);
    }

    public void Dispose()
    {
        _table.Dispose();
        _bare.Dispose();
    }

    private static int DrawsOf(StoreSettings settings) => Math.Min(settings.Rows, Math.Min(RequestDraws, RequestFloats / settings.Width));

    private static long NeededBytes(StoreSettings settings)
    {
        long rowBytes = (settings.Width + UpdateRules.Create(settings.Rule).StateWidth(settings.Width)) * (long)sizeof(float);
        long requests = DrawsOf(settings) * ((Requests * (sizeof(ulong) + sizeof(int))) + (2L * settings.Width * sizeof(float)));
        // The store's rows may reserve a sixteenth more than they need.
        return (settings.Rows * ((2 * rowBytes) + (rowBytes / 16) + MostIndexBytesPerRow)) + requests;
    }

    private void Fill(CancellationToken cancellation)
    {
        var requests = new StoreRequests(_settings.Rows, SegmentBits);
        int draws = DrawsOf(_settings);
        for (int first = 0; first < _settings.Rows; first += draws)
        {
            cancellation.ThrowIfCancellationRequested();
            Update(requests.Some(first, Math.Min(draws, _settings.Rows - first)));
        }

        Array.Fill(_gradients, 1e-3f);
        for (int i = 0; i < Requests; i++)
        {
            _requests[i] = requests.Draw(draws, _settings.Distribution);
        }
    }

    private StoreReport Measure(CancellationToken cancellation)
    {
        Action<StoreRequest>[] works =
            [LookUp, request => _bare.LookUp(request.Rows, _values), Update, request => _bare.Update(request.Rows, _gradients.AsSpan(0, request.Keys.Length * _settings.Width))];
        List<double>[] rates = [.. works.Select(_ => new List<double>())];
        double seconds = _settings.Seconds / Rounds;
        foreach (Action<StoreRequest> work in works)
        {
            Repeat(work, seconds * WarmUpShare, cancellation);
        }

        for (int round = 0; round < Rounds; round++)
        {
            for (int i = 0; i < works.Length; i++)
            {
                rates[i].Add(Repeat(works[i], seconds, cancellation));
            }
        }

        double[] medians = [.. rates.Select(of => of.Order().ElementAt(Rounds / 2))];
        return new StoreReport(
            new StoreSpeed(medians[0], medians[1]),
            new StoreSpeed(medians[2], medians[3]),
            (double)_segments.Sum(segment => segment.IndexBytes) / _settings.Rows,
            (double)_table.Bytes / _settings.Rows,
            _table.RowBytes);
    }

    /// <summary>Does the requests one after another for a time, and gives the rows a second.</summary>
    private double Repeat(Action<StoreRequest> work, double seconds, CancellationToken cancellation)
    {
        long rows = 0, begin = Stopwatch.GetTimestamp();
        do
        {
            cancellation.ThrowIfCancellationRequested();
            StoreRequest request = _requests[_next];
            _next = (_next + 1) % Requests;
            work(request);
            rows += request.Keys.Length;
        }
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds);
        return rows / Stopwatch.GetElapsedTime(begin).TotalSeconds;
    }

    private void LookUp(StoreRequest request)
    {
        int first = 0;
        for (int segment = 0; segment < _segments.Length; segment++)
        {
            int end = request.SegmentEnds[segment];
            Span<float> values = _values.AsSpan(first * _settings.Width, (end - first) * _settings.Width);
            int found = _segments[segment].ReadFound(request.Keys.AsSpan(first, end - first), values, _found);
            if (found != end - first)
            {
                throw new ToolException($"a look-up found {found} of {end - first} rows, though the table holds all of them");
            }

            first = end;
        }
    }

    private void Update(StoreRequest request)
    {
        int first = 0;
        for (int segment = 0; segment < _segments.Length; segment++)
        {
            int end = request.SegmentEnds[segment];
            ReadOnlySpan<float> gradients = _gradients.AsSpan(first * _settings.Width, (end - first) * _settings.Width);
            StoreResult result = _segments[segment].Apply(request.Keys.AsSpan(first, end - first), gradients, RowOperation.Update);
            if (result != StoreResult.Ok)
            {
                throw new ToolException($"the store refused an update: {result}");
            }

            first = end;
        }
    }
}
