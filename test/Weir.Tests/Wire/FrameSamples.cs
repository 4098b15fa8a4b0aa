using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>Sound frames of every kind, as a client or node of a small cluster would send them: what the fuzz begins with.</summary>
internal static class FrameSamples
{
    public const ulong Cluster = 7;
    public const int SegmentBits = 6;
    public const int Width = 2;

    /// <summary>What the frames name: a plain table, an aggregating one, the job that governs it, and two sessions.</summary>
    public readonly record struct Names(uint Plain, uint Aggregating, uint Group, ulong OwnSession, ulong WorkerSession, ulong MapVersion)
    {
        public static readonly Names Default = new(1, 2, 1, 1, 2, 3);
    }

    /// <summary>A sealed frame in an array of its exact length.</summary>
    public static byte[] Frame<TBody>(FrameKind kind, in TBody body, Names names, ulong session = 0, uint deadlineUs = 0)
        where TBody : IBody
    {
        byte[] frame = new byte[FrameHeader.Size + body.Bytes];
        var writer = new ByteWriter(frame.AsSpan(FrameHeader.Size));
        body.Write(ref writer);
        Assert.Equal(body.Bytes, writer.Position);
        var header = new FrameHeader
        {
            Kind = kind,
            RequestId = 77,
            Cluster = Cluster,
            Generation = 1,
            MapVersion = names.MapVersion,
            Session = session,
            DeadlineUs = deadlineUs,
        };
        header.Seal(frame);
        return frame;
    }

    /// <summary>At least one frame of each kind.</summary>
    public static List<byte[]> All(Names names)
    {
        List<byte[]> frames = [];
        AddData(frames, names);
        AddReplies(frames, names);
        AddClocks(frames, names);
        AddChanges(frames, names);
        AddNodes(frames, names);
        AddChains(frames, names);
        AddCheckpoints(frames, names);
        return frames;
    }

    /// <summary>Keys that lie in a segment, in the order that parts and items have.</summary>
    public static ulong[] KeysOf(int segment, int count, int from = 0)
    {
        ulong first = KeyRange.OfSegment(segment, SegmentBits).First;
        return [.. Enumerable.Range(from, count).Select(i => Mix.Inverse(first + (ulong)i))];
    }

    /// <summary>The same with gaps between their hashes.</summary>
    public static ulong[] SpreadKeys(int segment, int count)
    {
        ulong first = KeyRange.OfSegment(segment, SegmentBits).First;
        return [.. Enumerable.Range(1, count).Select(i => Mix.Inverse(first + ((ulong)i * (ulong)i * 1_000_003)))];
    }

    /// <summary>The smallest numbers that are keys of a segment, in the order of their hash.</summary>
    public static ulong[] SmallKeys(int segment, int count) =>
        [.. Enumerable.Range(0, int.MaxValue).Select(i => (ulong)i).Where(k => Mix.Segment(k, SegmentBits) == segment).Take(count).OrderBy(Mix.Of)];

    /// <summary>A part with <see cref="Width"/> floats a row.</summary>
    public static SamplePart Part(uint table, int segment, ulong n, long iteration, int rows, PartOperation operation = PartOperation.Update)
    {
        float[] values = operation == PartOperation.Delete ? [] : [.. Enumerable.Range(0, rows * Width).Select(i => i + 0.5f)];
        return new SamplePart(table, segment, n, new Seq(iteration, (uint)n, 0), operation, KeysOf(segment, rows), values);
    }

    /// <summary>Floats of which every third is not zero.</summary>
    public static float[] Sparse(int count) => [.. Enumerable.Range(0, count).Select(i => i % 3 == 1 ? i - 0.25f : 0)];

    private static void AddData(List<byte[]> frames, Names names)
    {
        SamplePart first = Part(names.Plain, 3, 1, 0, 3);
        SamplePart second = Part(names.Plain, 4, 1, 0, 1, PartOperation.Assign);
        SamplePart delete = Part(names.Plain, 3, 1, 0, 2, PartOperation.Delete);
        SamplePart held = Part(names.Aggregating, 5, 1, 1, 2);
        frames.Add(Frame(FrameKind.Push, new DataBody([first, second, delete], []), names, names.OwnSession));
        frames.Add(Frame(FrameKind.Push, new DataBody([first with { N = 2, Seq = new Seq(0, 5, 0) }], []), names, names.OwnSession));
        frames.Add(Frame(FrameKind.Push, new DataBody([held], []), names, names.WorkerSession));
        SampleItem item = new(names.Plain, 3, 0, PullItem.NoBound, 0, KeysOf(3, 4));
        SampleItem waits = new(names.Aggregating, 5, 1, 0, names.Group, KeysOf(5, 2));
        frames.Add(Frame(FrameKind.Pull, new DataBody([], [item, waits with { DelayBound = 2 }]), names));
        frames.Add(Frame(FrameKind.Pull, new DataBody([], [waits with { Iteration = 9 }]), names, 0, deadlineUs: 5_000));
        SampleItem ofPart = new(names.Plain, 3, 0, PullItem.NoBound, 0, null, Part: 0);
        frames.Add(Frame(FrameKind.PushPull, new DataBody([first], [ofPart]), names, names.OwnSession));
        AddArithmetic(frames, names);
        AddEncoded(frames, names);
        frames.Add(Frame(FrameKind.Scan, new ScanBody(names.Plain, 3, 0), names));
        frames.Add(Frame(FrameKind.ScanHighest, new ScanHighestBody(new ScanBody(names.Plain, 3, 0), 10, 0.5), names));
        frames.Add(Frame(FrameKind.Status, default(EmptyBody), names));
    }

