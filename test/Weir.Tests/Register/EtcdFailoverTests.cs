using System.Diagnostics;
using Weir.Host.Etcd;
using Weir.Register;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>
/// Clients swap and read the cells of an etcd of three members while its leader is killed with -9, again and again; the recorded history must be
/// linearizable, where an operation without an outcome may have taken place or not (design R1, issue 5).
/// </summary>
public class EtcdFailoverTests
{
    private const int Clients = 4;
    private const int Kills = 3;

    [Fact]
    public async Task Histories_are_linearizable_while_the_leader_is_killed()
    {
        EtcdCluster.SkipIfMissing();
        await using EtcdCluster etcd = await EtcdCluster.StartAsync(3);
        Run run = new(etcd);
        Task[] clients = [.. Enumerable.Range(0, Clients).Select(run.CallAsync)];
        for (int kill = 0; kill < Kills; kill++)
        {
            await Task.Delay(700);
            int leader = await etcd.LeaderAsync();
            run.Kill(() => etcd.Kill(leader));
            await Task.Delay(1_500);
            etcd.Start(leader);
        }

        await etcd.LeaderAsync();
        await Task.Delay(1_000);
        run.Stop();
        await Task.WhenAll(clients);
        run.Check();
    }

    private sealed class Run(EtcdCluster etcd)
    {
        private static readonly EtcdOptions Options = new() { DeadlineMs = 300, AttemptMs = 150, RetryMs = 20 };

        private readonly Stopwatch _time = Stopwatch.StartNew();
        private readonly List<RegisterCall>[] _histories = [[], []];
        private readonly List<(Instant From, Instant To)> _kills = [];
        private ulong _numbers;
        private volatile bool _stopped;

        private Instant Now => new(_time.ElapsedTicks * 1_000_000 / Stopwatch.Frequency);

        public void Kill(Action kill)
        {
            Instant from = Now;
            kill();
            _kills.Add((from, Now));
        }

        public void Stop() => _stopped = true;

        public async Task CallAsync(int client)
        {
            Rng rng = new((ulong)client + 1);
            ulong[] known = new ulong[2];
            using SemaphoreSlim woken = new(0);
            await using EtcdRegister register = EtcdCluster.Register(etcd.Address("/weir/failover", first: client), () => woken.Release(), Options);
            while (!_stopped)
            {
                int cell = rng.Below(2);
                ulong number = Interlocked.Increment(ref _numbers);
                bool isSwap = rng.Chance(2, 3);
                RegisterCall call = new(Now, isSwap, known[cell], isSwap ? number : 0);
                lock (_histories)
                {
                    _histories[cell].Add(call);
                }

                if (isSwap)
                {
                    register.CompareAndSwap((RegisterCell)cell, known[cell], BitConverter.GetBytes(number), number);
                }
                else
                {
                    register.Read((RegisterCell)cell, number);
                }

                Assert.True(await woken.WaitAsync(TimeSpan.FromSeconds(30)), "an operation has no result within 30 s");
                Assert.True(register.TryTakeResult(out RegisterResult result));
                Assert.Equal(number, result.Ticket);
                (call.To, call.Outcome, call.Version) = (Now, result.Outcome, result.Version);
                call.Content = result.Value.Length == 0 ? 0 : BitConverter.ToUInt64(result.Value.Span);
                known[cell] = result.Outcome == RegisterOutcome.Unknown ? known[cell] : result.Version;
                await Task.Delay(rng.Below(4));
            }
        }

        public void Check()
        {
            Array.ForEach(_histories, RegisterHistory.Check);
            RegisterCall[] all = [.. _histories.SelectMany(h => h)];

            // A run in which nothing happened proves nothing.
            string counts = string.Join(", ", Enum.GetValues<RegisterOutcome>().Select(o => $"{o} {all.Count(c => c.Outcome == o)}"));
            Assert.True(Enum.GetValues<RegisterOutcome>().All(o => all.Any(c => c.Outcome == o)), $"an outcome did not occur: {counts}");

            Assert.Contains(_kills, kill => all.Any(c => c.From < kill.To && c.To > kill.From));
            Assert.All(_kills, kill => Assert.Contains(all, c => c.From > kill.To && c.IsSwap && c.Outcome == RegisterOutcome.Done));
        }
    }
}
