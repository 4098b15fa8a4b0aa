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
            HashSet<int> finished = [];
            foreach ((int worker, long value, int kind) in operations)
            {
                if (kind == 0)
                {
                    clock.Finish(worker);
                    finished.Add(worker);
                }
                else
                {
                    Assert.Equal(value > maxima[worker], clock.Raise(worker, value));
                    maxima[worker] = Math.Max(maxima[worker], value);
                }

                int[] atWork = [.. Enumerable.Range(0, Workers).Where(w => !finished.Contains(w))];
                Assert.Equal(maxima, Enumerable.Range(0, Workers).Select(w => clock[w]));
                Assert.Equal(atWork.Select(w => maxima[w]).DefaultIfEmpty(long.MaxValue).Min(), clock.Minimum);
                Assert.Equal(atWork.Length == 0 ? -1 : atWork.MinBy(w => maxima[w]), clock.Slowest());
                Assert.All(Enumerable.Range(0, Workers), w => Assert.Equal(finished.Contains(w), clock.IsFinished(w)));
            }
        });

    [Fact]
    public void The_minimum_of_other_values_counts_each_at_least_as_the_clock()
    {
        VectorClock clock = new(3);
        clock.Raise(0, 5);
        clock.Raise(1, 2);
        Assert.Equal(1, clock.MinimumOf([0, 4, 1]));
        Assert.Equal(4, clock.MinimumOf([0, 4, 9]));
        clock.Finish(1);
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
