using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Weir.Checkpoints;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// A connection to a Weir cluster: tables to push to and pull from. Safe for any number of concurrent callers. Opened by
/// <c>WeirHost.ConnectAsync</c> or <c>WeirHost.StartEmbedded</c>; closing it ends its sessions.
/// </summary>
public sealed class WeirClient : IAsyncDisposable
{
    private readonly ClientCore _core;
    private readonly Func<ValueTask> _closeNetwork;
    private readonly RecentCuts _cuts = new();
    private Task<PushSession>? _opening;
    private PushSession? _own;
    private KnownEncodings _agreed;

    internal WeirClient(ClientCore core, Func<ValueTask> closeNetwork)
    {
        _core = core;
        Tasks = new WeirTasks(this);
        _closeNetwork = closeNetwork;
    }

    /// <summary>Tasks of this process and for others (papers PS-10 to PS-13).</summary>
    public WeirTasks Tasks { get; }

    internal ClientCore Core => _core;

    internal ClientState State => _core.State;

    /// <summary>What this client has sent and received so far.</summary>
    public ClientCounters Counters
    {
        get
        {
            lock (State.Gate)
            {
                return new ClientCounters(
                    State.PushBytes, State.PullBytes, State.UncompressedBytes, State.KeysSent, State.ValuesMoved, State.RequestCount, State.Superseded, State.MixedPulls, State.Tally.All);
            }
        }
    }

    /// <summary>
    /// Why pushes wait, where servers have no room for new rows, in memory or in the quota of the client's namespace; null where none waits for that. They go on by themselves once there is room, and fail with their deadline.
    /// </summary>
    public string? LacksRoom
    {
        get
        {
            lock (State.Gate)
            {
                return _core.Pushes.LacksRoom;
            }
        }
    }

    /// <summary>Finds the cluster at any of the addresses and reads its map.</summary>
    /// <exception cref="WeirException">Unreachable: nobody answered in time, the message names every address and why. Conflict: a server does not know an
    /// encoding that the client's filters use, the message names both.</exception>
    internal static async Task<WeirClient> OpenAsync(ClientCore core, IReadOnlyList<string> addresses, Func<ValueTask> closeNetwork, CancellationToken cancellation)
    {
        var client = new WeirClient(core, closeNetwork);
        Task<byte[]>[] asked = [.. addresses.Select(a =>
            core.AskAsync(a, FrameKind.ReadMap, FrameKind.ReadMapReply, default(EmptyBody), core.State.Options.ConnectMs, cancellation, anyCluster: true))];
        List<Task<byte[]>> open = [.. asked];
        while (open.Count > 0)
        {
            Task<byte[]> answered = await Task.WhenAny(open);
            open.Remove(answered);
            if (answered.IsCompletedSuccessfully && MapEncoding.TryDecode(await answered, out ClusterMap map))
            {
                lock (core.State.Gate)
                {
                    core.Adopt(map);
                }

                try
                {
                    await client.AgreeAsync(FilterForms.Newer(core.State.Options.Filters), addresses[Array.IndexOf(asked, answered)], cancellation);
                    return client;
                }
                catch
                {
                    await client.DisposeAsync();
                    throw;
                }
            }
        }

        await client.DisposeAsync();
        cancellation.ThrowIfCancellationRequested();
        string reasons = string.Join("; ", asked.Select(a => a.Exception?.InnerException?.Message ?? "its answer makes no sense"));
        throw new WeirException(Status.Unreachable, $"no cluster found within {core.State.Options.ConnectMs / 1000.0:0.#} s: {reasons}", addresses[0]);
    }

    /// <summary>
    /// Asks the servers whether they know the encodings that came after the first release, where this client will use one: a frame with one that they do
    /// not know they would refuse whole. The one that gave the map has to answer; others may be down, and are asked for a second.
    /// </summary>
    /// <param name="used">Those that it will use.</param>
    /// <param name="first">Who gave the map; null where any server that answers will do.</param>
    /// <param name="cancellation">Ends it.</param>
    private async Task AgreeAsync(KnownEncodings used, string? first, CancellationToken cancellation)
    {
        ClusterMap map;
        lock (State.Gate)
        {
            used &= ~_agreed;
            map = State.Map!;
        }

        if (used == KnownEncodings.None)
        {
            return;
        }

        const int OthersMs = 1000;
        var hello = new HelloBody(State.Process, State.Incarnation, FrameHeader.Version, FrameHeader.Version, used, "");
        string[] addresses = [.. first is null ? [] : new[] { first }, .. map.Members.Select(member => member.Address).Where(address => address != first)];
        Task<byte[]>[] asked = [.. addresses.Select(address => _core.AskAsync(
            address, FrameKind.Hello, FrameKind.HelloReply, hello, address == first ? State.Options.ConnectMs : Math.Min(OthersMs, State.Options.ConnectMs), cancellation))];
        for (int i = 0; i < asked.Length; i++)
        {
            try
            {
                if (!HelloBody.TryRead(await asked[i], out HelloBody reply) || (reply.Encodings & used) != used)
                {
                    throw new WeirException(
                        Status.Conflict, $"server {addresses[i]} does not know the encoding {used}, which this client's filters use; start it with this release of Weir, or connect without that filter", addresses[i]);
                }
            }
            catch (WeirException silent) when (silent.Status == Status.Unreachable && (first is null || i > 0))
            {
                // It is down, or still unknown to the network: what it would refuse fails with its own words.
            }
        }

        if (Array.Exists(asked, answer => answer.IsCompletedSuccessfully))
        {
            lock (State.Gate)
            {
                _agreed |= used;
            }
        }
    }