    /// <summary>Every kind of arithmetic and of reduction, some with a table that is not there, and the answer to one.</summary>
    private static void AddArithmetic(List<byte[]> frames, Names names)
    {
        foreach (ArithmeticKind kind in Enum.GetValues<ArithmeticKind>())
        {
            SamplePart part = Part(names.Plain, 3, 1, 0, 3, PartOperation.Arithmetic) with { Values = [], Head = new RowArithmetic(kind, names.Plain, 2, 0.5f, 0, Width).ToBytes() };
            frames.Add(Frame(FrameKind.Push, new DataBody([part, part with { N = 2, Seq = new Seq(0, 2, 0), Head = new RowArithmetic(kind, 77, 2, 0.5f, 1, 1).ToBytes() }], []), names, names.OwnSession));
        }

        SamplePart call = Part(names.Plain, 3, 1, 0, 3, PartOperation.Function) with { Head = FunctionRequest.Head("clip", [0, 0, 128, 63]) };
        frames.Add(Frame(FrameKind.Push, new DataBody([call, call with { N = 2, Seq = new Seq(0, 2, 0), Values = [], Head = FunctionRequest.Head("not there", []) }], []), names, names.OwnSession));
        SampleItem item = new(names.Plain, 3, 0, PullItem.NoBound, 0, KeysOf(3, 4));
        foreach (ReductionKind kind in Enum.GetValues<ReductionKind>().Where(k => k != ReductionKind.None))
        {
            frames.Add(Frame(FrameKind.Pull, new DataBody([], [item with { Reduction = new RowReduction(kind, names.Plain, 0, Width) }, item with { Reduction = new RowReduction(kind, 77, 1, 1) }, item]), names));
        }

        frames.Add(Frame(FrameKind.PullReply, new SampleReducedReply(2, 4, 3.5), names));
    }

    /// <summary>Keys packed, kept and named again, values with their zeros left out; PushPulls of such parts.</summary>
    private static void AddEncoded(List<byte[]> frames, Names names)
    {
        SamplePart kept = Part(names.Plain, 6, 1, 0, 12) with { Keys = SpreadKeys(6, 12), Packs = true, Keep = true, Values = Sparse(24) };
        SamplePart named = kept with { N = 2, Seq = new Seq(0, 2, 0), Names = true };
        SamplePart held = Part(names.Aggregating, 7, 1, 1, 9) with { Keys = SpreadKeys(7, 9), Packs = true, Keep = true, Values = Sparse(18) };
        SampleItem ofPart = new(names.Plain, 6, 0, PullItem.NoBound, 0, null, Part: 0);
        SampleItem pulled = new SampleItem(names.Plain, 6, 0, PullItem.NoBound, 0, kept.Keys) { Keep = true, Takes = ValueFilters.ZeroBitmap };
        frames.Add(Frame(FrameKind.Push, new DataBody([kept, held with { Table = names.Plain, Seq = new Seq(0, 1, 0), Keys = SmallKeys(7, 9) }], []), names, names.OwnSession));
        frames.Add(Frame(FrameKind.PushPull, new DataBody([kept], [ofPart with { Takes = ValueFilters.ZeroBitmap }]), names, names.OwnSession));
        frames.Add(Frame(FrameKind.PushPull, new DataBody([named], [ofPart]), names, names.OwnSession));
        frames.Add(Frame(FrameKind.Push, new DataBody([held], []), names, names.WorkerSession));
        frames.Add(Frame(FrameKind.Push, new DataBody([held with { N = 2, Seq = new Seq(1, 2, 0), Names = true }], []), names, names.WorkerSession));
        frames.Add(Frame(FrameKind.Pull, new DataBody([], [pulled, pulled with { Packs = true }, pulled with { Names = true }]), names));
        AddRounded(frames, names);
    }

