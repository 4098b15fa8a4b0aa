using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>What a swap costs in rounds: a manager's, whom nobody disturbs, one (docs/decisions/0095).</summary>
public class SwapRoundsTests
{
    private readonly Acceptor[] _acceptors = [.. Enumerable.Range(1, 3).Select(i => new Acceptor(new ForgetfulDisk(), 7, (ulong)i, isFirstStart: true))];
    private readonly List<(PaxosRegister From, int To, bool IsAccept, PaxosBody Request)> _sent = [];

    [Fact]
    public void A_swap_that_follows_the_proposers_own_asks_for_no_promise()
    {
        PaxosRegister manager = Register(1);
        Assert.Equal((RegisterOutcome.Done, "prepare accept"), Swap(manager, 0));
        Assert.Equal((RegisterOutcome.Done, "accept"), Swap(manager, 1));
        Assert.Equal((RegisterOutcome.Done, "accept"), Swap(manager, 2));
    }

    [Fact]
    public void So_does_a_swap_of_what_the_proposer_has_just_read()
    {
        Swap(Register(1), 0);
        PaxosRegister successor = Register(2);
        successor.Read(RegisterCell.Map, 1);
        Assert.Equal((RegisterOutcome.Done, "prepare prepare"), Run(successor));
        successor.Read(RegisterCell.Map, 2);
        Assert.Equal((RegisterOutcome.Done, "prepare"), Run(successor));
        Assert.Equal((RegisterOutcome.Done, "accept"), Swap(successor, 1));
    }

    /// <summary>Another's read takes the promise away: the swap begins anew at once, and takes place.</summary>
    [Fact]
    public void Who_was_disturbed_asks_again_without_a_pause()
    {
        PaxosRegister manager = Register(1);
        Swap(manager, 0);
        PaxosRegister reader = Register(2);
        reader.Read(RegisterCell.Map, 1);
        Run(reader);
        reader.Read(RegisterCell.Map, 2);
        Run(reader);
        Assert.Equal((RegisterOutcome.Done, "accept prepare accept"), Swap(manager, 1));
        Assert.Equal((RegisterOutcome.Mismatch, "accept prepare"), Swap(reader, 1));
    }

    /// <summary>One ballot proposes one value, whether or not anybody answered: the acceptors cannot tell two apart.</summary>
    [Fact]
    public void An_accept_that_nobody_answered_has_used_its_ballot_up()
    {
        PaxosRegister manager = Register(1);
        Swap(manager, 0);
        manager.CompareAndSwap(RegisterCell.Map, 1, new byte[] { 8 }, 1);
        _sent.Clear();
        manager.Tick(new Instant(3_000_000));
        Assert.True(manager.TryTakeResult(out RegisterResult result));
        Assert.Equal((RegisterOutcome.Unknown, "prepare accept"), (result.Outcome, Swap(manager, 1).Rounds));
    }

    private PaxosRegister Register(ulong proposer)
    {
        PaxosRegister? register = null;
        register = new PaxosRegister(
            new PaxosOptions { Acceptors = 3, Proposer = proposer },
            new Rng(proposer),
            (int to, bool isAccept, in PaxosBody request) => _sent.Add((register!, to, isAccept, request)));
        return register;
    }

    private (RegisterOutcome Outcome, string Rounds) Swap(PaxosRegister register, ulong expected)
    {
        register.CompareAndSwap(RegisterCell.Map, expected, new byte[] { (byte)expected }, expected);
        return Run(register);
    }

    /// <summary>Every request is answered at once; time stands still, so that a pause would end nothing.</summary>
    private (RegisterOutcome Outcome, string Rounds) Run(PaxosRegister register)
    {
        List<string> rounds = [];
        RegisterResult result;
        while (!register.TryTakeResult(out result))
        {
            if (_sent.Count == 0)
            {
                register.Tick(new Instant(1_000_000));
                Assert.NotEmpty(_sent);
            }

            (PaxosRegister From, int To, bool IsAccept, PaxosBody Request)[] round = [.. _sent];
            _sent.Clear();
            rounds.Add(round[0].IsAccept ? "accept" : "prepare");
            foreach ((PaxosRegister from, int to, bool isAccept, PaxosBody request) in round)
            {
                _acceptors[to].Receive(request, isAccept, reply => from.Receive(to, reply, new Instant(0)));
                _acceptors[to].Advance();
            }
        }

        _sent.Clear();
        return (result.Outcome, string.Join(' ', rounds));
    }
}