    /// <summary>Opens a table, creating it where the cluster has none of this name.</summary>
    /// <exception cref="ArgumentOutOfRangeException">ExpireAfterClocks, AdmitAfterSightings or DelayBound is out of its range.</exception>
    /// <exception cref="ArgumentException">The name has a '/'; or Filters names none, or two that exclude each other.</exception>
    /// <exception cref="WeirException">Conflict: a table of this name has another shape, the message shows both; or a server does not know an encoding that the filters use; or a durable table is asked for and a server,
    /// which the message names, has no journal.</exception>
    public async Task<WeirTable> OpenTableAsync(TableOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        CheckBound(options.DelayBound);
        Filters filters = options.Filters ?? State.Options.Filters;
        if (FilterForms.Faults(filters, nameof(TableOptions.Filters)).FirstOrDefault() is { } fault)
        {
            throw new ArgumentException(fault, nameof(options));
        }

        var body = new OpenTableBody(
            Qualified("table", options.Name), options.Width, options.Rule, options.InitialValue, options.Aggregate, options.Job?.Group ?? 0,
            new KeyLifetime(options.ExpireAfterClocks, options.AdmitAfterSightings),
            options.Committed,
            options.Durable,
            options.DelayBound ?? PullItem.NoBound,
            options.Dimensions);
        await AgreeAsync(FilterForms.Newer(filters), first: null, cancellation);
        AdminReplyBody reply = await ChangeAsync(FrameKind.OpenTable, body, cancellation);
        uint id = (uint)reply.First;
        lock (State.Gate)
        {
            return new WeirTable(State.Map!.Table(id) ?? throw new WeirException(Status.UnknownTable, $"table {options.Name} was dropped as it was opened"), options.Filters);
        }
    }

    /// <summary>
    /// Changes the delay bound of a table's pulls that name none of their own, for everybody and while workers run (PS-16): a job may begin loose and end strict.
    /// A process whose pulls have it from now on is one that has read of it, within a heartbeat or the next answer; this client has when the call completes.
    /// </summary>
    /// <param name="table">A table of a job.</param>
    /// <param name="delayBound">0 or above; null for pulls that wait for nobody.</param>
    /// <param name="cancellation">Ends the wait, not the change.</param>
    /// <exception cref="WeirException">Conflict: the table has no job; UnknownTable: it was dropped.</exception>
    public Task SetDelayBoundAsync(WeirTable table, int? delayBound, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(table);
        CheckBound(delayBound);
        return ChangeAsync(FrameKind.SetDelayBound, new SetDelayBoundBody(table.Id, delayBound ?? PullItem.NoBound), cancellation);
    }

    /// <summary>The delay bound of a table's pulls that name none of their own, as this client knows it; null for none.</summary>
    public int? DelayBoundOf(WeirTable table)
    {
        ArgumentNullException.ThrowIfNull(table);
        lock (State.Gate)
        {
            return State.Map?.Table(table.Id)?.DelayBound is >= 0 and int bound ? bound : null;
        }
    }

    /// <summary>Drops a table with all its rows, for everybody.</summary>
    public Task DropTableAsync(WeirTable table, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(table);
        return ChangeAsync(FrameKind.DropTable, new NumberBody(table.Id), cancellation);
    }

    /// <summary>Opens a job: its workers are hosted once enough processes call <see cref="HostWorkersAsync"/>.</summary>
    /// <exception cref="ArgumentException">The name has a '/'.</exception>
    /// <exception cref="WeirException">Conflict: a job of this name is running.</exception>
    public async Task<Job> OpenJobAsync(JobOptions options, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        var body = new OpenJobBody(Qualified("job", options.Name), options.Workers, options.Hosts, options.ContinueWithout, State.Nonce());
        AdminReplyBody reply = await ChangeAsync(FrameKind.OpenJob, body, cancellation);
        return new Job((uint)reply.First, options.Workers);
    }

    /// <summary>A job that another process has opened, by its number.</summary>
    /// <exception cref="WeirException">Ended: there is no such job.</exception>
    public async Task<Job> FindJobAsync(uint group, CancellationToken cancellation = default)
    {
        ClusterMap map = await ReadMapAsync(State.Options.DeadlineMs, cancellation);
        return Of(map.Job(group) is { } job && IsOwn(job.Name) ? job : throw new WeirException(Status.Ended, $"there is no job {group}{InNamespace}"));
    }

    /// <summary>A job that another process has opened, by its name.</summary>
    /// <param name="name">The name; null for the only job that runs in the client's namespace.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="WeirException">Ended: there is no such job, or with no name none or several; the message lists those that run.</exception>
    public async Task<Job> FindJobAsync(string? name, CancellationToken cancellation = default)
    {
        ClusterMap map = await ReadMapAsync(State.Options.DeadlineMs, cancellation);
        MapJob[] own = [.. map.Jobs.Where(j => IsOwn(j.Name))];
        MapJob[] found = [.. own.Where(j => name is null || QualifiedName.Parse(j.Name).Name == name)];
        string running = own.Length == 0 ? $"none runs{InNamespace}" : $"these run{InNamespace}: {string.Join(", ", own.Select(j => QualifiedName.Parse(j.Name).Name))}";
        return found.Length == 1
            ? Of(found[0])
            : throw new WeirException(Status.Ended, name is null ? $"the job must be named where not exactly one runs: {running}" : $"there is no job {name}; {running}");
    }

    /// <summary>Ends a job: its workers' sessions end, its tables stay.</summary>
    public Task EndJobAsync(Job job, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        return ChangeAsync(FrameKind.EndJob, new NumberBody(job.Group), cancellation);
    }

