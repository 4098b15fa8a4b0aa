using Weir.Checkpoints;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Loads a checkpoint into a cluster (design R24). All of it is verified first; then a generation begins, in which every head takes the records of its
/// segments, in any order and as often as they come, and passes them down its chain; then workers are hosted again. Not thread-safe.
/// </summary>
internal sealed class CheckpointLoader(WeirClient client, ICheckpointStore store, string name, RestoreOptions options)
{
    /// <summary>Records of a file on their way, while those of others are.</summary>
    private const int Senders = 8;

    private const int SilentMs = 500;
    private const int ClocksAFrame = 16_384;

    private Manifest _manifest = null!;
    private ulong _id;
    private ulong[] _loadedBy = [];
    private Instant _movedAt;

    private ClientState State => client.State;

    public async Task<RestoreSummary> RunAsync(CancellationToken cancellation)
    {
        var verification = new CheckpointVerification(store, name);
        await verification.RunAsync(cancellation);
        if (verification.Faults.Count > 0)
        {
            throw new WeirException(Status.Malformed, $"checkpoint {name} was not loaded: {string.Join("; ", verification.Faults)}");
        }

        _manifest = verification.Manifest!;
        ClusterMap before = await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
        RecordedClock[] reached = await CheckpointWriter.ClocksAsync(client, cancellation);
        _id = State.Nonce() | 1;
        ClusterMap recorded = _manifest.Map with { Jobs = [.. _manifest.Map.Jobs.Select(j => j with { Hosts = Math.Clamp(options.Hosts, 1, j.Workers.Length) })] };
        await client.ChangeAsync(FrameKind.BeginRestore, new BeginRestoreBody(_id, State.Process, State.Incarnation, MapEncoding.Encode(recorded)), cancellation);
        _movedAt = State.Now;
        await LoadAsync(cancellation);
        await TellClocksAsync(cancellation);
        await client.ChangeAsync(FrameKind.EndCheckpoint, new EndCheckpointBody(_id, true), cancellation);
        return new RestoreSummary(name, _manifest.Rows, _manifest.Bytes, before.Cluster == recorded.Cluster ? Lost(before, reached) : []);
    }

    /// <summary>Loads all segments, and those again whose head died before its chain had all.</summary>
    private async Task LoadAsync(CancellationToken cancellation)
    {
        int segments = _manifest.Attempts.Length;
        _loadedBy = new ulong[segments];
        bool[] missing = [.. Enumerable.Repeat(true, segments)];
        while (Array.Exists(missing, m => m))
        {
            for (int segment = 0; segment < segments; segment++)
            {
                _loadedBy[segment] = missing[segment] ? 0 : _loadedBy[segment];
            }

            await SendAsync(missing, cancellation);
            int next = 0;
            await InParallelAsync<int>(
                () => next == segments ? null : next++,
                async segment => missing[segment] = missing[segment] && !await StandsAsync(segment, cancellation));
        }
    }

    private Task SendAsync(bool[] missing, CancellationToken cancellation) => FileLanes.RunAsync(
        store,
        name,
        _manifest,
        (file, bytes, length, end) =>
        {
            int at = 0;
            return length is null
                ? throw Changed(file, "is missing")
                : InParallelAsync(() => NextBlock(bytes, ref at, missing, file), block => SendAsync((int)block.Block.Segment, block.Records, end));
        },
        cancellation);

    private WeirException Changed(int file, string fault) =>
        new(Status.Malformed, $"{name}/{Manifest.FileName(file)} {fault}, and was sound when it was verified: the cluster holds part of the checkpoint and serves nobody until one was loaded to the end");

    private (Block Block, ReadOnlyMemory<byte> Records)? NextBlock(ReadOnlyMemory<byte> bytes, ref int at, bool[] missing, int file)
    {
        while (at < bytes.Length)
        {
            if (Block.Read(bytes.Span, ref at, out Block block, out Range records) is { } fault)
            {
                throw Changed(file, fault);
            }

            if (block.Checkpoint != _manifest.Id || block.Segment >= missing.Length)
            {
                throw Changed(file, "is of another checkpoint");
            }

            if (missing[block.Segment] && block.Attempt == _manifest.Attempts[block.Segment])
            {
                return (block, bytes[records]);
            }
        }

        return null;
    }

    private async Task SendAsync(int segment, ReadOnlyMemory<byte> records, CancellationToken cancellation)
    {
        RestoreReplyBody reply = await AskAsync(segment, records, cancellation);
        lock (State.Gate)
        {
            // Two heads have each a part: the segment is loaded again.
            ulong by = _loadedBy[segment];
            _loadedBy[segment] = by == 0 || by == reply.Copy ? reply.Copy : ulong.MaxValue;
        }
    }

