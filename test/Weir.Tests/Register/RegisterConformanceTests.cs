using Weir.Register;
using Weir.Sim;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>What every register does, whoever keeps it (design R1).</summary>
public class RegisterConformanceTests
{
    public static TheoryData<string> Kinds => ["lone", "paxos 1", "paxos 3", "paxos 5"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public void An_empty_cell_has_version_0_and_no_bytes(string kind)
    {
        RegisterResult read = new Subject(kind).Read(RegisterCell.Map);
        Assert.Equal((RegisterOutcome.Done, 0ul, 0), (read.Outcome, read.Version, read.Value.Length));
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_swap_of_the_expected_version_is_read_by_everybody_under_the_next(string kind)
    {
        Subject subject = new(kind);
        for (ulong version = 0; version < 5; version++)
        {
            RegisterResult swap = subject.Swap(RegisterCell.Map, version, [(byte)version, 9]);
            Assert.Equal((RegisterOutcome.Done, version + 1), (swap.Outcome, swap.Version));
            RegisterResult read = subject.ReadElsewhere(RegisterCell.Map);
            Assert.Equal((RegisterOutcome.Done, version + 1), (read.Outcome, read.Version));
            Assert.Equal([(byte)version, 9], read.Value.ToArray());
        }
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_swap_of_another_version_changes_nothing_and_is_told_what_stands(string kind)
    {
        Subject subject = new(kind);
        subject.Swap(RegisterCell.Lease, 0, [1]);
        foreach (ulong expected in (ulong[])[0, 2, 77])
        {
            RegisterResult late = subject.Swap(RegisterCell.Lease, expected, [2]);
            Assert.Equal((RegisterOutcome.Mismatch, 1ul), (late.Outcome, late.Version));
            Assert.Equal([1], late.Value.ToArray());
        }

        Assert.Equal([1], subject.ReadElsewhere(RegisterCell.Lease).Value.ToArray());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void The_cells_know_nothing_of_each_other(string kind)
    {
        Subject subject = new(kind);
        subject.Swap(RegisterCell.Lease, 0, [1]);
        Assert.Equal(0ul, subject.Read(RegisterCell.Map).Version);
        Assert.Equal(1ul, subject.Swap(RegisterCell.Map, 0, [3]).Version);
        Assert.Equal([1], subject.Read(RegisterCell.Lease).Value.ToArray());
    }

    [Theory]
    [MemberData(nameof(Kinds))]
    public void A_cell_holds_what_fits_a_frame(string kind)
    {
        Subject subject = new(kind);
        byte[] large = new byte[960 << 10];
        new Random(1).NextBytes(large);
        Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, 0, large).Outcome);
        Assert.Equal(large, subject.ReadElsewhere(RegisterCell.Map).Value.ToArray());
    }

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    public void Without_a_majority_an_operation_ends_as_unknown_and_with_one_it_takes_place(int acceptors)
    {
        Subject subject = new($"paxos {acceptors}");
        subject.Swap(RegisterCell.Map, 0, [1]);
        subject.Stop((acceptors / 2) + 1);
        Assert.Equal(RegisterOutcome.Unknown, subject.Swap(RegisterCell.Map, 1, [2]).Outcome);
        Assert.Equal(RegisterOutcome.Unknown, subject.Read(RegisterCell.Map).Outcome);
        subject.Start();
        RegisterResult read = subject.ReadElsewhere(RegisterCell.Map);
        Assert.Equal(RegisterOutcome.Done, read.Outcome);
        Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, read.Version, [3]).Outcome);
    }

    /// <summary>A register with a second place to read it from, driven until each operation has ended.</summary>
    private sealed class Subject
    {
        private readonly SimScheduler _scheduler = new();
        private readonly List<SimPort> _ports = [];
        private readonly List<PaxosMachine> _machines = [];
        private readonly IRegister _here;
        private readonly IRegister _elsewhere;
        private ulong _ticket;

        public Subject(string kind)
        {
            if (kind == "lone")
            {
                _here = _elsewhere = new LoneCell();
                return;
            }

            int acceptors = int.Parse(kind.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture);
            var network = new SimNetwork(_scheduler, new Rng(1), new SimTally());
            string[] addresses = [.. Enumerable.Range(0, acceptors).Select(i => $"m{i}")];
            for (int i = 0; i < acceptors + 2; i++)
            {
                SimPort port = network.Port($"m{i}");
                SimDisk disk = new(_scheduler, new Rng((ulong)i + 2));
                PaxosMachine machine = new(port, addresses, i < acceptors ? disk : null, (ulong)i + 1, true, (ulong)i + 1, new Rng((ulong)i + 50))
                {
                    Clock = () => _scheduler.Now,
                };
                port.Machine = machine;
                disk.Ended = machine.EndTurn;
                _ports.Add(port);
                _machines.Add(machine);
            }

            (_here, _elsewhere) = (_machines[^1].Register, _machines[^2].Register);
        }

        public RegisterResult Read(RegisterCell cell) => Do(_here, ticket => _here.Read(cell, ticket));

        public RegisterResult ReadElsewhere(RegisterCell cell) => Do(_elsewhere, ticket => _elsewhere.Read(cell, ticket));

        public RegisterResult Swap(RegisterCell cell, ulong expected, byte[] value) =>
            Do(_here, ticket => _here.CompareAndSwap(cell, expected, value, ticket));

        public void Stop(int acceptors) => _ports.Take(acceptors).ToList().ForEach(p => p.IsDead = true);

        public void Start() => _ports.ForEach(p => p.IsDead = false);

        private RegisterResult Do(IRegister register, Action<ulong> begin)
        {
            RegisterResult result = default;
            _scheduler.Run(
                async () =>
                {
                    _machines.ForEach(m => m.Tick(_scheduler.Now));
                    begin(++_ticket);
                    while (!register.TryTakeResult(out result))
                    {
                        await _scheduler.Delay(IMachine.TickMs, CancellationToken.None);
                        _machines.ForEach(m => m.Tick(_scheduler.Now));
                    }
                },
                limitMs: 30_000);
            Assert.Equal(_ticket, result.Ticket);
            return result;
        }
    }
}
