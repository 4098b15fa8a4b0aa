using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text;
using Weir.Host.Etcd;
using Weir.Host.Loops;
using Weir.Keys;
using Weir.Placement;
using Weir.Register;
using Weir.Server;
using Weir.Tests.Host;
using Weir.Tests.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>What the register in etcd makes of members that fail, answers that are lost, and answers that are none.</summary>
public class EtcdRegisterTests(RegisterKinds kinds) : IClassFixture<RegisterKinds>
{
    private static readonly EtcdOptions Quick = new() { DeadlineMs = 1_000, AttemptMs = 200, RetryMs = 20 };

    [Fact]
    public async Task A_swap_whose_answer_is_lost_is_found_again_by_its_nonce()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        using LossyMember lossy = new(etcd.Url(0));
        string address = $"etcd://127.0.0.1:{lossy.Port}/weir/lost-answer";
        await using EtcdSubject subject = new(address, address);
        for (ulong version = 0; version < 6; version++)
        {
            // The first is lost on a new connection, later ones also on one that was used before.
            lossy.LoseNextAnswer(() => Task.CompletedTask);
            RegisterResult swap = subject.Swap(RegisterCell.Map, version, [(byte)version]);
            Assert.Equal((RegisterOutcome.Done, version + 1), (swap.Outcome, swap.Version));
            Assert.Equal([(byte)version], subject.ReadElsewhere(RegisterCell.Map).Value.ToArray());
        }
    }

    [Fact]
    public async Task A_swap_whose_answer_is_lost_and_that_was_written_over_is_unknown_and_never_a_mismatch()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        using LossyMember lossy = new(etcd.Url(0));
        string prefix = "/weir/written-over";
        await using EtcdSubject subject = new($"etcd://127.0.0.1:{lossy.Port}{prefix}", etcd.Address(prefix));
        for (ulong version = 0; version < 10; version += 2)
        {
            ulong next = version + 1;
            lossy.LoseNextAnswer(() =>
            {
                Assert.Equal(RegisterOutcome.Done, subject.SwapElsewhere(RegisterCell.Map, next, [2]).Outcome);
                return Task.CompletedTask;
            });
            Assert.Equal(RegisterOutcome.Unknown, subject.Swap(RegisterCell.Map, version, [1]).Outcome);
            Assert.Equal(version + 2, subject.Read(RegisterCell.Map).Version);
        }
    }

    [Fact]
    public async Task The_next_member_is_asked_where_one_is_not_there_or_does_not_answer()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        int nobody = EtcdCluster.FreePorts(1)[0];
        string address = $"etcd://127.0.0.1:{nobody},127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port},127.0.0.1:{etcd.Url(0).Port}/weir/next-member";
        await using EtcdSubject subject = new(address, address, Quick with { DeadlineMs = 25_000, AttemptMs = 1_000 });
        Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, 0, [1]).Outcome);
        Assert.Equal((RegisterOutcome.Mismatch, 1ul), (subject.Swap(RegisterCell.Map, 0, [2]).Outcome, subject.Read(RegisterCell.Map).Version));
    }

    [Fact]
    public async Task Without_any_member_an_operation_ends_as_unknown_at_its_deadline_and_the_log_says_whom_it_asked()
    {
        RecordingLog log = new();
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        int nobody = EtcdCluster.FreePorts(1)[0];
        string slow = $"127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}";
        await using EtcdRegister register = EtcdCluster.Register($"etcd://127.0.0.1:{nobody},{slow}/weir/t", options: Quick, log: log);
        var since = System.Diagnostics.Stopwatch.StartNew();
        register.CompareAndSwap(RegisterCell.Map, 0, new byte[] { 1 }, 1);
        register.Read(RegisterCell.Map, 2);
        register.Read(RegisterCell.Lease, 3);
        RegisterResult[] results = [await TakeAsync(register), await TakeAsync(register), await TakeAsync(register)];
        Assert.All(results, r => Assert.Equal(RegisterOutcome.Unknown, r.Outcome));
        Assert.Equal([1ul, 2ul, 3ul], results.Select(r => r.Ticket).Order());
        Assert.InRange(since.ElapsedMilliseconds, 900, 10_000);
        string said = log.Lines.First(l => l.StartsWith("Warning 1200 a swap of /weir/t/map", StringComparison.Ordinal));
        Assert.Contains($"127.0.0.1:{nobody} Connection refused", said, StringComparison.Ordinal);
        Assert.Contains($"{slow} no answer within", said, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(404, "Not Found", "has no JSON gateway there", false)]
    [InlineData(200, "<html>hello</html>", "its answer makes no sense", false)]
    [InlineData(200, """{"kvs":[{"version":"3","value":"AAAA"}]}""", "holds what Weir did not write (version 3, 3 bytes)", true)]
    [InlineData(200, """{"kvs":[{"version":"x"}]}""", "its answer makes no sense", false)]
    [InlineData(400, """{"error":"etcdserver: request is too large","code":3}""", "start etcd with a larger --max-request-bytes", true)]
    [InlineData(401, """{"error":"etcdserver: user name is empty"}""", "asks for a user (etcdserver: user name is empty)", true)]
    [InlineData(503, """{"error":"etcdserver: no leader"}""", "answered 503: etcdserver: no leader", false)]
    public async Task What_is_no_answer_is_unknown_and_told_in_words_to_act_on(int status, string body, string expected, bool isFinal)
    {
        RecordingLog log = new();
        using CannedMember member = new(status, body);
        await using EtcdRegister register = EtcdCluster.Register($"etcd://127.0.0.1:{member.Port}/weir/t", options: Quick with { DeadlineMs = 1_500, AttemptMs = 1_000 }, log: log);
        register.CompareAndSwap(RegisterCell.Map, 0, new byte[] { 1 }, 1);
        Assert.Equal(RegisterOutcome.Unknown, (await TakeAsync(register)).Outcome);
        Assert.Contains(log.Lines, l => l.StartsWith("Warning 1200", StringComparison.Ordinal) && l.Contains(expected, StringComparison.Ordinal));
        Assert.Equal(isFinal, member.Requests == 1);
    }

    [Fact]
    public async Task More_operations_than_may_wait_end_as_unknown_at_once_and_the_others_in_their_order()
    {
        using TcpListener silent = new(IPAddress.Loopback, 0);
        silent.Start();
        string address = $"etcd://127.0.0.1:{((IPEndPoint)silent.LocalEndpoint).Port}/weir/t";
        await using EtcdRegister register = EtcdCluster.Register(address, options: Quick with { Waiting = 3 });
        for (ulong ticket = 1; ticket <= 20; ticket++)
        {
            register.Read(RegisterCell.Map, ticket);
        }

        Assert.True(register.TryTakeResult(out RegisterResult refused));
        Assert.InRange(refused.Ticket, 4ul, 5ul);
        List<ulong> tickets = [refused.Ticket];
        while (tickets.Count < 20)
        {
            tickets.Add((await TakeAsync(register)).Ticket);
        }

        Assert.Equal(Enumerable.Range(1, (int)refused.Ticket - 1).Select(t => (ulong)t), tickets.TakeLast((int)refused.Ticket - 1));
    }

    [Fact]
    public async Task A_value_larger_than_etcd_takes_is_unknown_and_changes_nothing()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        RecordingLog log = new();
        string address = etcd.NewAddress();
        await using EtcdRegister register = EtcdCluster.Register(address, log: log);
        register.CompareAndSwap(RegisterCell.Map, 0, new byte[2_000_000], 1);
        Assert.Equal(RegisterOutcome.Unknown, (await TakeAsync(register)).Outcome);
        Assert.Contains(log.Lines, l => l.Contains("etcdserver: request is too large: start etcd with a larger --max-request-bytes", StringComparison.Ordinal));
        register.Read(RegisterCell.Map, 2);
        Assert.Equal((RegisterOutcome.Done, 0ul), (await TakeAsync(register)) is var read ? (read.Outcome, read.Version) : default);
    }

    [Fact]
    public async Task A_key_that_somebody_else_wrote_is_told_and_not_written_over()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        string address = etcd.NewAddress();
        string key = address[address.LastIndexOf("/weir", StringComparison.Ordinal)..] + "/map";
        using HttpClient http = new();
        await http.PostAsJsonAsync(new Uri(etcd.Url(0), "/v3/kv/put"), new { key = Encoding.UTF8.GetBytes(key), value = "by hand"u8.ToArray() });
        RecordingLog log = new();
        await using EtcdRegister register = EtcdCluster.Register(address, log: log);
        register.Read(RegisterCell.Map, 1);
        Assert.Equal(RegisterOutcome.Unknown, (await TakeAsync(register)).Outcome);
        register.CompareAndSwap(RegisterCell.Map, 0, new byte[] { 1 }, 2);
        Assert.Equal(RegisterOutcome.Unknown, (await TakeAsync(register)).Outcome);
        Assert.Contains(log.Lines, l => l.Contains($"the key {key} holds what Weir did not write", StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_node_in_its_loop_creates_and_changes_its_map_in_etcd()
    {
        EtcdCluster etcd = await kinds.EtcdAsync(1);
        string address = etcd.NewAddress();
        NodeLoop? loop = null;
        await using EtcdRegister register = EtcdCluster.Register(address, () => loop?.Wake());
        LinkId client = new(2);
        FuzzNetwork network = new(client);
        FramePool pool = new();
        using ServerNode node = new(
            new ServerOptions { Node = 1, Incarnation = 1, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits }, network, register, pool);

        // No ticks but those that take the lease: after them, but for the frames that it gets, the register alone wakes it.
        await using (loop = new NodeLoop(node, new HostTimers(), Weir.Host.HostOptions.Default, new RecordingLog(), "node", pool, Timeout.Infinite))
        {
            for (int tick = 0; node.Map is null; tick++)
            {
                Assert.InRange(tick, 0, 3_000);
                await loop.AskAsync(now =>
                {
                    node.Tick(now);
                    return true;
                });
                await Task.Delay(10);
            }

            byte[] open = FrameSamples.Frame(
                FrameKind.OpenTable, new OpenTableBody("weights", 2, UpdateRule.Add, 0, false, 0, KeyLifetime.Default), FrameSamples.Names.Default with { MapVersion = 1 });
            FrameBuffer frame = pool.Rent(open.Length);
            open.CopyTo(frame.Span);
            loop.Receive(client, frame);
            loop.EndReceive();
            await TestTime.UntilAsync(() => node.Map!.Version == 2);
        }

        await using EtcdRegister other = EtcdCluster.Register(address);
        other.Read(RegisterCell.Map, 1);
        RegisterResult read = await TakeAsync(other);
        Assert.True(MapEncoding.TryDecode(read.Value.Span, out ClusterMap map));
        Assert.Equal((2ul, 2ul, "weights"), (read.Version, map.Version, map.Tables[0].Name));
        Assert.Single(network.Sent, h => h.Kind == FrameKind.AdminReply);
    }

    internal static async Task<RegisterResult> TakeAsync(EtcdRegister register)
    {
        RegisterResult result = default;
        await TestTime.UntilAsync(() => register.TryTakeResult(out result));
        return result;
    }
}

/// <summary>Waiting for what other threads do.</summary>
internal static class TestTime
{
    /// <summary>Fails after 30 s.</summary>
    public static async Task UntilAsync(Func<bool> holds)
    {
        var since = System.Diagnostics.Stopwatch.StartNew();
        while (!holds())
        {
            Assert.InRange(since.ElapsedMilliseconds, 0, 30_000);
            await Task.Delay(2);
        }
    }
}
