using CsCheck;
using Weir.Keys;
using Weir.Placement;
using Weir.Tests.Wire;

namespace Weir.Tests.Placement;

public class MapEncodingTests
{
    private static readonly Gen<string> Texts = Gen.Char[' ', '~'].Array[0, 12].Select(c => new string(c));

    // A table that aggregates has no rows that expire.
    private static readonly Gen<(bool Aggregate, KeyLifetime Lifetime)> Lifetimes = Gen.Select(Gen.Int[0, 2], Gen.Int[1, int.MaxValue], Gen.Int[1, 100]).Select(
        (kind, clocks, sightings) => (kind == 1, new KeyLifetime(kind == 2 ? clocks : null, sightings)));

    private static readonly Gen<ClusterMap> Maps = Gen.Select(
        Gen.Select(Gen.ULong, Gen.UInt, Gen.ULong[1, MapSoundness.MaxVersion], Gen.Int[6, 8]),
        Gen.Select(Gen.ULong, Gen.UInt[1, 10_000], Texts, Texts).Array[1, 4],
        Gen.Select(Gen.Int[1, 1000], Gen.Float[-5, 5], Gen.Int[0, 5], Gen.UInt[1, 9], Lifetimes).Array[0, 4],
        Gen.Select(Gen.Int[1, 9], Gen.ULong, Texts, Gen.Select(Gen.ULong, Gen.Bool, Gen.Long[0, 9], Gen.Long[0, 50], Gen.Int[0, 2]).Array[1, 4]).Array[0, 3],
        Gen.Select(Gen.ULong, Gen.UInt, Texts).Array[0, 3],
        Gen.Select(Gen.ULong, Gen.Int[0, 100], Texts).Array[0, 2],
        Gen.Select(Gen.Int[0, 3], Gen.ULong, Gen.Bool).Array[256]).Select(Build);

    [Fact]
    public void Any_map_comes_back_from_its_bytes_with_every_field() =>
        Maps.Sample(
            map =>
            {
                byte[] bytes = MapEncoding.Encode(map);
                Assert.Equal(MapEncoding.Size(map), bytes.Length);
                Assert.True(MapEncoding.TryDecode(bytes, out ClusterMap read));
                Assert.Equal((map.Cluster, map.Generation, map.Version, map.SegmentBits), (read.Cluster, read.Generation, read.Version, read.SegmentBits));
                Assert.Equal((map.NextSession, map.NextTable, map.NextGroup), (read.NextSession, read.NextTable, read.NextGroup));
                Assert.Equal((map.ManagerTerm, map.ManagerNode), (read.ManagerTerm, read.ManagerNode));
                Assert.Equal(map.Acceptors, read.Acceptors);
                Assert.Equal(map.Members, read.Members);
                Assert.Equal(map.Tables, read.Tables);
                Assert.Equal(map.Jobs.Select(j => (j.Group, j.Name, j.Hosts, j.Nonce, j.Change)), read.Jobs.Select(j => (j.Group, j.Name, j.Hosts, j.Nonce, j.Change)));
                Assert.Equal(map.Jobs.SelectMany(j => j.Workers), read.Jobs.SelectMany(j => j.Workers));
                Assert.Equal(map.Processes, read.Processes);
                Assert.Equal(map.Sessions, read.Sessions);
                Assert.Equal(map.Losses, read.Losses);
                Assert.Equal(map.Namespaces, read.Namespaces);
                Assert.Equal(map.Replicas, read.Replicas);
                Assert.Equal(map.Chains.Select(c => (c.Epoch, c.IsDown)), read.Chains.Select(c => (c.Epoch, c.IsDown)));
                Assert.Equal(map.Chains.SelectMany(c => c.Members), read.Chains.SelectMany(c => c.Members));
                Assert.Equal(bytes, MapEncoding.Encode(read));
            },
            iter: 200);