    /// <summary>Values in one and in two bytes, all of them or those that are not zero, and pulls that take such answers.</summary>
    private static void AddRounded(List<byte[]> frames, Names names)
    {
        foreach (ValueFilters rounds in (ValueFilters[])[ValueFilters.BFloat16, ValueFilters.Int8, ValueFilters.Lz4, ValueFilters.Int8 | ValueFilters.Lz4])
        {
            SamplePart dense = Part(names.Plain, 8, 1, 0, 12) with { Rounds = rounds };
            SamplePart sparse = Part(names.Plain, 9, 1, 0, 50) with { Rounds = rounds, Packs = true, Values = Sparse(100) };
            SampleItem item = new(names.Plain, 8, 0, PullItem.NoBound, 0, dense.Keys);
            frames.Add(Frame(FrameKind.Push, new DataBody([dense, sparse], []), names, names.OwnSession));
            frames.Add(Frame(FrameKind.Push, new DataBody([Part(names.Aggregating, 8, 1, 1, 12) with { Rounds = rounds }], []), names, names.WorkerSession));
            frames.Add(Frame(FrameKind.Pull, new DataBody([], [item with { Takes = rounds }, item with { Takes = rounds | ValueFilters.ZeroBitmap }]), names));
            frames.Add(Frame(FrameKind.PullReply, new SamplePullReply(3, [true, false, true, true], [1, 2, 3, 4, 5, 6], "") { Rounds = rounds }, names));
            frames.Add(Frame(FrameKind.PullReply, new SamplePullReply(1, [.. Enumerable.Repeat(true, 50)], Sparse(100), "") { Rounds = rounds }, names));
        }
    }

    private static void AddReplies(List<byte[]> frames, Names names)
    {
        List<PartReply> replies =
        [
            new PartReply { Table = 1, Segment = 3, N = 1, Status = Status.Acked, Text = "" },
            new PartReply { Table = 1, Segment = 4, N = 9, Value = 2, Status = Status.Gap, DeleteStream = true, Text = "" },
            new PartReply { Table = 1, Segment = 4, N = 9, Status = Status.Failed, Text = "not a number" },
        ];
        frames.Add(Frame(FrameKind.PushReply, new PushReplyBody(replies), names, names.OwnSession));
        frames.Add(Frame(FrameKind.PullReply, new SamplePullReply(3, [true, false, true], [1, 2, 3, 4], ""), names));
        frames.Add(Frame(FrameKind.PullReply, new SamplePullReply(1, [.. Enumerable.Repeat(true, 12)], Sparse(24), ""), names));
        frames.Add(Frame(FrameKind.PullReply, new SamplePullReply(0, [], [], "waiting for worker 3, at clock 17 of 21"), names));
        frames.Add(Frame(FrameKind.ScanReply, new SampleScanReply(KeysOf(3, 3), [1, 2, 3, 4, 5, 6]), names));
        frames.Add(Frame(FrameKind.AdminReply, new AdminReplyBody(Status.Conflict, 1, 2, "another width"), names));
        frames.Add(Frame(FrameKind.AdminReply, new AdminReplyBody(Status.NotOwner, 0, 0, "10.0.0.1:4000"), names));
        frames.Add(Frame(FrameKind.RegisterReply, new RegisterReplyBody(Status.Acked, 4, new byte[] { 1, 2, 3 }), names));
        frames.Add(Frame(FrameKind.Error, new StatusBody(Status.Malformed, "no sense"), names));
        frames.Add(Frame(FrameKind.SentReply, default(EmptyBody), names));
        frames.Add(Frame(FrameKind.ClockReply, default(EmptyBody), names));
        var counters = new NodeCounters { PushRequests = 1, FramesRefused = 15, ReplicationBytes = 16 };
        TableLoad[] tables = [new TableLoad(1, 10, 400, 6, 168), new TableLoad(2, 0, 0, 0, 0)];
        frames.Add(Frame(FrameKind.StatusReply, new StatusReplyBody(1, 99, 4096, 1 << 20, counters, tables, Clocks(names)), names));
    }

