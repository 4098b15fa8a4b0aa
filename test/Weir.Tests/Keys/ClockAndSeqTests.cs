using CsCheck;
using Weir.Keys;

namespace Weir.Tests.Keys;

public class ClockAndSeqTests
{
    private const int Workers = 5;

    private static readonly Gen<Seq> Seqs = Gen.Select(Gen.Long[-1, 3], Gen.UInt[0, 2], Gen.UInt[0, 2]).Select((t, push, piece) => new Seq(t, push, piece));

    [Fact]
    public void A_vector_clock_holds_what_a_dictionary_of_maxima_holds() =>
        Gen.Select(Gen.Int[0, Workers - 1], Gen.Long[-2, 20], Gen.Int[0, 9]).Array[0, 60].Sample(operations =>
        {
            VectorClock clock = new(Workers);
            long[] maxima = new long[Workers];
            foreach ((int worker, long value, _) in operations)
            {
                Assert.Equal(value > maxima[worker], clock.Raise(worker, value));
                maxima[worker] = Math.Max(maxima[worker], value);
                Assert.Equal(maxima, Enumerable.Range(0, Workers).Select(w => clock[w]));
                Assert.Equal((maxima.Min(), maxima.Max(), Enumerable.Range(0, Workers).MinBy(w => maxima[w])), (clock.Minimum, clock.Maximum, clock.Slowest()));
            }
        });

    /// <summary>
    /// What a pull of iteration t under bound tau waits for, from the definition: every worker has finished all of its own iterations below
    /// t - tau. A worker's own are those from its first through its last, and it has finished those up to its clock.
    /// </summary>
    [Fact]
    public void The_minimum_says_what_pulls_wait_for_while_workers_join_and_leave() =>
        Gen.Select(Gen.Select(Gen.Long[1, 12], Gen.Long[0, 12], Gen.Long[0, 15], Gen.Bool).Array[1, Workers], Gen.Int[0, Workers]).Sample((workers, known) =>
        {
            // Some workers are known from the beginning, the others join.
            VectorClock clock = new(Math.Min(known, workers.Length));
            clock.Grow(workers.Length);
            bool[][] done = [.. workers.Select(_ => new bool[40])];
            foreach ((int worker, (long first, long more, long clocked, bool leaves)) in workers.Index())
            {
                long last = leaves ? first + more : long.MaxValue;
                clock.TakesPart(worker, first, last);
                clock.Raise(worker, Math.Min(Math.Max(clocked, first - 1), last));
                for (int t = 1; t < 40; t++)
                {
                    done[worker][t] = t < first || t > last || t <= Math.Max(clocked, first - 1);
                }
            }

            long expected = Enumerable.Range(0, 39).TakeWhile(t => t == 0 || done.All(d => d[t])).Last();
            Assert.Equal(done.All(d => d[1..].All(one => one)) ? long.MaxValue : expected, clock.Minimum);
            int slowest = clock.Slowest();
            Assert.Equal(clock.Minimum == long.MaxValue ? -1 : clock.Minimum, slowest < 0 ? -1 : clock[slowest]);
        });

    [Fact]
    public void A_worker_that_is_about_to_join_counts_for_nothing_and_one_that_has_joined_from_its_first_iteration_on()
    {
        VectorClock clock = new(1);
        clock.Raise(0, 60);
        clock.Grow(2);
        clock.TakesPart(1, 1, 0);
        Assert.Equal((60, true), (clock.Minimum, clock.IsFinished(1)));
        clock.TakesPart(1, 50, long.MaxValue);
        Assert.Equal((49, 49, 1), (clock.Minimum, clock[1], clock.Slowest()));
        clock.Raise(1, 50);
        Assert.Equal(50, clock.Minimum);
    }

    [Fact]
    public void A_worker_that_leaves_is_waited_for_through_its_last_iteration_and_no_further()
    {
        VectorClock clock = new(2);
        clock.Raise(0, 80);
        clock.TakesPart(1, 1, 70);
        clock.Raise(1, 69);
        Assert.Equal((69, false), (clock.Minimum, clock.IsFinished(1)));
        Assert.Equal(80, clock.MinimumOf([80, 70]));
        clock.Raise(1, 70);
        Assert.Equal((80, true), (clock.Minimum, clock.IsFinished(1)));
    }

    [Fact]
    public void The_minimum_of_other_values_counts_each_at_least_as_the_clock()
    {
        VectorClock clock = new(3);
        clock.Raise(0, 5);
        clock.Raise(1, 2);
        Assert.Equal(1, clock.MinimumOf([0, 4, 1]));
        Assert.Equal(4, clock.MinimumOf([0, 4, 9]));
        clock.TakesPart(1, 1, 2);
        Assert.Equal(5, clock.MinimumOf([0, 4, 9]));
    }

    [Fact]
    public void Identities_of_pushes_are_ordered_by_iteration_then_push_then_piece() =>
        Gen.Select(Seqs, Seqs).Sample((a, b) =>
        {
            int expected = (a.Iteration, a.Push, a.Piece).CompareTo((b.Iteration, b.Push, b.Piece));
            Assert.Equal(Math.Sign(expected), Math.Sign(a.CompareTo(b)));
            Assert.Equal((expected < 0, expected > 0, expected <= 0, expected >= 0, expected == 0), (a < b, (a > b), a <= b, a >= b, a == b));
        });

    [Fact]
    public void No_push_comes_before_none() => Gen.Select(Gen.Long[0, long.MaxValue], Gen.UInt, Gen.UInt).Sample((t, p, q) => new Seq(t, p, q) > Seq.None);

    [Fact]
    public void A_job_s_worker_and_a_session_of_its_own_never_share_an_identity() =>
        Gen.Select(Gen.UInt[1, int.MaxValue], Gen.UInt, Gen.ULong[1, long.MaxValue]).Sample((group, worker, session) =>
        {
            var ofJob = WorkerId.OfJob(group, worker);
            var own = WorkerId.OfSession(session);
            Assert.NotEqual(ofJob, own);
            Assert.Equal((group, worker, 0u), (ofJob.Group, ofJob.Index, own.Group));
        });
}
