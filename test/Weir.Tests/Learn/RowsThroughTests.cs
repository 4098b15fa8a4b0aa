using CsCheck;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Tests.Learn;

public class RowsThroughTests
{
    [Fact]
    public void The_rows_behind_a_clock_are_those_that_the_worker_s_batches_held() =>
        Gen.Select(Gen.Int[1, 60], Gen.Int[1, 5], Gen.Int[1, 12], Gen.Int[1, 3]).Sample((rows, workers, batchRows, passes) =>
        {
            ISparseSource source = new ClickLog(1, rows, 1).Train;
            DataSummary summary = source.Scan();
            var training = new LogisticTraining(new LogisticOptions { BatchRows = batchRows, Passes = passes }, source, summary);
            var batch = new SparseBatch();
            for (int worker = 0; worker < workers; worker++)
            {
                long through = 0;
                for (long clock = 1; clock <= training.Iterations(workers); clock++)
                {
                    long round = (clock - 1) % summary.BatchesPerPass(workers, batchRows);
                    using ISparseReader reader = source.Open(worker, workers, batchRows, round);
                    reader.Read(batch);
                    through += batch.Rows;
                    Assert.Equal(through, training.RowsThrough(worker, workers, clock));
                }
            }
        }, iter: 200);
}