    private static void AddClocks(List<byte[]> frames, Names names)
    {
        frames.Add(Frame(FrameKind.Clock, new ClockBody(Clocks(names)), names));
        SentEntry[] sent = [new SentEntry(names.Aggregating, 5, 1), new SentEntry(names.Aggregating, 6, 0)];
        frames.Add(Frame(FrameKind.Sent, new SentBody(names.Group, 0, 1, 0, 63, sent), names, names.WorkerSession));
        frames.Add(Frame(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Process, 20, 21, 0, 0, Clocks(names)), names));
        frames.Add(Frame(FrameKind.Heartbeat, new HeartbeatBody(MemberRole.Node, 2, 22, 100, 10, []), names));
        frames.Add(Frame(FrameKind.HeartbeatReply, new HeartbeatReplyBody(Status.Acked, Clocks(names)), names));
        frames.Add(Frame(FrameKind.HeartbeatReply, new HeartbeatReplyBody(Status.Ended, []), names));
    }

    private static void AddChanges(List<byte[]> frames, Names names)
    {
        frames.Add(Frame(FrameKind.OpenTable, new OpenTableBody("weights", Width, UpdateRule.Add, 0.5f, false, 0, KeyLifetime.Default), names));
        frames.Add(Frame(FrameKind.OpenTable, new OpenTableBody("moments", 3, UpdateRule.Adam(), 0, false, names.Group, new KeyLifetime(7, 3), IsCommitted: true), names));
        frames.Add(Frame(FrameKind.OpenJob, new OpenJobBody("job", 2, 1, false, 5), names));
        frames.Add(Frame(FrameKind.OpenSession, new OpenSessionBody(20, 21, 0, 0, 0), names));
        frames.Add(Frame(FrameKind.OpenSession, new OpenSessionBody(20, 21, names.Group, 0, names.WorkerSession), names));
        frames.Add(Frame(FrameKind.EndSession, new EndSessionBody(names.OwnSession, 0, 0, 0), names));
        frames.Add(Frame(FrameKind.EndSession, new EndSessionBody(names.WorkerSession, names.Group, 0, 4), names));
        frames.Add(Frame(FrameKind.AddWorkers, new AddWorkersBody(names.Group, 2, 2, 50, 5), names));
        frames.Add(Frame(FrameKind.RemoveWorker, new RemoveWorkerBody(names.Group, 1, 70), names));
        frames.Add(Frame(FrameKind.Begun, new BegunBody(names.Group, 0, names.MapVersion, 12), names, names.WorkerSession));
        frames.Add(Frame(FrameKind.OpenTable, new OpenTableBody("vector", 4, UpdateRule.Add, 0, false, 0, KeyLifetime.Default, Dimensions: new TableDimensions(1, 1001)), names));
        frames.Add(Frame(FrameKind.SetDelayBound, new SetDelayBoundBody(names.Aggregating, 3), names));
        frames.Add(Frame(FrameKind.SetNamespaceQuota, new SetNamespaceQuotaBody("ads", 1 << 30), names));
        SentTask first = new(1, "step", [1, 2, 3], []), second = new(2, "step", [], [new TaskKey(30, 1), new TaskKey(31, 7)]);
        frames.Add(Frame(FrameKind.ServeTasks, new ServeTasksBody(30, "node 30"), names));
        frames.Add(Frame(FrameKind.Task, new TaskBody("node 30", 30, [first, second]), names));
        frames.Add(Frame(FrameKind.Task, new TaskBody("nobody", 31, [first]), names));
        frames.Add(Frame(FrameKind.TaskReply, new TaskReplyBody(30, Status.Acked, "", [new TaskOutcome(Status.Acked, "", [9]), new TaskOutcome(Status.Failed, "it failed", [])]), names));
        frames.Add(Frame(FrameKind.TaskReply, new TaskReplyBody(31, Status.Down, "nobody runs tasks", []), names));
        frames.Add(Frame(FrameKind.DropTable, new NumberBody(names.Plain), names));
        frames.Add(Frame(FrameKind.EndJob, new NumberBody(names.Group), names));
        frames.Add(Frame(FrameKind.JoinProcess, new JoinProcessBody(30, 31, names.Group, "host 30"), names));
        frames.Add(Frame(FrameKind.Leave, new LeaveBody(MemberRole.Process, 30, 31), names));
        frames.Add(Frame(FrameKind.Leave, new LeaveBody(MemberRole.Node, 1, 1), names));
        frames.Add(Frame(FrameKind.Drain, new DrainBody(2, 22, false), names));
        frames.Add(Frame(FrameKind.Drain, new DrainBody(2, 0, true), names));
        frames.Add(Frame(FrameKind.Forget, new ForgetBody(3, true), names));
    }

    private static void AddNodes(List<byte[]> frames, Names names)
    {
        byte[] map = MapEncoding.Encode(Map(names));
        frames.Add(Frame(FrameKind.Hello, new HelloBody(2, 22, 1, 1, KnownEncodings.None, ""), names));
        frames.Add(Frame(FrameKind.HelloReply, new HelloBody(2, 22, 1, 1, KnownEncodings.All, "10.0.0.2:4000"), names));
        frames.Add(Frame(FrameKind.ReadMap, default(EmptyBody), names));
        frames.Add(Frame(FrameKind.ReadMapReply, new RawBody(map), names));
        frames.Add(Frame(FrameKind.MapDifferences, new RawBody(MapDifference.Encode(Map(names), NextMap(names))), names));
        frames.Add(Frame(FrameKind.RegisterRead, new RegisterBody(1, 0, default), names));
        frames.Add(Frame(FrameKind.RegisterSwap, new RegisterBody(0, 0, new byte[] { 1, 2, 3 }), names));
        frames.Add(Frame(FrameKind.RegisterSwap, new RegisterBody(1, names.MapVersion, map), names));
        var value = new CellValue(4, 0xABCD, new byte[] { 1, 2, 3 });
        frames.Add(Frame(FrameKind.PaxosPrepare, new PaxosBody(1, new Ballot(7, 22), default, HasValue: false), names));
        frames.Add(Frame(FrameKind.PaxosAccept, new PaxosBody(1, new Ballot(7, 22), value, HasValue: true), names));
        frames.Add(Frame(FrameKind.PaxosReply, new PaxosReplyBody(1, false, new Ballot(7, 22), new Ballot(7, 22), new Ballot(6, 11), value), names));
        frames.Add(Frame(FrameKind.JoinNode, new JoinNodeBody(2, 22, 100, "10.0.0.2:4000", "rack 1"), names));
        frames.Add(Frame(FrameKind.JoinNode, new JoinNodeBody(1, 99, 100, "10.0.0.3:4000", ""), names));
        frames.Add(Frame(FrameKind.JoinNode, new JoinNodeBody(3, 33, 100, "10.0.0.4:4000", "") { Journal = 0x5EED }, names));
        frames.Add(Frame(FrameKind.OpenTable, new OpenTableBody("kept", Width, UpdateRule.Add, 0, false, 0, KeyLifetime.Default, Durable: true), names));
    }

    /// <summary>What the members of a chain say to one another, from the second node of the map to the first.</summary>
    private static void AddChains(List<byte[]> frames, Names names)
    {
        frames.Add(Frame(FrameKind.Entries, new SampleEntries([EntryKind.Part, EntryKind.Expiry, EntryKind.Forget, EntryKind.Iteration, EntryKind.Load]), names));
        frames.Add(Frame(FrameKind.EntryAck, new ChainBody<EntryAck>(2, 22, [new EntryAck(3, new LogPosition(1, 2), new LogPosition(1, 1), 1 << 20, true, 2)]), names));
        frames.Add(Frame(FrameKind.Confirm, new ChainBody<ConfirmEntry>(2, 22, [new ConfirmEntry(3, new LogPosition(1, 2), false, false)]), names));
        frames.Add(Frame(FrameKind.Confirmed, new ChainBody<ConfirmEntry>(2, 22, [new ConfirmEntry(3, new LogPosition(1, 2), true, true)]), names));
        frames.Add(Frame(FrameKind.CopyBegin, new CopyBody(2, 22, 3, 1, 1, 0), names));
        frames.Add(Frame(FrameKind.CopyAck, new CopyBody(2, 22, 3, 1, 1, 4), names));
        frames.Add(Frame(FrameKind.CopySlice, new SampleSlice(names.Plain), names));
        frames.Add(Frame(FrameKind.Step, new StepBody([new Step(3, StepKind.Copy), new Step(4, StepKind.Seal)]), names));
        frames.Add(Frame(FrameKind.Report, new ChainBody<Claim>(2, 22, [new Claim(3, ClaimKind.Complete, 1), new Claim(4, ClaimKind.CaughtUp, 0), new Claim(5, ClaimKind.BackEpoch, 1), new Claim(5, ClaimKind.BackNumber, 2)]), names));
    }

    private static void AddCheckpoints(List<byte[]> frames, Names names)
    {
        frames.Add(Frame(FrameKind.OpenCheckpoint, new OpenCheckpointBody(9, 20, 21), names));
        frames.Add(Frame(FrameKind.EndCheckpoint, new EndCheckpointBody(9, false), names));
        frames.Add(Frame(FrameKind.EndCheckpoint, new EndCheckpointBody(10, true), names));
        frames.Add(Frame(FrameKind.CheckpointRead, new CheckpointReadBody(9, 3, 1, 0), names));
        frames.Add(Frame(FrameKind.CheckpointSlice, new SampleCheckpointSlice(names.Plain), names));

        // Of another cluster, so that the node refuses it: one that begins to load a checkpoint serves nobody until it was loaded.
        frames.Add(Frame(FrameKind.BeginRestore, new BeginRestoreBody(10, 20, 21, MapEncoding.Encode(Map(names) with { Cluster = Cluster + 1 })), names));
        frames.Add(Frame(FrameKind.RestoreRows, new RestoreRowsBody(10, 3, new byte[CopyRecord.Size]), names));
        frames.Add(Frame(FrameKind.RestoreReply, new RestoreReplyBody(Status.Acked, 22, 4, 3, ""), names));
    }

    public static ClockEntry[] Clocks(Names names) => [new(names.Group, 0, 1, names.MapVersion), new(names.Group, 1, 2, names.MapVersion - 1)];

    /// <summary>The map after <see cref="Map"/>: a node came and is to be drained, one chain has it at its tail, another is down, one began anew, a session began and the job's first worker leaves.</summary>
    public static ClusterMap NextMap(Names names)
    {
        ClusterMap map = Map(names);
        MapJob job = map.Jobs[0];
        return map with
        {
            Version = map.Version + 1,
            Members = [.. map.Members, new MapMember(5, 55, "10.0.0.5:4000", 50, "", IsDraining: true)],
            Jobs = [job with { Workers = [job.Workers[0] with { Through = 60 }, .. job.Workers[1..]] }],
            Sessions = [.. map.Sessions, new MapSession(map.NextSession, 20)],
            NextSession = map.NextSession + 1,
            Namespaces = [map.Namespaces[0] with { QuotaBytes = 1 }, new MapNamespace("", 9)],
            Replicas = map.Replicas + 1,
            Chains = [.. map.Chains.Select((c, s) => s == 5 ? new MapChain(map.Version + 1, [.. c.Members, new ChainMember(2, map.Version + 1)]) : s == 6 ? c with { IsDown = true } : s == 7 ? new MapChain(map.Version + 1, [ChainMember.Complete(0)], Emptied: map.Version + 1) : c)],
        };
    }

    /// <summary>The map one version above what the frames name: two nodes, two tables, a job, a session, a loss.</summary>
    public static ClusterMap Map(Names names) => new()
    {
        Cluster = Cluster,
        Version = names.MapVersion + 1,
        SegmentBits = SegmentBits,
        Members = [new MapMember(1, 1, "a", 100, ""), new MapMember(2, 22, "10.0.0.2:4000", 100, "rack 1")],
        Tables =
        [
            new MapTable(names.Plain, "weights", Width, UpdateRule.Add, 0.5f, false, 0, KeyLifetime.Default),
            new MapTable(names.Aggregating, "sums", Width, UpdateRule.Sgd(0.1f), 0, true, names.Group, KeyLifetime.Default),
        ],
        Jobs = [new MapJob(
            names.Group,
            "job",
            1,
            false,
            5,
            new MapChange(names.MapVersion, 9),
            [MapWorker.Opened with { Process = 20, Session = names.WorkerSession }, MapWorker.Opened with { Process = 20, Session = 40, Through = 70 }, MapWorker.Announced with { JoinedBy = 6 }])],
        Processes = [new MapProcess(20, 21, names.Group, "host 20")],
        Sessions = [new MapSession(names.OwnSession, 20)],
        Losses = [new MapLoss(3, "10.0.0.3:4000", 12, 1000)],
        Namespaces = [new MapNamespace("ads", 500_000_000)],
        NextSession = 50,
        NextTable = 3,
        NextGroup = 2,
        ManagerTerm = 3,
        ManagerNode = 2,
        Acceptors = ["a", "10.0.0.2:4000", "10.0.0.3:4000"],
        Replicas = 0,
        Chains = [.. Enumerable.Range(0, 1 << SegmentBits).Select(s => new MapChain(1, s % 8 == 7 ? [] : [ChainMember.Complete(s % 2)]))],
    };
}