    /// <summary>
    /// Adds workers to a running job (a planned join; design R8). The hosts of its workers agree on an iteration that none of them has begun;
    /// from it on the new workers take part, hosted like the others, and every pull waits for them too. Each hears its first iteration as
    /// <see cref="Worker.FirstIteration"/> and its share of the data from <see cref="Worker.Schedule"/>.
    /// </summary>
    /// <param name="job">The job.</param>
    /// <param name="count">How many, at least 1.</param>
    /// <param name="fromIteration">The first iteration that they may take part in; the iteration agreed on may be later.</param>
    /// <param name="cancellation">Ends the waiting; the join may still take place.</param>
    /// <returns>Which workers joined, and from which iteration on.</returns>
    /// <exception cref="WeirException">Conflict: all workers have finished, or somebody else added some meanwhile; Ended: the job has ended;
    /// DeadlineExceeded: it was not agreed on within <see cref="ClientOptions.DeadlineMs"/>, and may still be.</exception>
    public async Task<JoinedWorkers> AddWorkersAsync(Job job, int count, long fromIteration = 1, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(fromIteration, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(fromIteration, Seq.MaxIteration);
        return await new WorkerRequests(this, job).AddAsync(count, fromIteration, cancellation);
    }

    /// <summary>
    /// Takes a worker out of a running job (a planned leave; design R8). The hosts agree on an iteration that none of them has begun; the worker
    /// goes on through the one before it, and nobody waits for more. Its <see cref="Worker.ClockAsync"/> then gives false.
    /// </summary>
    /// <param name="job">The job.</param>
    /// <param name="worker">The worker's index.</param>
    /// <param name="throughIteration">The first iteration that may be its last; the one agreed on may be later.</param>
    /// <param name="cancellation">Ends the waiting; the leave may still take place.</param>
    /// <returns>The last iteration that the worker takes part in; the same for one that was about to leave already.</returns>
    /// <exception cref="WeirException">Conflict: there is no such worker, it has finished, or it is the last one at work; Ended: the job has ended;
    /// DeadlineExceeded as for <see cref="AddWorkersAsync"/>.</exception>
    public async Task<long> RemoveWorkerAsync(Job job, int worker, long throughIteration = 1, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentOutOfRangeException.ThrowIfNegative(worker);
        ArgumentOutOfRangeException.ThrowIfLessThan(throughIteration, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(throughIteration, Seq.MaxIteration);
        return await new WorkerRequests(this, job).RemoveAsync(worker, throughIteration, cancellation);
    }

    /// <summary>
    /// Has a server hand over all that it holds; it then is a member without segments that may be stopped, and gets none any more. Pushes and pulls go
    /// on meanwhile.
    /// </summary>
    /// <param name="server">Its address, its id, or the beginning of its id.</param>
    /// <param name="progress">Hears in how many chains the server stands yet; null for nobody.</param>
    /// <param name="cancellation">Ends the waiting; the cluster goes on draining.</param>
    /// <exception cref="WeirException">Conflict: there is no such server, or no other to take over, or it was taken back; DeadlineExceeded: no segment has moved for
    /// <see cref="ClientOptions.DeadlineMs"/>, and they may still.</exception>
    public Task DrainServerAsync(string server, IProgress<int>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(server);
        return new ServerRequests(this).DrainAsync(server, progress, cancellation);
    }

    /// <summary>A server that was drained, or is being, gets segments again.</summary>
    /// <param name="server">Its address, its id, or the beginning of its id.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="WeirException">Conflict: there is no such server.</exception>
    public Task UndrainServerAsync(string server, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(server);
        return new ServerRequests(this).UndrainAsync(server, cancellation);
    }

    /// <summary>A server that is dead or drained leaves the map for good. One that lives then stops.</summary>
    /// <param name="server">Its address, its id, or the beginning of its id.</param>
    /// <param name="givesUp">
    /// Accept that segments which nobody else holds are lost: they begin anew without rows, and every worker goes on from its clock under a new session.
    /// </param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <returns>How many segments were given up.</returns>
    /// <exception cref="WeirException">Conflict: there is no such server, it is alive and is not drained, or it has the last complete copy of some, which
    /// the message names.</exception>
    public Task<int> ForgetServerAsync(string server, bool givesUp = false, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(server);
        return new ServerRequests(this).ForgetAsync(server, givesUp, cancellation);
    }

    /// <summary>
    /// Says how much memory the rows of a namespace may take (papers PS-6), for an operator: whatever namespace this client works in. A row counts with its values, optimizer state and clock and 12
    /// bytes for its key, once however many copies there are. Pushes that need new rows beyond that wait, as at a server without memory, until there is room or they fail with
    /// <see cref="Status.DeadlineExceeded"/> and the reason; pushes to rows that there are go on. Each server sees to its share, that of the segments it leads, so that some percent
    /// may be left when the first push waits. Rows that are there stay where the quota is set below them.
    /// </summary>
    /// <param name="name">The namespace, empty for the default one; nothing needs to be in it yet.</param>
    /// <param name="quotaBytes">Bytes, above 0; null for as much as the servers have.</param>
    /// <param name="cancellation">Ends the waiting.</param>
    /// <exception cref="ArgumentException">This is no namespace's name.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The quota is 0 or below.</exception>
    public Task SetNamespaceQuotaAsync(string name, long? quotaBytes, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (QualifiedName.NamespaceFault(name) is { } fault)
        {
            throw new ArgumentException(fault, nameof(name));
        }

        if (quotaBytes <= 0)
        {
            throw new ArgumentOutOfRangeException(nameof(quotaBytes), quotaBytes, "a quota is above 0; null takes it away");
        }

        return ChangeAsync(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody(name, quotaBytes ?? 0), cancellation);
    }

    /// <summary>Which workers of a job take part in which iterations, as this client knows it now.</summary>
    /// <exception cref="WeirException">Ended: there is no such job, or no longer.</exception>
    public WorkerSchedule ScheduleOf(Job job)
    {
        ArgumentNullException.ThrowIfNull(job);
        lock (State.Gate)
        {
            return new WorkerSchedule(State.Map!.Job(job.Group) ?? throw new WeirException(Status.Ended, $"job {job.Group} has ended"));
        }
    }

    /// <summary>Waits until a job has another schedule than the one given.</summary>
    /// <exception cref="WeirException">Ended: there is no such job, or no longer.</exception>
    public Task<WorkerSchedule> ScheduleAfterAsync(Job job, WorkerSchedule known, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(known);
        return new WorkerRequests(this, job).ScheduleAfterAsync(known, cancellation);
    }

    /// <summary>
    /// Offers this process as a host of the job's workers and runs <paramref name="run"/> for each worker that the cluster gives it, until all
    /// workers of the job have finished. A worker of a process that died comes with the clock where that process left it: <paramref name="run"/>
    /// begins at <see cref="Worker.Clock"/> + 1 and computes the same pushes from the same data, in the same order. A worker that joined begins at
    /// <see cref="Worker.FirstIteration"/> in the same way; one that leaves is told so by <see cref="Worker.ClockAsync"/>.
    /// </summary>
    /// <exception cref="WeirException">Unreachable: the job needs more hosts than came within <see cref="ClientOptions.StartMs"/>; or the failure
    /// of a worker, or StateLost.</exception>
    public Task HostWorkersAsync(Job job, Func<Worker, CancellationToken, Task> run, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(job);
        ArgumentNullException.ThrowIfNull(run);
        return new WorkerHosting(this, job, run).RunAsync(cancellation);
    }

    /// <summary>Pushes rows through the table's update rule. Keys may come in any order and repeat; repeated keys are summed.</summary>
    /// <param name="table">The table.</param>
    /// <param name="keys">Any 64-bit keys.</param>
    /// <param name="values">Keys times width floats; unchanged until the task completes.</param>
    /// <param name="cancellation">Ends the waiting, not the push: once sent it may still be applied, once.</param>
    /// <returns>Completes when every row was applied and acknowledged.</returns>
    /// <exception cref="WeirException">See <see cref="Status"/>.</exception>
    public Task PushAsync(WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation = default) =>
        WriteAsync(table, keys, values, PartOperation.Update, cancellation);

    /// <summary>Sets rows to the values given, whatever the update rule; its state is made to agree (the last of repeated keys is not defined).</summary>
    public Task SetAsync(WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, CancellationToken cancellation = default) =>
        WriteAsync(table, keys, values, PartOperation.Assign, cancellation);

    /// <summary>Deletes rows; absent keys are passed over.</summary>
    public Task DeleteAsync(WeirTable table, ReadOnlyMemory<ulong> keys, CancellationToken cancellation = default) =>
        WriteAsync(table, keys, default, PartOperation.Delete, cancellation);

    /// <summary>
    /// Has a function of a user's own change rows at the servers that have them (papers PS-9): an <c>IServerFunction</c> that the operator gave to every server. It is a push like any: applied once, in the order of this client's
    /// pushes, replicated, journalled where the table is durable. Each segment's rows are changed together or not at all; of a call that fails those of other segments may stand.
    /// </summary>
    /// <param name="table">A table that does not aggregate.</param>
    /// <param name="function">Its name: 1 to 256 bytes of UTF-8.</param>
    /// <param name="keys">Any keys, in any order; one that is named several times is one row.</param>
    /// <param name="argument">What the function reads of the whole call, up to 16,384 bytes; it goes to every segment that has one of the keys, so keep it short. Unchanged until the task completes.</param>
    /// <param name="values">Keys times width floats, those of repeated keys summed, unchanged until the task completes; or empty.</param>
    /// <param name="cancellation">Ends the waiting, not the call: once sent it may still be applied, once.</param>
    /// <returns>Completes when the rows were changed and acknowledged.</returns>
    /// <exception cref="ArgumentException">The name, the argument or the values are of the wrong length, or the table aggregates.</exception>
    /// <exception cref="WeirException">Failed: the function threw, made a number that is not finite or used up its budget of time, or a server has none of this name; the message says which, and what to do. Else see <see cref="Status"/>.</exception>
    public Task CallAsync(
        WeirTable table, string function, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<byte> argument = default, ReadOnlyMemory<float> values = default, CancellationToken cancellation = default) =>
        WriteAsync(table, keys, values, PartOperation.Function, cancellation, FunctionHead(table, function, argument.Span));

    /// <summary>Pulls rows without waiting for anybody's clock.</summary>
    /// <param name="table">The table.</param>
    /// <param name="keys">Any keys; repeated keys get the same row.</param>
    /// <param name="values">Keys times width floats, written by the time the task completes; absent rows read as the table's initial value.</param>
    /// <param name="cancellation">Ends the call; the buffer may then hold part of the rows.</param>
    public Task<PullResult> PullAsync(WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, CancellationToken cancellation = default) =>
        ReadAsync(null, table, keys, values, null, cancellation);

    /// <summary>Pushes rows and pulls them back with the push applied, in one round trip.</summary>
    public Task<PullResult> PushPullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, CancellationToken cancellation = default) =>
        OwnSession is { } session
            ? PushPullAsync(session, table, keys, pushed, pulled, null, cancellation)
            : OpenAndPushPullAsync(table, keys, pushed, pulled, cancellation);

    /// <summary>All rows of a table, segment by segment: for export and evaluation. Rows pushed meanwhile may or may not be seen.</summary>
    public async IAsyncEnumerable<RowBatch> ScanAsync(WeirTable table, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(table);
        for (int segment = 0; segment < State.Map!.Segments; segment++)
        {
            ulong from = 0;
            for (bool done = false; !done;)
            {
                byte[] body = await ScanAsync(segment, FrameKind.Scan, new ScanBody(table.Id, (uint)segment, from), cancellation);
                (RowBatch batch, from, done) = ReadScan(body, segment);
                if (batch.Keys.Length > 0)
                {
                    yield return batch;
                }
            }
        }
    }

    /// <summary>
    /// The rows of a table whose keys lie in a range (papers PS-2), in no order. Keys are spread over all segments by their hash, so this goes through the whole table at every server and costs
    /// as much as <see cref="ScanAsync(WeirTable, CancellationToken)"/>; who knows which keys there are pulls them, and a range of a <see cref="WeirVector"/> is such a list.
    /// </summary>
    /// <param name="table">The table.</param>
    /// <param name="firstKey">The smallest key wanted.</param>
    /// <param name="lastKey">The largest key wanted.</param>
    /// <param name="cancellation">Ends the scan.</param>
    /// <exception cref="ArgumentOutOfRangeException">The last key is below the first.</exception>
    public async IAsyncEnumerable<RowBatch> ScanAsync(WeirTable table, ulong firstKey, ulong lastKey, [EnumeratorCancellation] CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentOutOfRangeException.ThrowIfLessThan(lastKey, firstKey);
        await foreach (RowBatch batch in ScanAsync(table, cancellation))
        {
            ulong[] keys = batch.Keys.ToArray();
            int[] inRange = [.. Enumerable.Range(0, keys.Length).Where(i => keys[i] >= firstKey && keys[i] <= lastKey)];
            if (inRange.Length == keys.Length)
            {
                yield return batch;
            }
            else if (inRange.Length > 0)
            {
                float[] values = new float[inRange.Length * table.Width];
                for (int i = 0; i < inRange.Length; i++)
                {
                    batch.Values.Span.Slice(inRange[i] * table.Width, table.Width).CopyTo(values.AsSpan(i * table.Width));
                }

                yield return new RowBatch(inRange.Select(i => keys[i]).ToArray(), values);
            }
        }
    }

    /// <summary>
    /// Offers the rows of a table with the rule Score: of those that a server goes through for one request, it sends those with the highest scores alone, and none below what is kept already. Rows pushed
    /// meanwhile may or may not be seen.
    /// </summary>
    internal async Task OfferHighestAsync(WeirTable table, HighestScores highest, CancellationToken cancellation)
    {
        const int SegmentsAtOnce = 16;
        Lock gate = new();
        int segments = State.Map!.Segments, next = -1;
        await Task.WhenAll(Enumerable.Range(0, Math.Min(segments, SegmentsAtOnce)).Select(_ => GoThroughAsync()));

        async Task GoThroughAsync()
        {
            for (int segment = Interlocked.Increment(ref next); segment < segments; segment = Interlocked.Increment(ref next))
            {
                ulong from = 0;
                for (bool done = false; !done;)
                {
                    double floor;
                    lock (gate)
                    {
                        floor = highest.Floor;
                    }

                    byte[] body = await ScanAsync(segment, FrameKind.ScanHighest, new ScanHighestBody(new ScanBody(table.Id, (uint)segment, from), highest.Most, floor), cancellation);
                    (RowBatch batch, from, done) = ReadScan(body, segment);
                    lock (gate)
                    {
                        Offer(batch, highest, segment);
                    }
                }
            }
        }
    }

    /// <summary>What the cluster says of itself: members and namespaces, and of the client's namespace the tables, and the jobs with their workers' clocks.</summary>
    public async Task<ClusterStatus> GetStatusAsync(CancellationToken cancellation = default)
    {
        ClusterMap map = await ReadMapAsync(State.Options.ConnectMs, cancellation);
        List<StatusReplyBody> nodes = [];
        foreach (MapMember member in map.Members)
        {
            try
            {
                byte[] body = await _core.AskAsync(
                    member.Address, FrameKind.Status, FrameKind.StatusReply, default(EmptyBody), Math.Min(2000, State.Options.ConnectMs), cancellation);
                if (StatusReplyBody.TryRead(body, out StatusReplyBody reply))
                {
                    nodes.Add(reply);
                }
            }
            catch (WeirException)
            {
                // A member that does not answer is shown without its figures.
            }
        }

        return ClusterStatus.Of(map, nodes, State.Options.Namespace);
    }

    /// <summary>
    /// Writes a checkpoint of the whole cluster while all go on: each segment as of one moment with what de-duplication needs to know, tables that
    /// aggregate as of one iteration of their workers. An iteration that nobody has begun is agreed on for that, and waited for.
    /// </summary>
    /// <param name="store">Where it goes: <c>FolderStore</c> of Weir.Host, or another.</param>
    /// <param name="name">Its name; one of this name is replaced.</param>
    /// <param name="cancellation">Ends the writing; what was written is no checkpoint.</param>
    /// <exception cref="WeirException">Nothing is left of it, and training goes on. DeadlineExceeded: nothing came for <see cref="ClientOptions.DeadlineMs"/>, the message says what it waits for;
    /// Full: a server has no memory for the old values of rows that change meanwhile; Busy: others write one, or servers die all the time.</exception>
    /// <exception cref="System.IO.IOException">The store failed, for instance as its disk is full; the message names the file. Likewise. What a store of your own throws comes through.</exception>
    public Task<CheckpointSummary> SaveCheckpointAsync(ICheckpointStore store, string name, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        CheckpointCatalog.CheckName(name);
        return new CheckpointWriter(this, store, name).RunAsync(cancellation);
    }

    /// <summary>
    /// Loads a checkpoint: the cluster then holds it and nothing else. A generation begins; calls under way fail with <see cref="Status.Restored"/>, and
    /// workers go on from the clocks of the checkpoint as soon as processes host them. It is verified as a whole first: from one that is not sound nothing
    /// is loaded. A cluster in which this fails half-way serves nobody until a checkpoint was loaded to the end.
    /// </summary>
    /// <param name="store">Where it is.</param>
    /// <param name="name">Its name.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="cancellation">Ends the loading.</param>
    /// <returns>What was loaded, and what was acknowledged after the cut and is gone.</returns>
    /// <exception cref="WeirException">Malformed: it is not sound, the message names every file; Conflict: the cluster has another number of segments, or
    /// tables of its own; Full: it does not fit.</exception>
    public Task<RestoreSummary> RestoreCheckpointAsync(ICheckpointStore store, string name, RestoreOptions? options = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(store);
        CheckpointCatalog.CheckName(name);
        return new CheckpointLoader(this, store, name, options ?? new RestoreOptions()).RunAsync(cancellation);
    }

    /// <summary>Says goodbye, so that nobody waits for a timeout, and closes. Calls under way fail.</summary>
    public async ValueTask DisposeAsync()
    {
        bool known;
        lock (State.Gate)
        {
            known = State.Map is { } map && (Core.Pushes.Sessions.Count > 0 || Array.Exists(map.Processes, p => p.Process == State.Process));
        }

        if (known)
        {
            try
            {
                var leave = new LeaveBody(MemberRole.Process, State.Process, State.Incarnation);
                await _core.AskManagerAsync(FrameKind.Leave, FrameKind.AdminReply, leave, 1000, CancellationToken.None);
            }
            catch (WeirException)
            {
                // Nobody to say goodbye to: the cluster will notice the silence.
            }
            catch (ObjectDisposedException)
            {
                // Closed twice.
            }
        }

        _core.Dispose();
        await _closeNetwork();
    }

    /// <summary>A request that changes the map; done when this client has read the map that it made.</summary>
    internal async Task<AdminReplyBody> ChangeAsync<TBody>(FrameKind kind, TBody body, CancellationToken cancellation)
        where TBody : IBody
    {
        byte[] bytes = await _core.AskManagerAsync(kind, FrameKind.AdminReply, body, State.Options.DeadlineMs, cancellation);
        if (!AdminReplyBody.TryRead(bytes, out AdminReplyBody reply))
        {
            throw new WeirException(Status.Malformed, $"the answer to {kind} makes no sense", ManagerAddress());
        }

        if (reply.Status != Status.Acked)
        {
            throw new WeirException(reply.Status, reply.Text.Length > 0 ? reply.Text : $"{kind} was refused: {reply.Status}", ManagerAddress());
        }

        // The manager answers once it acts on the map that the change made; another member may have an older one yet.
        Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
        while ((await ReadMapAsync(State.Options.DeadlineMs, cancellation)).Version < _core.NamedMapVersion && State.Now < deadline)
        {
            await State.Timers.Delay(State.Options.BackoffMs, cancellation);
        }

        return reply;
    }

    /// <summary>Asks the manager for a change like <see cref="ChangeAsync{TBody}"/>, and again, with a new body, while another change that stands in its way is under way.</summary>
    internal async Task<AdminReplyBody> ChangeWhenFreeAsync<TBody>(FrameKind kind, Func<Task<TBody>> body, CancellationToken cancellation)
        where TBody : IBody
    {
        Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
        while (true)
        {
            try
            {
                return await ChangeAsync(kind, await body(), cancellation);
            }
            catch (WeirException busy) when (busy.Status == Status.Busy && State.Now < deadline)
            {
                await State.Timers.Delay(State.Options.BackoffMs, cancellation);
            }
        }
    }

    /// <summary>What the map calls a table, job or tasks' node of the client's namespace.</summary>
    /// <exception cref="ArgumentException">The name has a slash.</exception>
    internal string Qualified(string kind, string name) => QualifiedName.NameFault(kind, name) is { } fault
        ? throw new ArgumentException(fault, nameof(name))
        : new QualifiedName(State.Options.Namespace, name).ToString();

    /// <summary>Whether what the map calls so is of the client's namespace.</summary>
    private bool IsOwn(string name) => QualifiedName.Parse(name).Namespace == State.Options.Namespace;

    private string InNamespace => State.Options.Namespace.Length == 0 ? "" : $" in namespace {State.Options.Namespace}";

    private static Job Of(MapJob job) => new(job.Group, job.Workers.Count(w => w.From == 1));

    /// <summary>Reads the map from the node that decides it, and takes it over.</summary>
    internal async Task<ClusterMap> ReadMapAsync(long deadlineMs, CancellationToken cancellation)
    {
        byte[] bytes = await _core.AskManagerAsync(FrameKind.ReadMap, FrameKind.ReadMapReply, default(EmptyBody), deadlineMs, cancellation);
        ClusterMap map;
        lock (State.Gate)
        {
            if (MapEncoding.TryDecode(bytes, out ClusterMap newer))
            {
                _core.Adopt(newer);
            }

            map = State.Map!;
        }

        State.Flush();
        return map;
    }

    internal Task WriteAsync(
        PushSession session, WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, PartOperation operation, CancellationToken cancellation, ReadOnlyMemory<byte> head = default)
    {
        bool hasNone = operation is PartOperation.Delete or PartOperation.Arithmetic || (operation == PartOperation.Function && values.IsEmpty);
        CheckShape(table, keys.Length, values.Length, hasNone ? 0 : table.Width, nameof(values));
        if (cancellation.IsCancellationRequested)
        {
            return Task.FromCanceled(cancellation);
        }

        KeySlices slices = _cuts.Cut(keys.Span);
        PushCall call;
        lock (State.Gate)
        {
            call = _core.Pushes.Push(session, table, slices, values, operation, State.Now.AfterMs(State.Options.DeadlineMs), null, head);
            call.EndBy(cancellation);
        }

        State.Flush();
        return call.Task;
    }

    internal Task<PullResult> ReadAsync(
        PushSession? worker, WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, CancellationToken cancellation)
    {
        CheckShape(table, keys.Length, values.Length, table.Width, nameof(values));
        return Read(worker, table, keys, values, delayBound, default, cancellation).Task;
    }

    /// <summary>What the servers make of rows, in place of the rows.</summary>
    internal async Task<double> ReduceAsync(WeirTable table, ReadOnlyMemory<ulong> keys, RowReduction reduction, CancellationToken cancellation)
    {
        PullCall call = Read(null, table, keys, default, null, reduction, cancellation);
        await call.Task;
        return call.Reduced();
    }

    private PullCall Read(
        PushSession? worker, WeirTable table, ReadOnlyMemory<ulong> keys, Memory<float> values, int? delayBound, RowReduction reduction, CancellationToken cancellation)
    {
        CheckBound(delayBound);
        KeySlices slices = _cuts.Cut(keys.Span);
        PullCall call;
        lock (State.Gate)
        {
            _core.ThrowIfClosed();
            call = new PullCall(_core.Pulls, table, slices, values, worker, delayBound ?? PullItem.NoBound, State.Now.AfterMs(State.Options.DeadlineMs)) { Reduction = reduction };
            if (cancellation.IsCancellationRequested)
            {
                call.Cancel(cancellation);
            }
            else if (worker?.Failure is { } failure)
            {
                call.Fail(failure);
            }
            else
            {
                _core.Pulls.Pull(call);
                call.EndBy(cancellation);
            }
        }

        State.Flush();
        return call;
    }

    internal async Task<PullResult> PushPullAsync(
        PushSession session, WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, int? delayBound, CancellationToken cancellation)
    {
        CheckShape(table, keys.Length, pushed.Length, table.Width, nameof(pushed));
        CheckShape(table, keys.Length, pulled.Length, table.Width, nameof(pulled));
        CheckBound(delayBound);
        cancellation.ThrowIfCancellationRequested();
        if (table.IsCommitted)
        {
            return await PushThenPullAsync(session, table, keys, pushed, pulled, delayBound, cancellation);
        }

        KeySlices slices = _cuts.Cut(keys.Span);
        PullCall pull;
        PushCall push;
        lock (State.Gate)
        {
            Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
            pull = new PullCall(_core.Pulls, table, slices.Retain(), pulled, session.Group == 0 ? null : session, delayBound ?? PullItem.NoBound, deadline);
            if (session.Failure is { } failure)
            {
                pull.Fail(failure);
            }
            else
            {
                _core.Pulls.Add(pull);
            }

            push = _core.Pushes.Push(session, table, slices, pushed, PartOperation.Update, deadline, pull);
            pull.Push = push;
            if (keys.Length == 0 && !pull.IsOver)
            {
                pull.Finish();
            }

            push.EndBy(cancellation);
            pull.EndBy(cancellation);
        }

        State.Flush();
        try
        {
            PullResult result = await pull.Task;
            if (!table.Aggregate)
            {
                await push.Task;
            }

            return result;
        }
        catch (Exception failure)
        {
            // However it ends, by then neither half reads or writes its caller's buffer any more, nor does the other go on for nobody.
            lock (State.Gate)
            {
                _core.Pushes.Abandon(push, failure);
                pull.TryFail(failure);
            }

            // Nobody else looks at it: its failure is this one.
            _ = push.Task.Exception;
            throw;
        }
    }

    /// <summary>
    /// The two halves go to different servers: the pull to who sees the push only once it is acknowledged. That of an aggregating table may be long
    /// after, and its pull waits for the clocks as any.
    /// </summary>
    private async Task<PullResult> PushThenPullAsync(
        PushSession session, WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, int? delayBound, CancellationToken cancellation)
    {
        Task push = WriteAsync(session, table, keys, pushed, PartOperation.Update, cancellation);
        if (!table.Aggregate)
        {
            await push;
        }

        PullResult result = await ReadAsync(session.Group == 0 ? null : session, table, keys, pulled, delayBound, cancellation);
        if (push.IsCompleted)
        {
            await push;
        }

        return result;
    }

    /// <summary>The client's own session is open when it completes: pushes that follow keep their order though nobody waits for one before the next.</summary>
    internal async Task OpenOwnSessionAsync(CancellationToken cancellation) => await OwnSessionAsync(cancellation);

    /// <summary>Arithmetic with the rows of the keys, at the servers that have them; in the order of this client's pushes, and once.</summary>
    internal Task ArithmeticAsync(WeirTable table, ReadOnlyMemory<ulong> keys, RowArithmetic arithmetic, CancellationToken cancellation) =>
        WriteAsync(table, keys, default, PartOperation.Arithmetic, cancellation, arithmetic.ToBytes());

    private Task WriteAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, PartOperation operation, CancellationToken cancellation, ReadOnlyMemory<byte> head = default) =>
        OwnSession is { } session
            ? WriteAsync(session, table, keys, values, operation, cancellation, head)
            : OpenAndWriteAsync(table, keys, values, operation, head, cancellation);

