using BenchmarkDotNet.Attributes;
using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Bench;

/// <summary>
/// The room Register: a swap and a read of a cell as the node with the register has them, by Paxos over acceptors that flush at once, beside
/// the lone cell. No network and no disk: what is left is what the rounds themselves cost, bytes written and checked.
/// </summary>
[MemoryDiagnoser]
public class RegisterBench
{
    private readonly LoneCell _lone = new();
    private Acceptor[] _acceptors = [];
    private PaxosRegister _paxos = null!;
    private byte[] _value = [];
    private ulong _loneVersion;
    private ulong _version;
    private ulong _ticket;

    [Params(1, 3, 5)]
    public int Acceptors { get; set; }

    /// <summary>A lease, the map of a small cluster, and that of a large one.</summary>
    [Params(64, 16 << 10, 512 << 10)]
    public int ValueBytes { get; set; }

    [GlobalSetup]
    public void Begin()
    {
        _value = new byte[ValueBytes];
        _acceptors = [.. Enumerable.Range(1, Acceptors).Select(i => new Acceptor(new ForgetfulDisk(), 7, (ulong)i, isFirstStart: true))];
        _paxos = new PaxosRegister(new PaxosOptions { Acceptors = Acceptors, Proposer = 1 }, new Rng(1), Send);
        SwapByPaxos();
        SwapTheLoneCell();
    }

    [Benchmark(Baseline = true)]
    public void SwapTheLoneCell()
    {
        _lone.CompareAndSwap(RegisterCell.Map, _loneVersion, _value, ++_ticket);
        _loneVersion = Done(_lone).Version;
    }

    [Benchmark]
    public void SwapByPaxos()
    {
        _paxos.CompareAndSwap(RegisterCell.Map, _version, _value, ++_ticket);
        _version = Done(_paxos).Version;
    }

    [Benchmark]
    public int ReadByPaxos()
    {
        _paxos.Read(RegisterCell.Map, ++_ticket);
        return Done(_paxos).Value.Length;
    }

    private RegisterResult Done(IRegister register)
    {
        RegisterResult result;
        while (!register.TryTakeResult(out result))
        {
            foreach (Acceptor acceptor in _acceptors)
            {
                acceptor.Advance();
            }
        }

        Invariant.That(result.Outcome == RegisterOutcome.Done, "nobody else swaps");
        return result;
    }

    private void Send(int acceptor, bool isAccept, in PaxosBody request) =>
        _acceptors[acceptor].Receive(request, isAccept, reply => _paxos.Receive(acceptor, reply, default));
}
