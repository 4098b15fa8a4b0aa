using Weir.Register;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Register;

/// <summary>An acceptor in place of one whose records are lost (design R2), answer by answer.</summary>
public class AcceptorReplacementTests
{
    private static readonly CellValue Chosen = new(1, 77, new byte[] { 5 });

    [Fact]
    public void What_the_lost_one_and_one_other_had_chosen_is_found_by_a_majority_with_the_new_one()
    {
        Acceptor[] acceptors = ChosenByTheFirstTwo();
        acceptors[0] = Replaced(acceptors);

        // The third never heard of the value: it is the new one that must know.
        PaxosReplyBody read = Ask(acceptors[0], new Ballot(1UL << 50, 9))!.Value;
        Assert.Equal((1ul, 77ul), (read.Value.Version, read.Value.Nonce));
        Assert.Equal([5], read.Value.Bytes.ToArray());
        Assert.Equal(0ul, Ask(acceptors[2], new Ballot(1UL << 50, 9))!.Value.Value.Version);
    }

    /// <summary>A proposer had a promise of the lost one above all that the others know: it must not go on with it.</summary>
    [Fact]
    public void A_promise_that_only_the_lost_one_knew_helps_nobody_any_more()
    {
        Acceptor[] acceptors = ChosenByTheFirstTwo();
        Ballot forgotten = new(1000, 5);
        Ask(acceptors[0], forgotten);
        acceptors[0] = Replaced(acceptors);
        foreach (Acceptor acceptor in acceptors)
        {
            Assert.True(Ask(acceptor, forgotten, new CellValue(1, 88, default))!.Value.IsRefusal);
        }
    }

    [Fact]
    public void It_answers_nobody_before_a_majority_of_the_whole_set_has_answered_it()
    {
        Acceptor[] acceptors = ChosenByTheFirstTwo();
        Assert.Null(Ask(Lost(), new Ballot(3, 9)));
        Assert.False(Run(acceptors, [1]).IsDone);
        Assert.False(Run(acceptors, [2]).IsDone);
        Assert.True(Run(acceptors, [1, 2]).IsDone);
    }

    private static Acceptor[] ChosenByTheFirstTwo()
    {
        Acceptor[] acceptors = [.. Enumerable.Range(1, 3).Select(i => new Acceptor(new ForgetfulDisk(), 7, (ulong)i, isFirstStart: true))];
        Ballot ballot = new(4, 2);
        foreach (Acceptor acceptor in acceptors.Take(2))
        {
            Ask(acceptor, ballot);
            Ask(acceptor, ballot, Chosen);
        }

        return acceptors;
    }

    private static Acceptor Lost() => new(new ForgetfulDisk(), 7, 1, isFirstStart: false);

    private static Acceptor Replaced(Acceptor[] acceptors)
    {
        Acceptor lost = Lost();
        Assert.True(lost.IsSilent);
        lost.Fill(Run(acceptors, [1, 2]));
        return lost;
    }

    /// <summary>A replacement of the first acceptor, for a second in which only some of the others answer.</summary>
    private static AcceptorReplacement Run(Acceptor[] acceptors, int[] answering)
    {
        List<(int To, PaxosBody Request)> sent = [];
        var replacement = new AcceptorReplacement(acceptors.Length, 0, 99, (int to, bool _, in PaxosBody request) => sent.Add((to, request)));
        for (int ms = 0; ms < 1000; ms += IMachine.TickMs)
        {
            replacement.Tick(new Instant(ms * 1000L));
            foreach ((int to, PaxosBody request) in sent.Where(s => answering.Contains(s.To)).ToArray())
            {
                acceptors[to].Receive(request, isAccept: false, reply => replacement.Receive(to, reply));
                acceptors[to].Advance();
            }

            sent.Clear();
        }

        return replacement;
    }

    private static PaxosReplyBody? Ask(Acceptor acceptor, Ballot ballot, CellValue? value = null)
    {
        PaxosReplyBody? answer = null;
        acceptor.Receive(new PaxosBody(1, ballot, value ?? default, value is not null), value is not null, reply => answer = reply);
        acceptor.Advance();
        return answer;
    }
}