    private async Task<PullResult> OpenAndPushPullAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> pushed, Memory<float> pulled, CancellationToken cancellation) =>
        await PushPullAsync(await OwnSessionAsync(cancellation), table, keys, pushed, pulled, null, cancellation);

    private async Task OpenAndWriteAsync(
        WeirTable table, ReadOnlyMemory<ulong> keys, ReadOnlyMemory<float> values, PartOperation operation, ReadOnlyMemory<byte> head, CancellationToken cancellation) =>
        await WriteAsync(await OwnSessionAsync(cancellation), table, keys, values, operation, cancellation, head);

    /// <summary>The client's own session where it is open and well.</summary>
    private PushSession? OwnSession
    {
        get
        {
            lock (State.Gate)
            {
                return _opening is { IsCompletedSuccessfully: true } && _own is { Failure: null } ? _own : null;
            }
        }
    }

    /// <summary>The client's own session, opened at its first push; a new one where the former ended (R12).</summary>
    private Task<PushSession> OwnSessionAsync(CancellationToken cancellation)
    {
        lock (State.Gate)
        {
            bool lost = _own is { Failure.Status: Status.StateLost };
            bool usable = _own is { Failure: null } || lost || (_opening is { IsCompleted: false });
            if (!usable || _opening is null || _opening.IsFaulted || _opening.IsCanceled)
            {
                _opening = OpenSessionAsync();
            }

            return _opening.WaitAsync(cancellation);
        }
    }

    private async Task<PushSession> OpenSessionAsync()
    {
        AdminReplyBody reply = await ChangeAsync(
            FrameKind.OpenSession, new OpenSessionBody(State.Process, State.Incarnation, 0, 0, 0), CancellationToken.None);
        lock (State.Gate)
        {
            if (_own is { } former)
            {
                _core.Pushes.Remove(former);
            }

            _own = new PushSession(reply.First, 0, 0);
            _core.Pushes.Add(_own);
            return _own;
        }
    }

    private string ManagerAddress()
    {
        lock (State.Gate)
        {
            return State.Map!.Manager.Address;
        }
    }

    private string HeadAddress(int segment)
    {
        lock (State.Gate)
        {
            return State.Map!.Head(segment)?.Address ?? throw State.Lost(segment);
        }
    }

    /// <summary>One piece of a scan. A node that has yet to read this client's map, or a newer one than the client has, is asked again.</summary>
    private async Task<byte[]> ScanAsync<TBody>(int segment, FrameKind kind, TBody scan, CancellationToken cancellation)
        where TBody : IBody
    {
        Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
        while (true)
        {
            // Where others hold the segment too, a head that does not answer soon is asked no longer than the map needs to name another.
            bool hasOthers = State.Map!.Replicas > 0;
            try
            {
                byte[] body = await _core.AskAsync(
                    HeadAddress(segment), kind, FrameKind.ScanReply, scan, hasOthers ? ScanRetryMs : State.Options.DeadlineMs, cancellation);
                bool again = ScanStatus(body) is Status.Behind or Status.NotOwner or Status.Moving or Status.Busy;
                if (!again || State.Now >= deadline)
                {
                    return body;
                }
            }
            catch (WeirException silent) when (silent.Status == Status.Unreachable && hasOthers && State.Now < deadline)
            {
            }

            await State.Timers.Delay(State.Options.BackoffMs, cancellation);
        }
    }

    private static long ScanRetryMs => 500;

    private static Status ScanStatus(byte[] body)
    {
        var reader = new ByteReader(body);
        return ScanReplyHead.TryRead(ref reader, out ScanReplyHead head, out _, out _) ? head.Status : Status.Malformed;
    }

    private static (RowBatch Batch, ulong Next, bool Done) ReadScan(byte[] body, int segment)
    {
        var reader = new ByteReader(body);
        if (!ScanReplyHead.TryRead(ref reader, out ScanReplyHead head, out ReadOnlySpan<byte> keys, out ReadOnlySpan<byte> values))
        {
            throw new WeirException(Status.Malformed, "the answer to a scan makes no sense", segment: segment);
        }

        return head.Status != Status.Acked
            ? throw new WeirException(head.Status, $"a scan of segment {segment} was refused: {head.Status}", segment: segment)
            : (new RowBatch(MemoryMarshal.Cast<byte, ulong>(keys).ToArray(), MemoryMarshal.Cast<byte, float>(values).ToArray()), head.NextMixed, head.Done);
    }

    private static void Offer(RowBatch batch, HighestScores highest, int segment)
    {
        ReadOnlySpan<ulong> keys = batch.Keys.Span;
        ReadOnlySpan<double> scores = MemoryMarshal.Cast<float, double>(batch.Values.Span);
        if (scores.Length != keys.Length)
        {
            throw new WeirException(Status.Malformed, $"the answer to a scan for scores has {keys.Length} keys and {scores.Length} scores", segment: segment);
        }

        for (int i = 0; i < keys.Length; i++)
        {
            highest.Offer(keys[i], scores[i]);
        }
    }

    /// <summary>What each part of a call says of its function, checked.</summary>
    internal static byte[] FunctionHead(WeirTable table, string function, ReadOnlySpan<byte> argument)
    {
        ArgumentNullException.ThrowIfNull(table);
        ArgumentException.ThrowIfNullOrEmpty(function);
        int nameBytes = Encoding.UTF8.GetByteCount(function);
        if (nameBytes > FunctionRequest.MaxNameBytes)
        {
            throw new ArgumentException($"a function's name has at most {FunctionRequest.MaxNameBytes} bytes of UTF-8, not {nameBytes}", nameof(function));
        }

        if (argument.Length > FunctionRequest.MaxArgumentBytes)
        {
            throw new ArgumentException($"an argument has at most {FunctionRequest.MaxArgumentBytes} bytes, not {argument.Length}: what belongs to a row goes with the values", nameof(argument));
        }

        if (table.Rule.HoldsBits)
        {
            throw new ArgumentException($"table {table.Name} has rule {table.Rule.Kind}, which keeps bits in place of floats: no function is called for its rows", nameof(table));
        }

        return table.Aggregate
            ? throw new ArgumentException($"table {table.Name} aggregates: its workers' pushes are summed and go through its update rule, and no function is called for its rows", nameof(table))
            : FunctionRequest.Head(function, argument);
    }

    private static void CheckShape(WeirTable table, int keys, int values, int width, string name)
    {
        ArgumentNullException.ThrowIfNull(table);
        if (values != (long)keys * width)
        {
            throw new ArgumentException($"{keys} keys of table {table.Name} (width {table.Width}) need {(long)keys * width} floats, not {values}", name);
        }
    }

    private static void CheckBound(int? delayBound)
    {
        if (delayBound < 0)
        {
            throw new ArgumentOutOfRangeException(nameof(delayBound), delayBound, "a delay bound is 0 or above; null waits for nobody");
        }
    }
}
