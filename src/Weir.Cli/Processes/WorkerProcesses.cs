using System.Globalization;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Processes;

/// <summary>
/// Hosts the workers in processes of their own. One that dies does not end the run: the cluster has its workers hosted by another, or goes on
/// without them.
/// </summary>
internal sealed class WorkerProcesses : IWorkerHosts, IAsyncDisposable
{
    private const int MostReplaced = 3;

    private readonly List<Child> _children = [];
    private readonly List<Task> _following = [];
    private readonly Lock _lock = new();
    private readonly string _order;
    private readonly bool _continuesWithout;
    private readonly TrainingMeter _meter;
    private readonly Action<string> _note;
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;
    private int _lifted;
    private int _replaced;

    /// <summary>Starts the processes; they begin to train once all of them have offered to host.</summary>
    /// <param name="count">How many.</param>
    /// <param name="order">What they are told.</param>
    /// <param name="continuesWithout">Whether the run goes on without the workers of one that dies.</param>
    /// <param name="meter">Gets their steps.</param>
    /// <param name="note">Called with lines for people.</param>
    public WorkerProcesses(int count, HostOrder order, bool continuesWithout, TrainingMeter meter, Action<string> note)
    {
        (_order, _continuesWithout, _meter, _note) = (HostLineJson.Write(order), continuesWithout, meter, note);
        for (int child = 0; child < count; child++)
        {
            Start();
        }
    }

    /// <summary>The hidden command that a child runs.</summary>
    public const string HostWorkersName = "host-workers";

    public string Description => $"{(_children.Count == 1 ? "1 worker process" : $"{_children.Count} worker processes")} ({string.Join(", ", _children.Select(child => child.Process.Id))})";

    public ClientCounters Wire
    {
        get
        {
            lock (_lock)
            {
                return _children.Aggregate(default(ClientCounters), (sum, child) => Sum(sum, child.Wire));
            }
        }
    }

    public async Task RunAsync(CancellationToken cancellation)
    {
        lock (_lock)
        {
            // One that is dead already has another started on the spot.
            foreach (Child child in _children.ToArray())
            {
                _following.Add(FollowAsync(child));
            }
        }

        try
        {
            while (Unfinished() is { Length: > 0 } following)
            {
                await await Task.WhenAny(Task.WhenAll(following), _failed.Task).WaitAsync(cancellation);
            }
        }
        catch (OperationCanceledException)
        {
            // A clean end: each says goodbye to the cluster before it goes.
            await DisposeAsync();
            throw;
        }

        if (!_children.Exists(child => child.Finished))
        {
            throw new ToolException($"all worker processes died ({string.Join(", ", _children.Select(child => child.Process.Id))}); nobody is left to go on");
        }
    }

    public void Joined(int workers)
    {
        lock (_lock)
        {
            while (_children.Count < workers && !_stopping && _following.Count > 0)
            {
                StartLate();
            }
        }
    }

    public void Lift(int pauses)
    {
        lock (_lock)
        {
            _lifted = pauses;
            _children.ForEach(child => child.Process.Send(pauses.ToString(CultureInfo.InvariantCulture)));
        }
    }

    public async ValueTask DisposeAsync()
    {
        lock (_lock)
        {
            _stopping = true;
        }

        await Task.WhenAll(_children.Select(child => child.Process.DisposeAsync().AsTask()));
    }

    private Child Start()
    {
        var child = new Child(ToolProcess.Start(_note, HostWorkersName));
        child.Process.Send(_order);
        _children.Add(child);
        return child;
    }

    private void StartLate()
    {
        Child child = Start();
        if (_lifted > 0)
        {
            child.Process.Send(_lifted.ToString(CultureInfo.InvariantCulture));
        }

        _following.Add(FollowAsync(child));
    }

    private Task[] Unfinished()
    {
        lock (_lock)
        {
            return [.. _following.Where(following => !following.IsCompletedSuccessfully)];
        }
    }

    private async Task FollowAsync(Child child)
    {
        string? failure = null;
        while (await child.Process.Output.ReadLineAsync() is { } text)
        {
            HostLine? line = HostLineJson.TryReadLine(text);
            child.Wire = line is { Failure: null } ? line.Wire : child.Wire;
            failure = line?.Failure ?? failure;
            if (line?.Step is { } step)
            {
                child.HasBegun = true;
                _meter.Add(step, child.Process.Id);
            }
        }

        int code = await child.Process.Exited;
        child.Ended = true;
        child.Finished = code == ExitCode.Done;
        if (child.Finished || _stopping || (failure is null && !child.HasBegun && TryReplace(child)))
        {
            return;
        }

        if (failure is not null)
        {
            _failed.TrySetException(new ToolException(failure));
        }
        else if (!_children.TrueForAll(other => other.Ended))
        {
            _note($"worker process {child.Process.Id} died; {(_continuesWithout ? "the run goes on without its workers" : "its workers go on elsewhere")}");
        }
    }

    /// <summary>The job waits for as many hosts as it was opened for: where one died before it hosted any worker another is started, a few times.</summary>
    private bool TryReplace(Child dead)
    {
        lock (_lock)
        {
            if (_stopping || _replaced == MostReplaced)
            {
                return false;
            }

            _replaced++;
            _note($"worker process {dead.Process.Id} died before it had a worker; another is started");
            StartLate();
            return true;
        }
    }

    private static ClientCounters Sum(ClientCounters a, ClientCounters b) => new(
        a.PushBytes + b.PushBytes,
        a.PullBytes + b.PullBytes,
        a.UncompressedBytes + b.UncompressedBytes,
        a.Keys + b.Keys,
        a.Values + b.Values,
        a.Requests + b.Requests,
        a.Superseded + b.Superseded,
        a.MixedPulls + b.MixedPulls,
        [.. (a.ByFilter ?? []).Concat(b.ByFilter ?? []).GroupBy(f => f.Filter, (name, f) => f.Aggregate((x, y) => new FilterBytes(name, x.BytesIn + y.BytesIn, x.BytesOut + y.BytesOut)))]);

    private sealed class Child(ToolProcess process)
    {
        public ToolProcess Process => process;

        public ClientCounters Wire { get; set; }

        /// <summary>It has had a worker.</summary>
        public bool HasBegun { get; set; }

        public bool Ended { get; set; }

        public bool Finished { get; set; }
    }
}
