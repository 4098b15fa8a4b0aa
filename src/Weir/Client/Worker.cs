using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// One logical worker of a job, hosted by this process: it pushes and pulls in iterations, and ends each with <see cref="ClockAsync"/>. Its
/// identity outlives its process: another one redoes its unfinished iteration, and what stands already is not applied again. Calls may be
/// concurrent within an iteration; pushes are numbered in the order of the calls, which a redo must repeat.
/// </summary>
public sealed class Worker
{
    private readonly WeirClient _client;
    private readonly PushSession _session;

    /// <summary>To be made under the client's gate, with the map that names the session.</summary>
    internal Worker(WeirClient client, PushSession session, int index, int count)
    {
        _client = client;
        _session = session;
        Index = index;
        Count = count;
        session.Iteration = session.Clock + 1;
        session.Open.Add(new OpenIteration(session.Iteration, client.State.Completions));
        client.Core.Changes.Follow(session);
        _ = session.Span.ComeTo(session.Iteration, Instant.Never);
    }

    internal PushSession Session => _session;

    /// <summary>The filters of requests for a table.</summary>
    internal Filters FiltersOf(WeirTable table) => _client.State.FiltersOf(table);

    /// <summary>A filter that stands before a push or a pull says what it left out, for the client's counters.</summary>
    /// <param name="filter">Its name.</param>
    /// <param name="bytesIn">Bytes of the rows that it saw: 8 for a key, 4 for a float.</param>
    /// <param name="bytesOut">Bytes of those that it let through.</param>
    public void CountFiltered(string filter, long bytesIn, long bytesOut)
    {
        lock (_client.State.Gate)
        {
            _client.State.Tally.Count(filter, bytesIn, bytesOut);
        }
    }

    /// <summary>Bytes that would have been sent without the filters before a push or pull, and are not; below 0 where they are after all.</summary>
    public void CountUnsent(long bytes)
    {
        lock (_client.State.Gate)
        {
            _client.State.UncompressedBytes += bytes;
        }
    }

    /// <summary>Which worker of the job this is, from 0: in a job whose workers neither join nor leave it names the shard of the data.</summary>
    public int Index { get; }

    /// <summary>How many workers the job opened with. Where workers join and leave, <see cref="Schedule"/> says whose share is what.</summary>
    public int Count { get; }

