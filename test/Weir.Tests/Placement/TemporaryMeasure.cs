using System.Diagnostics;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Tests.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Placement;

public class TemporaryMeasure
{
    private sealed class Nothing : IChainReports
    {
        public bool HasWord(int segment) => false;
        public bool IsComplete(int segment, ulong node, ulong appended) => false;
        public bool HasCaughtUp(int segment, ulong node, ulong epoch) => false;
        public bool HasDiverged(int segment, ulong node, ulong epoch) => false;
        public bool IsSealed(int segment, ulong node, ulong version) => false;
        public ulong Stalled(int segment, ulong node, ulong successor, ulong epoch) => 0;
        public bool AreApart(ulong one, ulong other) => false;
        public bool IsStuck(ulong node, ulong successor) => false;
    }

    [Fact]
    public void Measure()
    {
        using var log = new StreamWriter("/tmp/admin.measure");
        void Time(string what, Action action)
        {
            for (int i = 0; i < 3; i++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                TimeSpan cpu = Process.GetCurrentProcess().TotalProcessorTime;
                var watch = Stopwatch.StartNew();
                action();
                log.WriteLine($"{what}: {watch.Elapsed.TotalMilliseconds:0.0} ms wall, {(Process.GetCurrentProcess().TotalProcessorTime - cpu).TotalMilliseconds:0} ms cpu, {(GC.GetAllocatedBytesForCurrentThread() - before) / 1e6:0.0} MB");
            }
        }

        MapMember[] members = [.. Enumerable.Range(1, 1000).Select(n => new MapMember((ulong)n, (ulong)n, $"server-{n:d4}.example.org:47000", 100, $"zone-{n % 40}"))];
        var map = new ClusterMap { Cluster = 7, SegmentBits = 17, Replicas = 2, Members = members, ManagerNode = 1, ManagerTerm = 1, Chains = [], Tables = [new MapTable(1, "t", 1, UpdateRule.Add, 0, false, 0, KeyLifetime.Default)], NextTable = 2 };
        ulong[][] wanted = [];
        Time("wanted chains", () => wanted = WantedChains.Of(map));
        map = map with { Chains = [.. wanted.Select(nodes => new MapChain(1, [.. nodes.Select(n => ChainMember.Complete((int)n - 1))]))] };
        Time("planning pass, settled", () => Planner.Next(map, wanted, new Nothing(), 8, 16));
        ClusterMap draining = map with { Members = [.. members.Select(m => m.Node <= 10 ? m with { IsDraining = true } : m)], Version = 2 };
        ulong[][] drained = WantedChains.Of(draining);
        List<PlannedStep> steps = [];
        Time("planning pass, ten servers drain", () => steps = Planner.Next(draining, drained, new Nothing(), 8, 16));
        log.WriteLine($"{steps.Count} steps");
        (PlannedStep, ulong)[] appends = [.. steps.Select(s => (s with { Kind = PlannedKind.Append }, 1ul))];
        ClusterMap next = draining;
        Time("taking the steps", () => next = ChainChanges.Take(draining, appends, 2, drained).Map! with { Version = 3 });
        Time("encoding the map", () => MapEncoding.Encode(next with { Chains = [.. next.Chains] }));
        Time("difference", () => MapDifference.Encode(draining, next));
        Time("a node is removed", () => MapChanges.RemoveNode(map, 500, 0));
        Time("a node is forgotten and refused", () => MemberDepartures.Forget(map, 500, false, 0, false));
        using var state = new NodeState(
            new ServerOptions { Node = 2, Incarnation = 2, Cluster = 7, Address = "a", SegmentBits = 17 },
            new Outbox(new FuzzNetwork(new LinkId(2))) { Pool = new FramePool() });
        state.Adopt(map);
        Time("a node adopts it", () => state.Adopt(map with { Version = state.Map!.Version + 1 }));
        byte[] bytes = MapEncoding.Encode(next);
        Time("decoding the map", () => MapEncoding.TryDecode(bytes, out _));
        var plan = new ChainPlan(state, new HeardMembers());
        Time("plan, whole", () =>
        {
            state.Adopt(map with { Version = state.Map!.Version + 1 });
            plan.Next(default, out _);
        });
    }
}
