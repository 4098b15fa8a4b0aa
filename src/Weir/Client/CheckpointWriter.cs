using System.Runtime.InteropServices;
using Weir.Checkpoints;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>
/// Coordinates a checkpoint (design R24): opens it in the map, records jobs and clocks, reads every segment from its head while all go on pushing, and
/// writes what comes to a store, the manifest last. What goes wrong in between begins anew: a segment whose head is another than before, or the whole.
/// Not thread-safe.
/// </summary>
internal sealed class CheckpointWriter(WeirClient client, ICheckpointStore store, string name)
{
    /// <summary>Segments read at a time: with slices of half a MiB enough to cover the way to a server and back.</summary>
    private const int Readers = 16;

    private const int MostBeginnings = 8;
    private const int SilentMs = 500;

    private ClusterMap _map = null!;
    private ulong _id;
    private BlockFiles _files = null!;
    private uint[] _attempts = [];
    private uint[] _slices = [];
    private HashSet<uint> _tables = [];
    private int _next;
    private long _rows;
    private Instant _movedAt;
    private bool _hasBegunToWrite;

    private ClientState State => client.State;

    /// <summary>Where a reader's slices come in, one after another.</summary>
    private sealed class SliceBuffer
    {
        private ReadOnlyMemory<byte> _bytes;

        /// <summary>Room for the next.</summary>
        public byte[] Array { get; private set; } = [];

        public ReadOnlyMemory<byte> Bytes
        {
            get => _bytes;
            set
            {
                // The first was longer than what there was room for, and so are those of wider rows.
                _bytes = value;
                Array = MemoryMarshal.TryGetArray(value, out ArraySegment<byte> array) ? array.Array! : Array;
            }
        }

        public CheckpointSliceHead Head
        {
            get
            {
                var reader = new ByteReader(_bytes.Span);
                return CheckpointSliceHead.Read(ref reader);
            }
        }
    }

    /// <summary>The checkpoint cannot be completed as it was begun.</summary>
    private sealed class BeginAnewException(string message) : Exception(message);

    public async Task<CheckpointSummary> RunAsync(CancellationToken cancellation)
    {
        try
        {
            return await RepeatAsync(cancellation);
        }
        catch (Exception failure) when (_hasBegunToWrite && failure is not (OperationCanceledException or ObjectDisposedException))
        {
            // Else what each attempt left would fill a disk that is short of room for good.
            await TakeOutAsync(cancellation);
            throw;
        }
    }

    private async Task<CheckpointSummary> RepeatAsync(CancellationToken cancellation)
    {
        Instant deadline = State.Now.AfterMs(State.Options.DeadlineMs);
        for (int beginning = 1; ; beginning++)
        {
            try
            {
                return await OnceAsync(cancellation);
            }
            catch (BeginAnewException anew) when (beginning < MostBeginnings && State.Now < deadline)
            {
                _ = anew;
                await State.Timers.Delay(State.Options.BackoffMs, cancellation);
            }
            catch (BeginAnewException anew)
            {
                throw new WeirException(Status.Busy, $"checkpoint {name} was begun {beginning} times and could not be completed: {anew.Message}");
            }
        }
    }

    private async Task<CheckpointSummary> OnceAsync(CancellationToken cancellation)
    {
        _id = State.Nonce() | 1;

        // Before it is open (R24): what a worker ended later may lie above the iteration that its tables are cut at.
        ClusterMap before = Known();
        RecordedClock[] clocks = await ClocksAsync(client, cancellation);
        await OpenAsync(cancellation);
        try
        {
            _map = Current();
            if (_map.Generation != before.Generation)
            {
                throw new BeginAnewException("another checkpoint was loaded meanwhile");
            }

            _hasBegunToWrite = true;
            await new CheckpointCatalog(store).DeleteAsync(name, cancellation);
            await ReadSegmentsAsync(cancellation);
            Manifest manifest = await ManifestAsync(before, clocks, cancellation);
            await store.WriteAsync($"{name}/{Manifest.Name}", [manifest.Encode()], cancellation);
            return CheckpointSummary.Of(name, manifest);
        }
        finally
        {
            await EndAsync();
        }
    }

    /// <summary>Takes out what was written of it, as far as the store lets it: nobody is waiting for that, and what stays is no checkpoint.</summary>
    private async Task TakeOutAsync(CancellationToken cancellation)
    {
        try
        {
            await new CheckpointCatalog(store).DeleteAsync(name, cancellation);
        }
        catch (Exception failure) when (failure is not ObjectDisposedException)
        {
            // The store has failed already, and its caller is told how.
        }
    }

