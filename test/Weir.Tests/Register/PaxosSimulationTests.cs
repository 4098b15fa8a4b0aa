using System.Globalization;
using Weir.Register;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>
/// Proposers swap and read the cells of 1, 3 or 5 acceptors under loss, delay, duplicates, reordering, partitions, crashes and lost disks, all
/// by the seed; the recorded history must be linearizable (design R1, invariant 5), and once the faults end every operation completes.
/// </summary>
public class PaxosSimulationTests
{
    /// <summary>How many seeds a run tries: 600, or as many as WEIR_SEEDS says.</summary>
    private static ulong Seeds =>
        ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seeds) ? Math.Max(600, seeds) : 600;

    [Fact]
    public void Histories_are_linearizable_under_faults_and_every_operation_ends_after_them()
    {
        Dictionary<string, int> hits = [];
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            try
            {
                new Run(seed, hits).Go();
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}: {failure.Message}", failure);
            }
        }

        // A batch that never hit these has not tested them.
        foreach (string hit in (string[])["done", "mismatch", "unknown", "crash", "lost disk", "filled", "cut", "unknown that took place"])
        {
            Assert.True(hits.GetValueOrDefault(hit) > 0, $"no seed hit: {hit}");
        }
    }

    private sealed class Run
    {
        private const int Machines = 6;
        private readonly SimScheduler _scheduler = new();
        private readonly Rng _rng;
        private readonly SimNetwork _network;
        private readonly Dictionary<string, int> _hits;
        private readonly string[] _acceptors;
        private readonly List<SimPort> _ports = [];
        private readonly List<SimDisk> _disks = [];
        private readonly PaxosMachine?[] _machines = new PaxosMachine?[Machines];
        private readonly List<RegisterCall>[] _histories = [[], []];
        private readonly Dictionary<(int Machine, int Life, ulong Ticket), RegisterCall> _open = [];
        private readonly int[] _lives = new int[Machines];
        private ulong _numbers;
        private ulong _proposers;
        private readonly bool[] _replaced = new bool[Machines];
        private bool _isCalm;

        public Run(ulong seed, Dictionary<string, int> hits)
        {
            _hits = hits;
            _rng = new Rng(seed);
            _network = new SimNetwork(_scheduler, new Rng(_rng.Next()), new SimTally());
            _acceptors = [.. Enumerable.Range(0, new[] { 1, 3, 3, 5 }[_rng.Below(4)]).Select(i => $"m{i}")];
            for (int i = 0; i < Machines; i++)
            {
                _ports.Add(_network.Port($"m{i}"));
                _disks.Add(new SimDisk(_scheduler, new Rng(_rng.Next())) { MaxWriteUs = 1_000 });
                Start(i, isFirstStart: true);
            }

            // Slow disks: a crash often falls between a write and its end.
            long writeUs = 500 + _rng.Below(30_000L);
            _scheduler.At(_scheduler.Now.AfterMs(30), () => _disks.ForEach(d => d.MaxWriteUs = writeUs));
            _network.Faults = new SimFaults
            {
                LossPerMille = _rng.Below(200),
                DuplicatePerMille = _rng.Below(200),
                ReorderPerMille = _rng.Below(200),
                MaxDelayUs = 200 + _rng.Below(20_000L),
            };
        }

        public void Go()
        {
            _scheduler.Run(
                async () =>
                {
                    Task[] callers = [.. Enumerable.Range(0, Machines).Select(CallAsync)];
                    Task faults = FaultAsync();
                    await _scheduler.Delay(4_000, CancellationToken.None);
                    _isCalm = true;
                    await faults;
                    await Task.WhenAll(callers);
                },
                limitMs: 60_000);
            foreach (List<RegisterCall> history in _histories)
            {
                RegisterHistory.Check(history);
                HashSet<ulong> seen = [.. history.Where(c => c.Outcome != RegisterOutcome.Unknown).Select(c => c.Content)];
                Hit("unknown that took place", history.Count(c => c.IsSwap && c.Outcome == RegisterOutcome.Unknown && seen.Contains(c.Written)));
            }
        }

        private void Start(int machine, bool isFirstStart, bool replaces = false)
        {
            bool accepts = machine < _acceptors.Length;
            var started = new PaxosMachine(
                _ports[machine], _acceptors, accepts ? _disks[machine] : null, (ulong)machine + 1, isFirstStart, ++_proposers, new Rng(_rng.Next()), replaces)
            {
                Clock = () => _scheduler.Now,
            };
            _machines[machine] = started;
            _lives[machine]++;
            int life = _lives[machine];
            _ports[machine].Machine = started;
            _ports[machine].IsDead = false;
            _disks[machine].Ended = () => started.EndTurn();
            Tick(machine, life);
        }

        private void Tick(int machine, int life)
        {
            if (_lives[machine] != life || _machines[machine] is not { } alive)
            {
                return;
            }

            alive.Tick(_scheduler.Now);
            Collect(machine);
            _scheduler.At(_scheduler.Now.AfterMs(IMachine.TickMs), () => Tick(machine, life));
        }

        private void Collect(int machine)
        {
            while (_machines[machine]!.Register.TryTakeResult(out RegisterResult result))
            {
                if (_open.Remove((machine, _lives[machine], result.Ticket), out RegisterCall? call))
                {
                    (call.To, call.Outcome, call.Version) = (_scheduler.Now, result.Outcome, result.Version);
                    call.Content = result.Value.Length == 0 ? 0 : BitConverter.ToUInt64(result.Value.Span);
                    Hit(result.Outcome.ToString().ToLowerInvariant());
                }
            }
        }

        private async Task CallAsync(int machine)
        {
            ulong[] known = new ulong[2];
            while (!_isCalm)
            {
                await _scheduler.Delay(1 + _rng.Below(200L), CancellationToken.None);
                await OneAsync(machine, known);
            }

            while (_machines[machine] is null || _network.Faults != SimFaults.None)
            {
                await _scheduler.Delay(10, CancellationToken.None);
            }

            // Calm: whoever lives must get through, if a majority of the acceptors still knows what it promised, or was replaced.
            await _scheduler.Delay(1_000, CancellationToken.None);
            int silent = _machines.Count(m => m is { IsSilent: true });
            int forgot = Enumerable.Range(0, _acceptors.Length).Count(a => _machines[a]!.IsSilent && !_replaced[a]);
            Hit("filled", _replaced.Count(r => r) - silent + forgot);
            if (silent <= (_acceptors.Length - 1) / 2)
            {
                for (int cell = 0; cell < 2; cell++)
                {
                    RegisterCall? last = null;
                    for (int attempt = 0; attempt < 10 && last is not { Outcome: RegisterOutcome.Done }; attempt++)
                    {
                        last = await OneAsync(machine, known);
                    }

                    Assert.True(last is { Outcome: not RegisterOutcome.Unknown }, "an operation ended as unknown though nothing was wrong any more");
                }
            }
        }

        private async Task<RegisterCall?> OneAsync(int machine, ulong[] known)
        {
            if (_machines[machine] is not { } alive)
            {
                return null;
            }

            int cell = _rng.Below(2);
            bool swap = _rng.Chance(2, 3);
            ulong number = ++_numbers;
            var call = new RegisterCall(_scheduler.Now, swap, known[cell], swap ? number : 0);
            _histories[cell].Add(call);
            _open.Add((machine, _lives[machine], number), call);
            if (swap)
            {
                alive.Register.CompareAndSwap((RegisterCell)cell, known[cell], BitConverter.GetBytes(number), number);
            }
            else
            {
                alive.Register.Read((RegisterCell)cell, number);
            }

            int life = _lives[machine];
            while (call.To == Instant.Never && _lives[machine] == life && _machines[machine] is not null)
            {
                await _scheduler.Delay(5, CancellationToken.None);
            }

            known[cell] = call.Outcome == RegisterOutcome.Unknown ? known[cell] : call.Version;
            return call;
        }

        private async Task FaultAsync()
        {
            while (!_isCalm)
            {
                await _scheduler.Delay(40 + _rng.Below(150L), CancellationToken.None);
                int machine = _rng.Below(Machines);
                int other = _rng.Below(Machines);
                switch (_rng.Below(4))
                {
                    case 0 when _machines[machine] is not null:
                        Hit("crash");
                        _machines[machine] = null;
                        _ports[machine].IsDead = true;
                        _ports[machine].Machine = null;
                        bool loses = machine < _acceptors.Length && _rng.Chance(1, 20);
                        if (loses)
                        {
                            _replaced[machine] = _acceptors.Length > 1 && _rng.Chance(1, 2);
                            Hit(_replaced[machine] ? "replaced disk" : "lost disk");
                            _disks[machine].Lose();
                        }
                        else
                        {
                            _disks[machine].Crash();
                        }

                        await _scheduler.Delay(_rng.Below(500L), CancellationToken.None);
                        Start(machine, isFirstStart: false, _replaced[machine]);
                        Assert.True(!loses || _machines[machine]!.IsSilent, "an acceptor without its record answers");
                        break;
                    case 1 when machine != other:
                        Hit("cut");
                        _network.Cut(_ports[machine], _ports[other], true);
                        break;
                    default:
                        Heal();
                        break;
                }
            }

            Heal();
            _network.Faults = SimFaults.None;
            _disks.ForEach(d => d.MaxWriteUs = 1_000);
        }

        private void Heal()
        {
            foreach (SimPort from in _ports)
            {
                foreach (SimPort to in _ports)
                {
                    _network.Cut(from, to, false);
                }
            }
        }

        private void Hit(string what, int times = 1) => _hits[what] = _hits.GetValueOrDefault(what) + times;
    }
}
