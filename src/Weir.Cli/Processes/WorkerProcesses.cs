using System.Globalization;
using Weir.Cli.Training;
using Weir.Client;

namespace Weir.Cli.Processes;

/// <summary>
/// Hosts the workers in processes of their own. One that dies does not end the run: the cluster has its workers hosted by another.
/// </summary>
internal sealed class WorkerProcesses : IWorkerHosts, IAsyncDisposable
{
    private readonly List<Child> _children = [];
    private readonly TrainingMeter _meter;
    private readonly Action<string> _note;
    private readonly TaskCompletionSource _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _stopping;

    /// <summary>Starts the processes; they begin to train once all of them have offered to host.</summary>
    /// <param name="count">How many.</param>
    /// <param name="order">What they are told.</param>
    /// <param name="meter">Gets their steps.</param>
    /// <param name="note">Called with lines for people.</param>
    public WorkerProcesses(int count, HostOrder order, TrainingMeter meter, Action<string> note)
    {
        (_meter, _note) = (meter, note);
        string line = HostLineJson.Write(order);
        for (int child = 0; child < count; child++)
        {
            var process = ToolProcess.Start(note, HostWorkersName);
            process.Send(line);
            _children.Add(new Child(process));
        }
    }

    /// <summary>The hidden command that a child runs.</summary>
    public const string HostWorkersName = "host-workers";

    public string Description => $"{(_children.Count == 1 ? "1 worker process" : $"{_children.Count} worker processes")} ({string.Join(", ", _children.Select(child => child.Process.Id))})";

    public ClientCounters Wire => _children.Aggregate(default(ClientCounters), (sum, child) => Sum(sum, child.Wire));

    public async Task RunAsync(CancellationToken cancellation)
    {
        Task all = Task.WhenAll(_children.Select(FollowAsync));
        try
        {
            await await Task.WhenAny(all, _failed.Task).WaitAsync(cancellation);
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

    public void Lift(int pauses) => _children.ForEach(child => child.Process.Send(pauses.ToString(CultureInfo.InvariantCulture)));

    public async ValueTask DisposeAsync()
    {
        _stopping = true;
        await Task.WhenAll(_children.Select(child => child.Process.DisposeAsync().AsTask()));
    }

    private async Task FollowAsync(Child child)
    {
        string? failure = null;
        while (await child.Process.Output.ReadLineAsync() is { } text)
        {
            HostLine? line = HostLineJson.TryReadLine(text);
            child.Wire = line?.Wire ?? child.Wire;
            failure = line?.Failure ?? failure;
            if (line?.Step is { } step)
            {
                _meter.Add(step, child.Process.Id);
            }
        }

        int code = await child.Process.Exited;
        child.Ended = true;
        child.Finished = code == ExitCode.Done;
        if (child.Finished || _stopping)
        {
            return;
        }

        if (failure is not null)
        {
            _failed.TrySetException(new ToolException(failure));
        }
        else if (!_children.TrueForAll(other => other.Ended))
        {
            _note($"worker process {child.Process.Id} died; its workers go on elsewhere");
        }
    }

    private static ClientCounters Sum(ClientCounters a, ClientCounters b) => new(
        a.PushBytes + b.PushBytes,
        a.PullBytes + b.PullBytes,
        a.Keys + b.Keys,
        a.Values + b.Values,
        a.Requests + b.Requests,
        a.Superseded + b.Superseded,
        a.MixedPulls + b.MixedPulls);

    private sealed class Child(ToolProcess process)
    {
        public ToolProcess Process => process;

        public ClientCounters Wire { get; set; }

        public bool Ended { get; set; }

        public bool Finished { get; set; }
    }
}