    private async Task OpenAsync(CancellationToken cancellation) =>
        await client.ChangeWhenFreeAsync(FrameKind.OpenCheckpoint, () => Task.FromResult(new OpenCheckpointBody(_id, State.Process, State.Incarnation)), cancellation);

    private async Task EndAsync()
    {
        try
        {
            byte[] _ = await client.Core.AskManagerAsync(
                FrameKind.EndCheckpoint, FrameKind.AdminReply, new EndCheckpointBody(_id, false), State.Options.ConnectMs, CancellationToken.None);
        }
        catch (WeirException)
        {
            // It ends with this process, if not before.
        }
        catch (ObjectDisposedException)
        {
            // The same.
        }
    }

    /// <summary>The clocks that the node which decides the map knows now: facts, and nobody has been cut yet.</summary>
    public static async Task<RecordedClock[]> ClocksAsync(WeirClient client, CancellationToken cancellation)
    {
        ClientState state = client.State;
        Instant deadline = state.Now.AfterMs(state.Options.DeadlineMs);
        while (true)
        {
            string manager;
            lock (state.Gate)
            {
                manager = state.Map!.Manager.Address;
            }

            try
            {
                byte[] body = await client.Core.AskAsync(manager, FrameKind.Status, FrameKind.StatusReply, default(EmptyBody), 2 * SilentMs, cancellation);
                if (StatusReplyBody.TryRead(body, out StatusReplyBody reply))
                {
                    return [.. reply.Clocks.Select(c => new RecordedClock(c.Group, c.Worker, c.Clock))];
                }
            }
            catch (WeirException silent) when (silent.Status == Status.Unreachable && state.Now < deadline)
            {
                await client.ReadMapAsync(state.Options.DeadlineMs, cancellation);
            }
        }
    }

    private ClusterMap Known()
    {
        lock (State.Gate)
        {
            return State.Map!;
        }
    }

    /// <summary>The map, in which the checkpoint must stand still.</summary>
    private ClusterMap Current()
    {
        lock (State.Gate)
        {
            ClusterMap map = State.Map!;
            return map.Checkpoint is { IsRestore: false } open && open.Id == _id && (_map is null || _files is null || map.Generation == _map.Generation)
                ? map
                : throw new BeginAnewException("the cluster ended it: this process was silent for too long, or somebody else began one");
        }
    }

    private async Task ReadSegmentsAsync(CancellationToken cancellation)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        _files = new BlockFiles(store, name, _id, end.Token);
        (_attempts, _slices, _next, _rows) = (new uint[_map.Segments], new uint[_map.Segments], 0, 0);
        _tables = [.. _map.Tables.Select(t => t.Id)];
        _movedAt = State.Now;
        List<Task> readers = [.. Enumerable.Range(0, Math.Min(Readers, _map.Segments)).Select(_ => ReadAsync(end.Token))];
        List<Task> open = [.. readers];
        while (open.Count > 0)
        {
            Task ended = await Task.WhenAny(open);
            open.Remove(ended);
            if (!ended.IsCompletedSuccessfully)
            {
                // The others are over before anything is begun anew; the first to fail says why.
                end.Cancel();
                await Task.WhenAll(open).ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
                await _files.EndedAsync();
                await ended;
            }
        }

