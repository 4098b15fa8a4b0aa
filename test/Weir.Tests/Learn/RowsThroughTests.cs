using CsCheck;
using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Placement;

namespace Weir.Tests.Learn;

public class RowsThroughTests
{
    /// <summary>Jobs of one to four workers that stay and up to three that join or leave.</summary>
    private static readonly Gen<WorkerSchedule> Schedules = Gen.Select(Gen.Int[1, 4], Gen.Select(Gen.Long[1, 12], Gen.Long[0, 12], Gen.Bool).Array[0, 3]).Select((stay, others) =>
        new WorkerSchedule(new MapJob(1, "j", 1, false, 1, default,
        [
            .. others.Select(o => MapWorker.Opened with { From = o.Item1, Through = o.Item3 ? MapWorker.NoEnd : o.Item1 + o.Item2 }),
            .. Enumerable.Repeat(MapWorker.Opened, stay),
        ])));

    [Fact]
    public void Every_row_is_gone_through_once_a_pass_however_workers_join_and_leave_and_the_rows_behind_a_clock_are_those_of_its_batches() =>
        Gen.Select(Gen.Int[1, 60], Schedules, Gen.Int[1, 12], Gen.Int[1, 3]).Sample((rows, schedule, batchRows, passes) =>
        {
            var rounds = new BlockRounds(rows, batchRows, passes);
            long iterations = rounds.Iterations(schedule);
            long blocks = (rows + batchRows - 1) / batchRows;
            List<long> all = [];
            long[] through = new long[schedule.Workers];
            for (long iteration = 1; iteration <= iterations; iteration++)
            {
                List<long> ofIteration = [];
                for (int worker = 0; worker < schedule.Workers; worker++)
                {
                    if (rounds.TryFind(schedule, worker, iteration, out long block, out int workers))
                    {
                        ofIteration.Add(block);
                        Assert.Equal(schedule.CountAt(iteration), workers);
                        through[worker] += Math.Min(batchRows, rows - (block * batchRows));
                    }

                    Assert.Equal(through[worker], rounds.RowsThrough(schedule, worker, iteration));
                }

                Assert.NotEmpty(ofIteration);
                all.AddRange(ofIteration.Order());
            }

            Assert.Equal(Enumerable.Repeat(Enumerable.Range(0, (int)blocks).Select(b => (long)b), passes).SelectMany(b => b), all);
        }, iter: 2000);

    [Fact]
    public void The_batches_read_are_the_rows_of_their_blocks() =>
        Gen.Select(Gen.Int[1, 60], Schedules, Gen.Int[1, 12], Gen.Int[1, 2]).Sample((rows, schedule, batchRows, passes) =>
        {
            ISparseSource source = new ClickLog(1, rows, 1).Train;
            var rounds = new BlockRounds(rows, batchRows, passes);
            for (int worker = 0; worker < schedule.Workers; worker++)
            {
                using var batches = new BatchSequence(source, batchRows);
                var batch = new NumberedBatch(null);
                var expected = new SparseBatch();
                for (long iteration = 1; iteration <= rounds.Iterations(schedule); iteration++)
                {
                    if (rounds.TryFind(schedule, worker, iteration, out long block, out int workers))
                    {
                        batches.Read(block, workers, batch);
                        using ISparseReader reader = source.Open(0, 1, batchRows, block);
                        reader.Read(expected);
                        Assert.Equal(expected.Keys.ToArray(), batch.Rows.Keys.ToArray());
                    }
                }
            }
        }, iter: 100);

    [Fact]
    public void The_workers_of_an_iteration_have_the_ranks_below_their_number_in_the_order_of_their_indices() =>
        Gen.Select(Schedules, Gen.Long[1, 30]).Sample((schedule, iteration) =>
        {
            int[] ranks = [.. Enumerable.Range(0, schedule.Workers).Select(w => schedule.RankAt(w, iteration)).Where(r => r >= 0)];
            Assert.Equal(Enumerable.Range(0, schedule.CountAt(iteration)), ranks);
            foreach (int worker in Enumerable.Range(0, schedule.Workers))
            {
                bool takesPart = schedule.FirstIteration(worker) <= iteration && iteration <= schedule.LastIteration(worker);
                Assert.Equal(takesPart, schedule.RankAt(worker, iteration) >= 0);
            }
        });
}
