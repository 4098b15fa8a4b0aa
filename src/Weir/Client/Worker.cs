using Weir.Wire;

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

    internal Worker(WeirClient client, PushSession session, int index, int count)
    {
        _client = client;
        _session = session;
        Index = index;
        Count = count;
        session.Iteration = session.Clock + 1;
        session.Open.Add(new OpenIteration(session.Iteration, client.State.Completions));
    }

    internal PushSession Session => _session;

    /// <summary>Which worker of the job this is, from 0: it names the shard of the data.</summary>
    public int Index { get; }

    /// <summary>How many workers the job has.</summary>
    public int Count { get; }

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

    /// <summary>Pushes rows in the current iteration. Completes when applied; for an aggregating table that is when the iteration has closed
    /// everywhere, so do not await it before <see cref="ClockAsync"/>.</summary>
    public Task PushAsync(WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation = default) =>
        _client.WriteAsync(_session, table, keys, values, PartOperation.Update, cancellation);

    /// <summary>
    /// Pulls rows for the current iteration t under a delay bound: every iteration before t - bound of every worker is contained (OSDI'14 section
    /// 3.5, PS-15). Bound 0 is sequential; null waits for nobody.
    /// </summary>
    public Task<PullResult> PullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation = default) =>
        _client.ReadAsync(_session, table, keys, values, delayBound, cancellation);

    /// <summary>Pushes rows and pulls them back, in one round trip. On an aggregating table the pull does not see this iteration's push.</summary>
    public Task<PullResult> PushPullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, int? delayBound, CancellationToken cancellation = default) =>
        _client.PushPullAsync(_session, table, keys, pushed, pulled, delayBound, cancellation);

    /// <summary>
    /// Ends the current iteration: later pushes belong to the next. Completes when all pushes of the iteration are acknowledged and every node
    /// is being told the worker's clock.
    /// </summary>
    /// <exception cref="WeirException">DeadlineExceeded: not within <see cref="ClientOptions.DeadlineMs"/>; the message says what it waits for.</exception>
    public async Task ClockAsync(CancellationToken cancellation = default)
    {
        OpenIteration ended;
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
            _client.Core.Clocks.Moved(_session);
        }

        _client.State.Flush();
        await ended.Clocked.Task.WaitAsync(cancellation);
    }
}