/// <summary>Entries without sense inside, one a kind.</summary>
internal readonly record struct SampleEntries(EntryKind[] Kinds) : IBody
{
    public int Bytes => ChainSender.Size + (Kinds.Length * (EntryHead.Size + 16));

    public void Write(ref ByteWriter writer)
    {
        new ChainSender(2, 22, Kinds.Length).Write(ref writer);
        ulong number = 0;
        foreach (EntryKind kind in Kinds)
        {
            new EntryHead { Segment = 3, Kind = kind, Position = new LogPosition(1, ++number), EpochBefore = number == 1 ? 0u : 1, Bytes = 12, EntryBytes = 12 }.Write(ref writer);
            writer.UInt64(number);
            writer.UInt64(0);
        }
    }
}

/// <summary>The last slice of a copy: a key that is gone, and the end.</summary>
internal readonly record struct SampleSlice(uint Table) : IBody
{
    public int Bytes => CopySliceHead.Size + CopyRecord.Size + 8 + CopyRecord.Size + LogPosition.Size;

    public void Write(ref ByteWriter writer)
    {
        new CopySliceHead(2, 22, 3, true, 1, 1, 0).Write(ref writer);
        new CopyRecord(CopyRecordKind.Gone, Table, 1, 8).Write(ref writer);
        writer.UInt64(FrameSamples.KeysOf(3, 1)[0]);
        new CopyRecord(CopyRecordKind.End, 0, 1, LogPosition.Size).Write(ref writer);
        new LogPosition(1, 4).Write(ref writer);
    }
}