    [Fact]
    public void A_map_is_refused_at_every_shorter_and_longer_length()
    {
        byte[] bytes = MapEncoding.Encode(Map);
        for (int length = 0; length < bytes.Length; length++)
        {
            Assert.False(MapEncoding.TryDecode(bytes.AsSpan(0, length), out _));
        }

        Assert.False(MapEncoding.TryDecode([.. bytes, 0], out _));
    }

    [Fact]
    public void A_map_that_contradicts_itself_is_refused()
    {
        MapTable table = Map.Tables[0];
        MapJob job = Map.Jobs[0];
        ClusterMap[] unsound =
        [
            Map with { Members = [] },
            Map with { Members = [Map.Members[0], Map.Members[0]] },
            Map with { Members = [Map.Members[0] with { Node = 0 }, Map.Members[1]] },
            Map with { Members = [Map.Members[0] with { WeightPercent = 0 }, Map.Members[1]] },
            Map with { Members = [Map.Members[0]] },
            Map with { Version = 0 },
            Map with { Version = MapSoundness.MaxVersion + 1 },
            Map with { Replicas = MapSoundness.MaxReplicas + 1 },
            Map with { Replicas = -1 },
            Map with { Chains = [Map.Chains[0] with { Epoch = Map.Version + 1 }, .. Map.Chains[1..]] },
            Map with { Chains = [new MapChain(1, [new ChainMember(0, Map.Version + 1)]), .. Map.Chains[1..]] },
            Map with { Chains = [new MapChain(1, [ChainMember.Complete(1), ChainMember.Complete(1)]), .. Map.Chains[1..]] },
            Map with { Chains = [new MapChain(1, [ChainMember.Complete(Map.Members.Length)]), .. Map.Chains[1..]] },
            Map with { Chains = [new MapChain(1, [.. Enumerable.Repeat(ChainMember.Complete(0), MapSoundness.MaxChainMembers)]), .. Map.Chains[1..]] },
            Map with { NextSession = 2 },
            Map with { NextTable = 2 },
            Map with { NextGroup = 1 },
            Map with { Acceptors = ["a", "b"] },
            Map with { Acceptors = ["a", "a", "b"] },
            Map with { Acceptors = [""] },
            Map with { Tables = [table, table] },
            Map with { Tables = [table, table with { Id = 2 }] },
            Map with { Tables = [table with { Width = 0 }] },
            Map with { Tables = [table with { Width = MapSoundness.MaxWidth + 1 }] },
            Map with { Tables = [table with { InitialValue = float.NaN }] },
            Map with { Tables = [table with { Aggregate = true, Group = 0 }] },
            Map with { Tables = [table with { Lifetime = new KeyLifetime(5, 1), Group = 0 }] },
            Map with { Tables = [table with { Lifetime = new KeyLifetime(5, 1), Aggregate = true, Group = 1 }] },
            Map with { Jobs = [job, job] },
            Map with { Jobs = [job with { Workers = [] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0], job.Workers[0]] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { FinishedThrough = -2 }] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { From = -1 }, .. job.Workers[1..]] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { From = 0 }, .. job.Workers[1..]] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { From = 6, FinishedThrough = 4 }, .. job.Workers[1..]] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { From = 6, Through = 5 }, .. job.Workers[1..]] }] },
            Map with { Jobs = [job with { Workers = [job.Workers[0] with { Through = 5, FinishedThrough = 6 }, .. job.Workers[1..]] }] },
            Map with { Jobs = [job with { Change = job.Change with { Announced = Map.Version + 1 } }] },
            Map with { Jobs = [job with { Change = job.Change with { NotBefore = -1 } }] },
            Map with { Jobs = [job with { Change = job.Change with { Announced = 0 } }] },
            Map with { Jobs = [job with { Workers = job.Workers[..2] }] },
            Map with { Sessions = [new MapSession(job.Workers[0].Session, 20)] },
            Map with { Sessions = [new MapSession(0, 20)] },
            Map with { Processes = [Map.Processes[0], Map.Processes[0]] },
            Map with { Namespaces = [Map.Namespaces[0], Map.Namespaces[0]] },
            Map with { Namespaces = [Map.Namespaces[0] with { QuotaBytes = 0 }] },
            Map with { Namespaces = [Map.Namespaces[0] with { Name = "a/b" }] },
            Map with { Namespaces = [Map.Namespaces[0] with { Name = new string('a', QualifiedName.MaxNamespaceLength + 1) }] },
        ];
        Assert.True(MapEncoding.TryDecode(MapEncoding.Encode(Map), out _));
        for (int i = 0; i < unsound.Length; i++)
        {
            Assert.False(MapEncoding.TryDecode(MapEncoding.Encode(unsound[i]), out _), $"map {i} was taken");
        }
    }

    [Fact]
    public void A_map_follows_one_that_is_older_and_of_the_same_cluster_alone()
    {
        ClusterMap next = Map with { Version = Map.Version + 1 };
        Assert.True(MapSoundness.Follows(next, Map));
        Assert.True(MapSoundness.Follows(next with { Tables = [], Jobs = [], Sessions = [] }, Map));
        Assert.False(MapSoundness.Follows(Map, Map));
        Assert.False(MapSoundness.Follows(next with { Cluster = 8 }, Map));
        Assert.False(MapSoundness.Follows(next with { SegmentBits = 7 }, Map));
        Assert.True(MapSoundness.Follows(next with { Members = [Map.Members[1]] }, Map));
        Assert.True(MapSoundness.Follows(next with { ManagerTerm = Map.ManagerTerm + 1, ManagerNode = 1 }, Map));
        Assert.False(MapSoundness.Follows(next with { ManagerTerm = Map.ManagerTerm - 1 }, Map));
        Assert.False(MapSoundness.Follows(next with { Acceptors = [] }, Map));
        Assert.False(MapSoundness.Follows(next with { NextSession = 1 }, Map));
        Assert.False(MapSoundness.Follows(next, Map with { Tables = [], NextTable = 3 }));
    }

    [Fact]
    public void A_map_follows_with_workers_added_and_what_was_announced_decided_but_nothing_decided_taken_back()
    {
        MapJob job = Map.Jobs[0];
        bool Follows(params MapWorker[] workers) =>
            MapSoundness.Follows(Map with { Version = Map.Version + 1, Jobs = [job with { Workers = workers }] }, Map);
        (MapWorker first, MapWorker leaves, MapWorker joins) = (job.Workers[0], job.Workers[1], job.Workers[2]);
        Assert.True(Follows(first, leaves, joins));
        Assert.True(Follows(first, leaves, joins with { From = 50 }, MapWorker.Announced));
        Assert.True(Follows(first with { Through = 60 }, leaves with { FinishedThrough = 70 }, joins));
        Assert.False(Follows(first, leaves));
        Assert.False(Follows(first with { From = 2 }, leaves, joins));
        Assert.False(Follows(first, leaves with { Through = 71 }, joins));
        Assert.False(Follows(first, leaves with { Through = MapWorker.NoEnd }, joins));
        ClusterMap finished = Map with { Jobs = [job with { Workers = [first with { FinishedThrough = 9 }, leaves, joins] }] };
        Assert.False(MapSoundness.Follows(Map with { Version = Map.Version + 1 }, finished));
    }

    [Theory]
    [InlineData(5)]
    [InlineData(18)]
    [InlineData(255)]
    public void A_number_of_segments_out_of_range_is_refused(byte bits)
    {
        byte[] bytes = MapEncoding.Encode(Map);
        bytes[12] = bits;
        Assert.False(MapEncoding.TryDecode(bytes, out _));
    }

    private static ClusterMap Map { get; } = FrameSamples.Map(FrameSamples.Names.Default);

    private static ClusterMap Build(
        (ulong Cluster, uint Generation, ulong Version, int Bits) head,
        (ulong Incarnation, uint Weight, string Address, string Zone)[] members,
        (int Width, float Initial, int Rule, uint Group, (bool Aggregate, KeyLifetime Lifetime) Ages)[] tables,
        (int Hosts, ulong Nonce, string Name, (ulong Process, bool Hosted, long From, long Through, int End)[] Workers)[] jobs,
        (ulong Incarnation, uint Group, string Name)[] processes,
        (ulong Rows, int Segments, string Address)[] losses,
        (int Members, ulong Epoch, bool Flag)[] segments)
    {
        UpdateRule[] rules = [UpdateRule.Add, UpdateRule.Assign, UpdateRule.Sgd(1), UpdateRule.Adagrad(1), UpdateRule.Adam(), UpdateRule.Ftrl(1)];
        ulong session = 1;
        MapWorker Worker((ulong Process, bool Hosted, long From, long Through, int End) w) => w.From == 0 ? MapWorker.Announced with { JoinedBy = w.Process } : new MapWorker(
            w.Process,
            w.Hosted ? session++ : 0,
            w.From,
            w.End == 0 ? MapWorker.NoEnd : w.Through == 0 ? MapWorker.Undecided : w.From + w.Through,
            w.End == 2 ? w.From : MapWorker.Working);
        MapJob[] hosted = [.. jobs.Select((j, i) =>
        {
            MapWorker[] workers = [.. j.Workers.Select(Worker)];
            ulong announced = Array.Exists(workers, w => !w.HasFirst || w.Through == MapWorker.Undecided) ? 1UL : 0;
            return new MapJob((uint)i + 1, j.Name, j.Hosts, i % 2 == 1, j.Nonce, new MapChange(announced, i), workers) { LoadedThrough = i * 3 };
        })];
        MapSession[] own = [.. processes.Select((_, i) => new MapSession(session++, (ulong)i + 1))];
        return new ClusterMap
        {
            Cluster = head.Cluster,
            Generation = head.Generation,
            Version = head.Version,
            SegmentBits = head.Bits,
            Members = [.. members.Select((m, i) => new MapMember((ulong)i + 1, m.Incarnation, m.Address, m.Weight, m.Zone, m.Weight % 3 == 0) { Journal = (ulong)i * 7 })],
            Tables = [.. tables.Select((t, i) => new MapTable((uint)i + 1, $"table {i}", t.Width, rules[t.Rule], t.Initial, t.Ages.Aggregate, t.Group, t.Ages.Lifetime, i % 3 == 1) { Durable = i % 2 == 1, IsLost = i % 4 == 2, DelayBound = t.Group == 0 ? MapTable.NoBound : (i % 5) - 1 })],
            Jobs = hosted,
            Processes = [.. processes.Select((p, i) => new MapProcess((ulong)i + 1, p.Incarnation, p.Group, p.Name))],
            Sessions = own,
            Namespaces = [.. losses.Select((l, i) => new MapNamespace(i == 0 ? "" : $"namespace-{i}", l.Segments + 1L))],
            Losses = [.. losses.Select((l, i) => new MapLoss((ulong)i + 90, l.Address, l.Segments, l.Rows))],
            NextSession = session,
            NextTable = (uint)tables.Length + 1,
            NextGroup = (uint)jobs.Length + 1,
            ManagerTerm = session * 3,
            ManagerNode = head.Version,
            Acceptors = [.. Enumerable.Range(0, new[] { 0, 1, 3, 5 }[head.Bits % 4]).Select(i => $"acceptor {i}")],
            Replicas = processes.Length,
            Chains = [.. segments.Take(1 << head.Bits).Select(s => new MapChain(
                s.Epoch % (head.Version + 1),
                [.. Enumerable.Range(0, Math.Min(s.Members, members.Length)).Select(m => new ChainMember(m, s.Flag == (m == 0) ? 0 : s.Epoch % (head.Version + 1)))],
                s.Flag,
                s.Flag ? s.Epoch % (head.Version + 1) : 0))],
        };
    }
}
