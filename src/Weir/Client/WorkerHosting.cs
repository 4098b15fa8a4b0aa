using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Client;

/// <summary>
/// Keeps one process hosting what the map gives it (design R7): it reads worker to (process, session) there, and starts and stops accordingly.
/// </summary>
internal sealed class WorkerHosting(WeirClient client, Job job, Func<Worker, CancellationToken, Task> run)
{
    private readonly Dictionary<(int Worker, ulong Session), (Task Task, CancellationTokenSource Stop)> _hosted = [];

    public async Task RunAsync(CancellationToken cancellation)
    {
        ClientState state = client.State;
        var join = new JoinProcessBody(state.Process, state.Incarnation, job.Group, state.Options.Name);
        await client.ChangeAsync(FrameKind.JoinProcess, join, cancellation);
        using var stopAll = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var stopped = new TaskCompletionSource(state.Completions);
        using CancellationTokenRegistration registration = cancellation.Register(() => stopped.TrySetResult());
        Task late = state.Timers.Delay(state.Options.StartMs, stopAll.Token);
        bool begun = false;
        try
        {
            while (true)
            {
                (Task changed, MapWorker[]? workers, bool isHost) = Read();
                if (workers is null || Array.TrueForAll(workers, w => w.IsFinished))
                {
                    return;
                }

                Follow(workers, stopAll.Token);
                if (!isHost)
                {
                    // It was silent for too long and counted gone: it lives, and begins as a new host (design R7).
                    await client.ChangeAsync(FrameKind.JoinProcess, join, cancellation);
                    continue;
                }

                begun |= Array.Exists(workers, w => w.Process != 0 || w.IsFinished);
                if (!begun && late.IsCompleted)
                {
                    throw Missing();
                }

                await Task.WhenAny([
                    changed, stopped.Task, client.Core.Over.Task, .. begun ? [] : new[] { late }, .. _hosted.Values.Select(h => h.Task).Where(t => !t.IsCompleted)]);
                cancellation.ThrowIfCancellationRequested();
                await ReapAsync();
                if (client.Core.Over.Task.IsFaulted)
                {
                    await client.Core.Over.Task;
                }
            }
        }
        finally
        {
            stopAll.Cancel();
            foreach ((Task task, CancellationTokenSource stop) in _hosted.Values)
            {
                await task.ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                stop.Dispose();
            }
        }
    }

    private WeirException Missing()
    {
        ClientState state = client.State;
        lock (state.Gate)
        {
            int came = state.Map!.Processes.Count(p => p.Group == job.Group);
            return new WeirException(
                Status.Unreachable,
                $"job {state.Map.Job(job.Group)?.Name} needs {state.Map.Job(job.Group)?.Hosts} processes to host its workers; {came} came within {state.Options.StartMs / 1000.0:0.#} s");
        }
    }

    private (Task Changed, MapWorker[]? Workers, bool IsHost) Read()
    {
        ClientState state = client.State;
        lock (state.Gate)
        {
            // A process that only has sessions of its own is named without a group.
            bool isHost = Array.Exists(state.Map!.Processes, p => p.Process == state.Process && p.Group != 0);
            return (state.MapChanged, state.Map.Job(job.Group)?.Workers, isHost);
        }
    }

    /// <summary>Starts what the map gives this process, stops what it gives to another.</summary>
    private void Follow(MapWorker[] workers, CancellationToken stopAll)
    {
        foreach (((int worker, ulong session), (_, CancellationTokenSource stop)) in _hosted)
        {
            if (worker >= workers.Length || (workers[worker].Session != session && !workers[worker].IsFinished))
            {
                stop.Cancel();
            }
        }

        for (int worker = 0; worker < workers.Length; worker++)
        {
            (int, ulong) key = (worker, workers[worker].Session);
            if (workers[worker].Process == client.State.Process && workers[worker].Session != 0 && !workers[worker].IsFinished && !_hosted.ContainsKey(key))
            {
                var stop = CancellationTokenSource.CreateLinkedTokenSource(stopAll);
                _hosted.Add(key, (HostAsync(worker, workers[worker].Session, stop.Token), stop));
            }
        }
    }

    private async Task HostAsync(int index, ulong session, CancellationToken stop)
    {
        ClientState state = client.State;
        AdminReplyBody taken = await client.ChangeAsync(
            FrameKind.OpenSession, new OpenSessionBody(state.Process, state.Incarnation, job.Group, (uint)index, session), stop);
        var push = new PushSession(session, job.Group, (uint)index) { Clock = taken.Second, Span = new IterationSpan(state.Completions) };
        Worker worker;
        lock (state.Gate)
        {
            client.Core.ThrowIfClosed();
            if (state.Map!.Job(job.Group)?.Workers.ElementAtOrDefault(index).Session != session)
            {
                // A newer map came with the answer: the worker is another's by now, and of its iterations this process would know nothing.
                throw new WeirException(Status.Ended, $"worker {index} is no longer hosted here");
            }

            client.Core.Pushes.Add(push);
            worker = new Worker(client, push, index, job.Workers);
            if (push.Clock > 0)
            {
                client.Core.Clocks.Tell(new ClockEntry(job.Group, (uint)index, push.Clock, state.Map!.Version));
            }
        }

        state.Flush();
        try
        {
            await RunAsync(worker, stop);
            await client.ChangeAsync(FrameKind.EndSession, new EndSessionBody(session, job.Group, (uint)index, worker.Clock), stop);
        }
        finally
        {
            lock (state.Gate)
            {
                if (push.Failure is null && push.Open.Count > 0)
                {
                    client.Core.Pushes.Fail(push, new WeirException(Status.Ended, $"worker {index} is no longer hosted here"));
                }

                client.Core.Pushes.Remove(push);
            }
        }
    }

    /// <summary>A worker that leaves is done with its last iteration, whether its loop looked or ran into the end (design R8).</summary>
    private async Task RunAsync(Worker worker, CancellationToken stop)
    {
        if (worker.HasLeft)
        {
            return;
        }

        try
        {
            await run(worker, stop);
        }
        catch (WeirException left) when (left.Status == Status.Ended && worker.HasLeft)
        {
            // It went on to an iteration that it has no part in.
        }
    }

    /// <summary>A worker that ended because its session did goes on elsewhere; any other failure is the job's.</summary>
    private async Task ReapAsync()
    {
        foreach (((int Worker, ulong Session) key, (Task task, CancellationTokenSource stop)) in _hosted.Where(h => h.Value.Task.IsCompleted).ToArray())
        {
            try
            {
                await task;
            }
            catch (WeirException ended) when (ended.Status is Status.Ended or Status.Restored)
            {
                // The map says who hosts it now.
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                // Stopped because the map gives it to another.
            }

            if (!task.IsCompletedSuccessfully)
            {
                stop.Dispose();
                _hosted.Remove(key);
            }
        }
    }
}