/// <summary>The last slice of a walk: the end.</summary>
internal readonly record struct SampleCheckpointSlice(uint Table) : IBody
{
    public int Bytes => CheckpointSliceHead.Size + CopyRecord.Size + 8 + CopyRecord.Size + LogPosition.Size;

    public void Write(ref ByteWriter writer)
    {
        new CheckpointSliceHead(Status.Acked, true, 3, 1, 0).Write(ref writer);
        new CopyRecord(CopyRecordKind.Closed, Table, 1, 8).Write(ref writer);
        writer.UInt64(4);
        new CopyRecord(CopyRecordKind.End, 0, 1, LogPosition.Size).Write(ref writer);
        new LogPosition(1, 4).Write(ref writer);
    }
}

/// <summary>How a list of keys is written: as it is, packed, or by its name.</summary>
internal static class SampleKeys
{
    public static (KeyEncoding Encoding, byte[] Bytes) Write(ulong[] keys, int segment, bool packs, bool names)
    {
        if (names)
        {
            byte[] hash = new byte[KeyList.ReferenceBytes];
            BinaryPrimitives.WriteUInt128LittleEndian(hash, KeyList.HashOf(keys, FrameSamples.Cluster));
            return (KeyEncoding.Cached, hash);
        }

        byte[] bytes = MemoryMarshal.AsBytes(keys.AsSpan()).ToArray();
        int length = bytes.Length;
        KeyEncoding encoding = packs ? PackedKeys.Write(keys, KeyRange.OfSegment(segment, FrameSamples.SegmentBits), bytes, out length) : KeyEncoding.Raw;
        return (encoding, bytes[..length]);
    }
}