        await _files.CompleteAsync();
    }

    /// <summary>One reader: segment after segment, until none is left.</summary>
    private async Task ReadAsync(CancellationToken cancellation)
    {
        var slice = new SliceBuffer();
        while (true)
        {
            int segment;
            lock (State.Gate)
            {
                if (_next == _map.Segments)
                {
                    return;
                }

                segment = _next++;
            }

            while (!await TryReadAsync(segment, slice, cancellation))
            {
                // Its head is another than before.
            }
        }
    }

    /// <summary>Walks one segment from its beginning; false where its head changed on the way.</summary>
    private async Task<bool> TryReadAsync(int segment, SliceBuffer slice, CancellationToken cancellation)
    {
        uint attempt = ++_attempts[segment];
        ulong head = 0;
        long rows = 0;
        for (ulong position = 0; ; position++)
        {
            bool isThere = false;
            while (!isThere)
            {
                ulong incarnation = Head(segment, out string? address);
                head = position == 0 ? incarnation : head;
                if (incarnation != head)
                {
                    return false;
                }

                isThere = address is not null && await AskAsync(address, new CheckpointReadBody(_id, (uint)segment, attempt, position), slice, cancellation);
                if (!isThere)
                {
                    await State.Timers.Delay(State.Options.BackoffMs, cancellation);
                }
            }

            CheckpointSliceHead read = slice.Head;
            if (read.Status != Status.Acked)
            {
                return false;
            }

            rows += await _files.AddAsync(slice.Bytes[CheckpointSliceHead.Size..], segment, attempt, position, read.IsLast, _tables);
            if (read.IsLast)
            {
                _slices[segment] = (uint)position + 1;
                lock (State.Gate)
                {
                    _rows += rows;
                }

                return true;
            }
        }
    }

    /// <summary>One question; false where it is to be asked again.</summary>
    private async Task<bool> AskAsync(string address, CheckpointReadBody read, SliceBuffer slice, CancellationToken cancellation)
    {
        try
        {
            slice.Bytes = await client.Core.AskAsync(address, FrameKind.CheckpointRead, FrameKind.CheckpointSlice, read, slice.Array, SilentMs, cancellation);
        }
        catch (WeirException silent) when (silent.Status == Status.Unreachable)
        {
            Stalled($"{address} does not answer");
            return false;
        }

        var reader = new ByteReader(slice.Bytes.Span);
        var head = CheckpointSliceHead.Read(ref reader);
        string text = head.Status == Status.Acked || reader.Failed ? "" : reader.Text();
        switch (head.Status)
        {
            case Status.Acked:
                _movedAt = State.Now;
                return true;
            case Status.Busy or Status.Behind or Status.NotOwner or Status.Moving:
                Stalled(text.Length > 0 ? text : $"{address} answers {head.Status}");
                return false;
            case Status.Conflict when read.Position > 0:
                return true;
            case Status.Conflict or Status.Ended:
                throw new BeginAnewException(text);
            default:
                throw new WeirException(head.Status, $"segment {read.Segment} could not be read for checkpoint {name}: {(text.Length > 0 ? text : head.Status.ToString())}", address, (int)read.Segment);
        }
    }

    /// <summary>Nothing has come for as long as a call may take: whoever waits hears for what.</summary>
    private void Stalled(string reason)
    {
        _ = Current();
        if (State.Now.MsSince(_movedAt) > State.Options.DeadlineMs)
        {
            throw new WeirException(Status.DeadlineExceeded, $"checkpoint {name} did not get on in time: {reason}");
        }
    }

    private ulong Head(int segment, out string? address)
    {
        lock (State.Gate)
        {
            MapMember? head = State.Map!.Head(segment);
            address = head?.Address;
            return head is { } member ? member.Incarnation : throw State.Lost(segment);
        }
    }

    /// <summary>
    /// Spans of workers are those of now, since what was decided while segments were read stands in some of them; who had finished, and the clocks, are
    /// those of the beginning, before anything was cut.
    /// </summary>
    private async Task<Manifest> ManifestAsync(ClusterMap before, RecordedClock[] clocks, CancellationToken cancellation)
    {
        await client.ReadMapAsync(State.Options.DeadlineMs, cancellation);
        ClusterMap now = Current();
        MapCut[] cuts = now.Checkpoint!.Cuts;
        MapJob[] jobs = [.. _map.Jobs.Select(job => Recorded(before.Job(job.Group), now.Job(job.Group) ?? job) with { LoadedThrough = Through(job.Group) })];
        long Through(uint group) => Math.Max(
            _files.Through(group), Math.Max(clocks.Where(c => c.Group == group).Select(c => c.Clock).DefaultIfEmpty().Max(), cuts.Where(c => c.Group == group).Select(c => c.Iteration).DefaultIfEmpty().Max()));
        return new Manifest
        {
            Id = _id,
            Rows = _rows,
            Files = _files.Written,
            Attempts = _attempts,
            Slices = _slices,
            Clocks = clocks,
            Cuts = cuts,
            Map = new ClusterMap
            {
                Cluster = now.Cluster,
                Generation = now.Generation,
                Version = now.Version,
                SegmentBits = now.SegmentBits,
                Replicas = now.Replicas,
                Members = [now.Members[0]],
                Tables = [.. _map.Tables.Where(t => now.Table(t.Id) is not null)],
                Jobs = jobs,
                Namespaces = now.Namespaces,
                NextSession = now.NextSession,
                NextTable = now.NextTable,
                NextGroup = now.NextGroup,
                Chains = [.. Enumerable.Repeat(new MapChain(0, []), now.Segments)],
            },
        };
    }

    private static MapJob Recorded(MapJob? before, MapJob now) => now with
    {
        Change = default,

        // A join that is not decided has not taken place, nor has a leave.
        Workers = [.. now.Workers.Where(w => w.HasFirst).Select((w, index) => w with
        {
            Through = w.Last,
            FinishedThrough = before is not null && index < before.Workers.Length && before.Workers[index].IsFinished ? before.Workers[index].FinishedThrough : MapWorker.Working,
        })],
    };
}