    /// <summary>Waits until the whole chain has what its head was given; false where that head is gone.</summary>
    private async Task<bool> StandsAsync(int segment, CancellationToken cancellation)
    {
        while (true)
        {
            RestoreReplyBody reply = await AskAsync(segment, default, cancellation);
            if (_loadedBy[segment] != 0 && _loadedBy[segment] != reply.Copy)
            {
                return false;
            }

            if (reply.Acknowledged == reply.Last)
            {
                return true;
            }

            await State.Timers.Delay(State.Options.BackoffMs, cancellation);
        }
    }

    private async Task<RestoreReplyBody> AskAsync(int segment, ReadOnlyMemory<byte> records, CancellationToken cancellation)
    {
        while (true)
        {
            string address = HeadAddress(segment);
            string reason;
            try
            {
                byte[] body = await client.Core.AskAsync(
                    address, FrameKind.RestoreRows, FrameKind.RestoreReply, new RestoreRowsBody(_id, (uint)segment, records), SilentMs, cancellation);
                if (!RestoreReplyBody.TryRead(body, out RestoreReplyBody reply))
                {
                    throw new WeirException(Status.Malformed, "the answer to RestoreRows makes no sense", address, segment);
                }

                switch (reply.Status)
                {
                    case Status.Acked:
                        _movedAt = State.Now;
                        return reply;
                    case Status.Busy or Status.Behind or Status.NotOwner or Status.Moving:
                        reason = $"{address} answers {reply.Status}";
                        break;
                    default:
                        throw new WeirException(reply.Status, $"checkpoint {name} was not loaded to the end: {(reply.Text.Length > 0 ? reply.Text : reply.Status.ToString())}", address, segment);
                }
            }
            catch (WeirException silent) when (silent.Status == Status.Unreachable)
            {
                reason = $"{address} does not answer";
            }

            if (State.Now.MsSince(_movedAt) > State.Options.DeadlineMs)
            {
                throw new WeirException(Status.DeadlineExceeded, $"the loading of checkpoint {name} did not get on in time: {reason}", address, segment);
            }

            await State.Timers.Delay(State.Options.BackoffMs, cancellation);
        }
    }

    private string HeadAddress(int segment)
    {
        lock (State.Gate)
        {
            return State.Map!.Head(segment)?.Address ?? throw State.Lost(segment);
        }
    }

    /// <summary>Every node hears the recorded clocks, as facts of the new generation; who joins later hears them from the others.</summary>
    private async Task TellClocksAsync(CancellationToken cancellation)
    {
        ClusterMap map = Map;
        foreach (RecordedClock[] some in _manifest.Clocks.Chunk(ClocksAFrame))
        {
            var body = new ClockBody([.. some.Select(c => new ClockEntry(c.Group, c.Worker, c.Clock, map.Version))]);
            foreach (MapMember member in map.Members)
            {
                await TellAsync(member, body, cancellation);
            }
        }
    }

    /// <summary>One node hears clocks. One that does not answer is asked until it is out of the map, or for as long as it is looked for when connecting.</summary>
    private async Task TellAsync(MapMember member, ClockBody body, CancellationToken cancellation)
    {
        Instant deadline = State.Now.AfterMs(State.Options.ConnectMs);
        while (Map.Member(member.Node)?.Incarnation == member.Incarnation && State.Now < deadline)
        {
            try
            {
                await client.Core.AskAsync(member.Address, FrameKind.Clock, FrameKind.ClockReply, body, SilentMs, cancellation);
                return;
            }
            catch (WeirException silent) when (silent.Status == Status.Unreachable)
            {
                // It may be about to leave the map. A clock that nobody had heard would be redone.
                await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
            }
        }
    }

    private ClusterMap Map
    {
        get
        {
            lock (State.Gate)
            {
                return State.Map!;
            }
        }
    }

    /// <summary>What was acknowledged after the cut and is gone, as far as clocks tell it.</summary>
    private List<LostIterations> Lost(ClusterMap before, RecordedClock[] reached)
    {
        Dictionary<(uint, uint), long> recorded = _manifest.Clocks.ToDictionary(c => (c.Group, c.Worker), c => c.Clock);
        List<LostIterations> lost = [];
        foreach (RecordedClock clock in reached)
        {
            long kept = recorded.GetValueOrDefault((clock.Group, clock.Worker));
            if (clock.Clock > kept && before.Job(clock.Group) is { } job)
            {
                lost.Add(new LostIterations(job.Name, (int)clock.Worker, kept + 1, clock.Clock));
            }
        }

        return lost;
    }

    /// <summary>Works off what there is, some at a time. The first failure ends it once those under way are over.</summary>
    private async Task InParallelAsync<T>(Func<T?> next, Func<T, Task> work)
        where T : struct
    {
        bool isOver = false;
        async Task OneAsync()
        {
            while (true)
            {
                T? item;
                lock (State.Gate)
                {
                    item = isOver ? null : next();
                    isOver |= item is null;
                }

                if (item is not { } taken)
                {
                    return;
                }

                try
                {
                    await work(taken);
                }
                catch
                {
                    isOver = true;
                    throw;
                }
            }
        }

        await Task.WhenAll(Enumerable.Range(0, Senders).Select(_ => OneAsync()));
    }
}