/// <summary>How floats are written in the shortest of some forms.</summary>
internal static class SampleValues
{
    public static (ValueEncoding Encoding, byte[] Bytes) Write(float[] values, ValueFilters filters)
    {
        float[] work = [.. values];
        int bytes = ValueEncodings.Shrink(work, filters, 1, out ValueEncoding encoding);
        return (encoding, MemoryMarshal.AsBytes(work.AsSpan())[..bytes].ToArray());
    }
}

/// <summary>One part of a push. Where it packs, keys and values are as short as they get.</summary>
internal sealed record SamplePart(uint Table, int Segment, ulong N, Seq Seq, PartOperation Operation, ulong[] Keys, float[] Values)
{
    public bool Packs { get; init; }

    public bool Names { get; init; }

    public bool Keep { get; init; }

    public byte[] KeyBytes => SampleKeys.Write(Keys, Segment, Packs, Names).Bytes;

    /// <summary>What else its values may be written as.</summary>
    public ValueFilters Rounds { get; init; }

    /// <summary>What stands before the values, which are then as they are: the arithmetic, or the function and its argument.</summary>
    public byte[] Head { get; init; } = [];

    public byte[] ValueBytes => [.. Head, .. SampleValues.Write(Values, Rounds | (Packs ? ValueFilters.ZeroBitmap : 0)).Bytes];

    public PartHeader Header => new()
    {
        Table = Table,
        Segment = (uint)Segment,
        N = N,
        Seq = Seq,
        Rows = Keys.Length,
        Operation = Operation,
        KeyEncoding = SampleKeys.Write(Keys, Segment, Packs, Names).Encoding,
        ValueEncoding = SampleValues.Write(Values, Rounds | (Packs ? ValueFilters.ZeroBitmap : 0)).Encoding,
        KeepKeys = Keep,
        KeyBytes = KeyBytes.Length,
        ValueBytes = ValueBytes.Length,
    };
}

/// <summary>One item of a pull: its keys, or the index of the part whose keys they are.</summary>
internal sealed record SampleItem(uint Table, int Segment, long Iteration, int DelayBound, uint Group, ulong[]? Keys, int Part = 0)
{
    public bool Packs { get; init; }

    public bool Names { get; init; }

    public bool Keep { get; init; }

    public ValueFilters Takes { get; init; }

    public RowReduction Reduction { get; init; }