    /// <summary>The first iteration that the worker takes part in: 1, or where it joined.</summary>
    public long FirstIteration
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Span.First;
            }
        }
    }

    /// <summary>The last iteration that the worker takes part in, once its leave is decided; null before.</summary>
    public long? LastIteration
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Span.Last is var last && last == MapWorker.NoEnd ? null : last;
            }
        }
    }

    /// <summary>Which workers take part in which iterations, as this process knows it now.</summary>
    public WorkerSchedule Schedule
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Span.Schedule;
            }
        }
    }

    /// <summary>The last finished iteration; 0 is none.</summary>
    public long Clock
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Clock;
            }
        }
    }

    /// <summary>The iteration under way, counted from 1: later pushes belong to it.</summary>
    public long Iteration
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Iteration;
            }
        }
    }

    /// <summary>Time by the client's clock, from some moment on: the difference of two is how long something took, in a simulation by its clock.</summary>
    public TimeSpan Elapsed => TimeSpan.FromMicroseconds(_client.State.Now.Microseconds);

    /// <summary>Pushes rows in the current iteration. Completes when applied; for an aggregating table that is when the iteration has closed
    /// everywhere, so do not await it before <see cref="ClockAsync"/>.</summary>
    public Task PushAsync(WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation = default) =>
        IsOpen
            ? _client.WriteAsync(_session, table, keys, values, PartOperation.Update, cancellation)
            : WriteInTurnAsync(table, keys, values, PartOperation.Update, default, cancellation);

    /// <summary>Has a function of a user's own change rows in the current iteration: <see cref="WeirClient.CallAsync"/>, which says more of it. A redo of the iteration by another process applies no call a second time.</summary>
    /// <exception cref="ArgumentException">As there.</exception>
    /// <exception cref="WeirException">As there.</exception>
    public Task CallAsync(
        WeirTable table, string function, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<byte> argument = default, ReadOnlyMemory<float> values = default, CancellationToken cancellation = default)
    {
        byte[] head = WeirClient.FunctionHead(table, function, argument.Span);
        return IsOpen
            ? _client.WriteAsync(_session, table, keys, values, PartOperation.Function, cancellation, head)
            : WriteInTurnAsync(table, keys, values, PartOperation.Function, head, cancellation);
    }

    /// <summary>
    /// Pulls rows for the current iteration t under a delay bound: every iteration before t - bound of every worker is contained (OSDI'14 section
    /// 3.5, PS-15). Bound 0 is sequential; null waits for nobody.
    /// </summary>
    public Task<PullResult> PullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation = default) =>
        IsOpen
            ? _client.ReadAsync(_session, table, keys, values, delayBound, cancellation)
            : PullInTurnAsync(table, keys, values, delayBound, cancellation);

    /// <summary>Pulls rows for the current iteration under the table's own delay bound as it is now: <see cref="TableOptions.DelayBound"/>.</summary>
    public Task<PullResult> PullAsync(WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, CancellationToken cancellation = default) =>
        PullAsync(table, keys, values, _client.DelayBoundOf(table), cancellation);

    /// <summary>Pushes rows and pulls them back under the table's own delay bound as it is now, in one round trip.</summary>
    public Task<PullResult> PushPullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, CancellationToken cancellation = default) =>
        PushPullAsync(table, keys, pushed, pulled, _client.DelayBoundOf(table), cancellation);

    /// <summary>Pushes rows and pulls them back, in one round trip. On an aggregating table the pull does not see this iteration's push.</summary>
    public Task<PullResult> PushPullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, int? delayBound, CancellationToken cancellation = default) =>
        IsOpen
            ? _client.PushPullAsync(_session, table, keys, pushed, pulled, delayBound, cancellation)
            : PushPullInTurnAsync(table, keys, pushed, pulled, delayBound, cancellation);

    /// <summary>
    /// Ends the current iteration: later calls belong to the next. Completes when all pushes of the iteration are acknowledged, every node is
    /// being told the worker's clock, and the next iteration has begun or is known not to come. While a join or leave of workers is being
    /// agreed on the next may have to wait for it; calls made meanwhile wait with it, in their order.
    /// </summary>
    /// <returns>True: the next iteration has begun. False: this was the worker's last, for it leaves the job (a planned leave): its loop ends,
    /// and further calls fail with <see cref="Status.Ended"/>, which ends a loop that does not look.</returns>
    /// <exception cref="WeirException">DeadlineExceeded: not within <see cref="ClientOptions.DeadlineMs"/>; the message says what it waits for.</exception>
    public Task<bool> ClockAsync(CancellationToken cancellation = default) =>
        IsOpen ? EndIterationAsync(cancellation) : EndInTurnAsync(cancellation);

    /// <summary>The worker has done all iterations that it takes part in.</summary>
    internal bool HasLeft
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Span.HasLeft && _session.Clock >= _session.Span.Last;
            }
        }
    }

    private void ThrowIfOver()
    {
        if (_session.Failure is { } failure)
        {
            throw failure;
        }

        if (_session.Span.HasLeft)
        {
            throw new WeirException(Status.Ended, $"worker {Index} has left the job after iteration {_session.Span.Last}");
        }
    }

    private bool IsOpen
    {
        get
        {
            lock (_client.State.Gate)
            {
                return _session.Span.IsOpen;
            }
        }
    }

    private async Task<bool> EndIterationAsync(CancellationToken cancellation)
    {
        OpenIteration ended;
        Task<bool> next;
        lock (_client.State.Gate)
        {
            if (_session.Failure is { } failure)
            {
                throw failure;
            }

            ended = _session.Open[^1];
            ended.Ended = true;
            ended.Deadline = _client.State.Now.AfterMs(_client.State.Options.DeadlineMs);
            _session.Iteration++;
            _session.Pushes = 0;
            _session.Open.Add(new OpenIteration(_session.Iteration, _client.State.Completions));
            next = _session.Span.ComeTo(_session.Iteration, ended.Deadline);
            _client.Core.Clocks.Moved(_session);
        }

        _client.State.Flush();
        await ended.Clocked.Task.WaitAsync(cancellation);
        return await next.WaitAsync(cancellation);
    }

    // The calls that wait are apart, so that those that need not allocate nothing for it.
    private Task<bool> WriteInTurnAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, PartOperation operation, ReadOnlyMemory<byte> head, CancellationToken cancellation) =>
        InTurnAsync(
            async () =>
            {
                await _client.WriteAsync(_session, table, keys, values, operation, cancellation, head);
                return true;
            },
            cancellation);

    private Task<PullResult> PullInTurnAsync(WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation) =>
        InTurnAsync(() => _client.ReadAsync(_session, table, keys, values, delayBound, cancellation), cancellation);

    private Task<PullResult> PushPullInTurnAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, int? delayBound, CancellationToken cancellation) =>
        InTurnAsync(() => _client.PushPullAsync(_session, table, keys, pushed, pulled, delayBound, cancellation), cancellation);

    private Task<bool> EndInTurnAsync(CancellationToken cancellation) => InTurnAsync(() => EndIterationAsync(cancellation), cancellation);

    /// <summary>Makes a call once the iteration that it belongs to has begun, after all calls before it.</summary>
    /// <exception cref="WeirException">Ended: there is no such iteration, the worker has left.</exception>
    private async Task<T> InTurnAsync<T>(Func<Task<T>> call, CancellationToken cancellation)
    {
        CallTurn turn;
        lock (_client.State.Gate)
        {
            turn = _session.Span.TakeTurn();
        }

        Task<T> made;
        try
        {
            Task? waits = turn.Before;
            while (waits is not null)
            {
                await waits.WaitAsync(cancellation);
                lock (_client.State.Gate)
                {
                    ThrowIfOver();
                    waits = _session.Span.Held?.Task;
                }
            }

            made = call();
        }
        finally
        {
            turn.End();
        }

        return await made;
    }
}
