using CsCheck;
using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Client;

/// <summary>Which parts of a stream may go out now, and what a stream knows to be acknowledged.</summary>
public class PushStreamTests
{
    private static readonly Instant Now = new(1000);

    [Fact]
    public void All_unsent_parts_go_out_in_order() => Assert.Equal([1, 2, 3], Taken("uuu"));

    [Fact]
    public void Nothing_goes_out_behind_a_part_in_flight_or_queued()
    {
        Assert.Empty(Taken("fuu"));
        Assert.Empty(Taken("quu"));
        Assert.Empty(Taken("hfu"));
    }

    [Fact]
    public void Held_parts_keep_nobody_waiting() => Assert.Equal([3, 4], Taken("hhuu"));

    [Fact]
    public void A_part_that_is_resent_takes_along_the_unsent_ones_behind_later_parts_in_flight() => Assert.Equal([1, 3], Taken("ufu"));

    [Fact]
    public void A_pause_stops_the_stream_at_its_part()
    {
        Assert.Empty(Taken("puu"));
        Assert.Equal([1], Taken("upu"));
    }

    [Fact]
    public void Nothing_is_taken_of_an_empty_stream() => Assert.Empty(Taken(""));

    [Fact]
    public void What_is_taken_follows_the_rule_for_any_states() =>
        Gen.Char["ufqhp"].Array[0, 12].Select(c => new string(c)).Sample(states =>
        {
            List<int> expected = [];
            foreach ((char state, int index) in states.Select((s, i) => (s, i)))
            {
                if (state == 'p' || (expected.Count == 0 && state is 'f' or 'q' && expected.Count == 0))
                {
                    break;
                }

                if (state == 'u')
                {
                    expected.Add(index + 1);
                }
            }

            Assert.Equal(expected, Taken(states));
        });

    [Fact]
    public void Parts_are_found_by_number_and_everything_below_the_first_pending_one_is_acknowledged() =>
        Gen.Int[0, 9].Array[0, 10].Sample(removals =>
        {
            PushStream stream = Stream("uuuuuuuuuu");
            SortedSet<ulong> left = [.. Enumerable.Range(1, 10).Select(n => (ulong)n)];
            foreach (int index in removals)
            {
                ulong n = (ulong)index + 1;
                if (stream.Find(n) is { } part)
                {
                    stream.Remove(part);
                    left.Remove(n);
                    Assert.Equal(PartState.Done, part.State);
                }

                Assert.Equal(left, stream.Pending.Select(p => p.N));
                Assert.Equal(left.Count == 0 ? 11 : left.Min, stream.AcknowledgedBelow);
                Assert.All(Enumerable.Range(0, 13), i => Assert.Equal(left.Contains((ulong)i), stream.Find((ulong)i)?.N == (ulong)i));
            }
        });

    private static int[] Taken(string states)
    {
        List<PushPart> taken = [];
        Stream(states).TakeUnsent(Now, taken);
        return [.. taken.Select(p => (int)p.N)];
    }

    /// <summary>A stream with a part for each letter: unsent, in flight, queued, held, or paused until later.</summary>
    private static PushStream Stream(string states)
    {
        PushSession session = new(1, 0, 0);
        PushStream stream = session.Stream(1, 3, deletes: false, aggregates: false);
        var table = new WeirTable(new MapTable(1, "t", 1, UpdateRule.Add, 0, Aggregate: false, 0, KeyLifetime.Default));
        // Nobody cancels it.
        PushCall call = new(sender: null!, session, table, KeySlices.Cut([]), default, PartOperation.Update, Instant.Never, TaskCreationOptions.None);
        foreach (char state in states)
        {
            var part = new PushPart();
            part.Begin(stream, call, default, 0, 1, 64);
            part.State = state switch
            {
                'f' => PartState.InFlight,
                'q' => PartState.Queued,
                'h' => PartState.Held,
                _ => PartState.Unsent,
            };
            part.NotBefore = state == 'p' ? Now.AfterMs(1) : Now;
            stream.Pending.Add(part);
        }

        Assert.Equal(states.Count(s => s is 'u' or 'p'), stream.Unsent);
        return stream;
    }
}