    public byte[] KeyBytes => Keys is null ? [] : SampleKeys.Write(Keys, Segment, Packs, Names).Bytes;

    public PullItem Header => new()
    {
        Table = Table,
        Segment = (uint)Segment,
        Iteration = Iteration,
        DelayBound = DelayBound,
        Group = Group,
        Rows = Keys?.Length ?? 0,
        KeyEncoding = Keys is null ? KeyEncoding.OfPart : SampleKeys.Write(Keys, Segment, Packs, Names).Encoding,
        KeepKeys = Keep,
        Takes = Takes,
        Reduction = Reduction,
        KeyBytes = Keys is null ? Part : KeyBytes.Length,
    };
}

/// <summary>The body of Push, Pull and PushPull.</summary>
internal readonly record struct DataBody(SamplePart[] Parts, SampleItem[] Items) : IBody
{
    public int Bytes => DataRequestReader.CountsSize + Parts.Sum(p => p.Header.TotalBytes) + Items.Sum(i => i.Header.TotalBytes);

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(Parts.Length);
        writer.Int32(Items.Length);
        foreach (SamplePart part in Parts)
        {
            part.Header.Write(ref writer);
            writer.Raw(part.KeyBytes);
            writer.PadTo8();
            writer.Raw(part.ValueBytes);
            writer.PadTo8();
        }

        foreach (SampleItem item in Items)
        {
            PullItem head = item.Header;
            head.Rows = item.Keys is null && item.Part < Parts.Length ? Parts[item.Part].Keys.Length : head.Rows;
            head.Write(ref writer);
            writer.Raw(item.KeyBytes);
            writer.PadTo8();
        }
    }
}

/// <summary>A PullReply of one piece, of rows found and absent, or of a refusal.</summary>
internal readonly record struct SamplePullReply(int Item, bool[] Found, float[] Values, string Text) : IBody
{
    public PullReplyItem Head => new()
    {
        Item = Item,
        Rows = Found.Length,
        Found = Found.Count(f => f),
        ValueBytes = ValueBytes.Length,
        ValueEncoding = SampleValues.Write(Values, Rounds | ValueFilters.ZeroBitmap).Encoding,
        Status = Text.Length > 0 ? Status.DeadlineExceeded : Status.Acked,
        Stamp = new Stamp(1, 3, 0),
        ClosedIteration = -1,
        MinimumClock = 4,
        Text = Text,
    };

    public ValueFilters Rounds { get; init; }

    private byte[] ValueBytes => SampleValues.Write(Values, Rounds | ValueFilters.ZeroBitmap).Bytes;

    public int Bytes => PullReplyItem.CountSize + Head.TotalBytes;

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(1);
        writer.Int32(0);
        Head.WriteHead(ref writer);
        byte[] bits = new byte[Head.FoundBytes];
        for (int row = 0; row < Found.Length; row++)
        {
            bits[row / 8] |= (byte)((Found[row] ? 1 : 0) << (row % 8));
        }

        writer.Raw(bits);
        writer.Raw(ValueBytes);
        writer.PadTo8();
        Head.WriteText(ref writer);
    }
}

/// <summary>A PullReply of one piece: the number that so many rows were reduced to.</summary>
internal readonly record struct SampleReducedReply(int Item, int Rows, double Number) : IBody
{
    public PullReplyItem Head => new()
    {
        Item = Item,
        Rows = Rows,
        ValueBytes = sizeof(double),
        Stamp = new Stamp(1, 3, 0),
        ClosedIteration = -1,
        MinimumClock = -1,
        Text = "",
    };

    public int Bytes => PullReplyItem.CountSize + Head.TotalBytes;

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(1);
        writer.Int32(0);
        Head.WriteHead(ref writer);
        writer.Raw(new byte[Head.FoundBytes]);
        writer.UInt64(BitConverter.DoubleToUInt64Bits(Number));
    }
}

/// <summary>A ScanReply with rows of <see cref="FrameSamples.Width"/> floats.</summary>
internal readonly record struct SampleScanReply(ulong[] Keys, float[] Values) : IBody
{
    public int Bytes => ScanReplyHead.Size + (Keys.Length * sizeof(ulong)) + PartHeader.Pad8(Values.Length * sizeof(float));

    public void Write(ref ByteWriter writer)
    {
        var head = new ScanReplyHead { Rows = Keys.Length, ValueBytes = Values.Length * sizeof(float), NextMixed = Mix.Of(Keys[^1]) + 1 };
        head.Write(ref writer);
        writer.Raw(MemoryMarshal.AsBytes(Keys.AsSpan()));
        writer.Raw(MemoryMarshal.AsBytes(Values.AsSpan()));
        writer.PadTo8();
    }
}
