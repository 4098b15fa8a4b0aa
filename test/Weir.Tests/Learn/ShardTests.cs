using CsCheck;
using Weir.Learn.Data;

namespace Weir.Tests.Learn;

public sealed class ShardTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_shards_of_any_cut_hold_every_row_once_in_blocks_dealt_in_turn()
    {
        const int Count = 97;
        string path = _folder.Write("rows.txt", string.Concat(Enumerable.Range(0, Count).Select(row => (row % 3 == 0 ? "# between\n\n" : "") + $"1 {row}:1\n")));
        ISparseSource[] sources = [new LibsvmFile(path), new ClickLog(3, Count, 1).Train];
        ulong[][] expected = [.. sources.Select(source => Rows(source, 0, 1, Count, 0).Single())];
        Gen.Select(Gen.Int[1, 5], Gen.Int[1, 40], Gen.Int[0, 3]).Sample((shards, batchRows, skipped) =>
        {
            for (int which = 0; which < sources.Length; which++)
            {
                for (int shard = 0; shard < shards; shard++)
                {
                    ulong[][] batches = Rows(sources[which], shard, shards, batchRows, skipped);
                    ulong[][] wanted = [.. expected[which].Chunk(batchRows).Where((_, block) => block % shards == shard).Skip(skipped)];
                    Assert.Equal(wanted, batches);
                }
            }
        }, iter: 60);
    }

    [Theory]
    [InlineData(10, 1, 3, 4)]
    [InlineData(10, 2, 3, 2)]
    [InlineData(10, 3, 3, 2)]
    [InlineData(1, 4, 1000, 1)]
    [InlineData(200_000, 2, 4096, 25)]
    public void All_shards_have_the_same_number_of_batches(long rows, int shards, int batchRows, long batches) =>
        Assert.Equal(batches, new DataSummary { Rows = rows, Nonzeros = 0, Positives = 0, Labels = LabelKind.ZeroOne }.BatchesPerPass(shards, batchRows));

    [Fact]
    public void A_cut_that_makes_no_sense_is_refused_by_the_name_of_the_argument()
    {
        ISparseSource source = new ClickLog(1, 10, 10).Train;
        Assert.Equal("shard", Assert.Throws<ArgumentOutOfRangeException>(() => source.Open(2, 2, 5)).ParamName);
        Assert.Equal("shards", Assert.Throws<ArgumentOutOfRangeException>(() => source.Open(0, 0, 5)).ParamName);
        Assert.Equal("batchRows", Assert.Throws<ArgumentOutOfRangeException>(() => source.Open(0, 1, 0)).ParamName);
    }

    // Every row as one number made of some of its keys, batch by batch.
    private static ulong[][] Rows(ISparseSource source, int shard, int shards, int batchRows, long skipped)
    {
        using ISparseReader reader = source.Open(shard, shards, batchRows, skipped);
        var batch = new SparseBatch();
        var batches = new List<ulong[]>();
        while (reader.Read(batch))
        {
            ulong[] keys = new ulong[batch.Rows];
            for (int row = 0; row < batch.Rows; row++)
            {
                ReadOnlySpan<ulong> own = batch.Keys[batch.Offsets[row]..batch.Offsets[row + 1]];
                keys[row] = own[^1] ^ (own[own.Length / 2] << 1) ^ (own[own.Length / 3] << 2);
            }

            batches.Add(keys);
        }

        return [.. batches];
    }
}
