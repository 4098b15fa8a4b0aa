using System.Buffers.Binary;
using System.IO.Hashing;
using System.Text.RegularExpressions;
using CsCheck;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;

namespace Weir.Tests.Learn;

public sealed class ModelFileTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void A_model_reads_back_as_written_and_equal_weights_in_any_order_give_equal_bytes() =>
        Gen.Select(Gen.Dictionary(Gen.ULong, Gen.Float.Where(float.IsFinite))[0, 300], Gen.Bool, Gen.Int).Sample((weights, intercept, seed) =>
        {
            ulong? interceptKey = intercept ? 77 : null;
            var model = LinearModel.Create([.. weights.Keys], [.. weights.Values], interceptKey);
            var bytes = Bytes(model);
            KeyValuePair<ulong, float>[] shuffled = [.. weights.OrderBy(pair => CounterRandom.Finalize(pair.Key + (ulong)seed))];
            var builder = new LinearModelBuilder();
            foreach (KeyValuePair<ulong, float>[] chunk in shuffled.Chunk(7))
            {
                builder.Add([.. chunk.Select(pair => pair.Key)], [.. chunk.Select(pair => pair.Value)]);
            }

            Assert.Equal(weights.Count, builder.Rows);
            Assert.Equal(bytes, Bytes(builder.Build(interceptKey)));
            LinearModel read = ModelFile.Read("memory", new MemoryStream(bytes));
            Assert.Equal(interceptKey, read.InterceptKey);
            Assert.Equal(weights.Where(pair => pair.Value != 0).OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)), read.Keys.ToArray().Zip(read.Weights.ToArray()));
            Assert.All(weights, pair => Assert.Equal(pair.Value, read.Weight(pair.Key)));
        }, iter: 200);

    [Fact]
    public void A_large_model_crosses_the_chunks_of_reading_and_writing()
    {
        ulong[] keys = [.. Enumerable.Range(1, 30_000).Select(rank => ClickLog.Key(5, rank))];
        LinearModel model = LinearModel.Create(keys, [.. keys.Select(key => (float)(key % 1000) - 500.5f)]);
        ModelFile.Write(_folder["large.weir"], model);
        LinearModel read = ModelFile.Read(_folder["large.weir"]);
        Assert.True(read.Keys.SequenceEqual(model.Keys) && read.Weights.SequenceEqual(model.Weights));
        Assert.Equal(40 + (30_000 * 12) + 8, new FileInfo(_folder["large.weir"]).Length);
        Assert.Equal(["large.weir"], _folder.Names());
    }

    [Fact]
    public void The_worked_example_of_the_document_is_what_is_written()
    {
        byte[] example = Example();
        LinearModel read = ModelFile.Read("example", new MemoryStream(example));
        Assert.Equal([3UL, LogisticOptions.InterceptKey], read.Keys.ToArray());
        Assert.Equal([0.5f, -1.25f], read.Weights.ToArray());
        Assert.Equal(LogisticOptions.InterceptKey, read.InterceptKey);
        Assert.Equal(example, Bytes(read));
    }

    [Fact]
    public void Every_changed_byte_and_every_cut_is_noticed_and_named()
    {
        byte[] whole = Example();
        for (int at = 0; at < whole.Length; at++)
        {
            byte[] changed = [.. whole];
            changed[at] ^= 0x10;
            Assert.Matches("^m: (is|has) ", Fault(changed));
            Assert.Matches("^m: (is cut short|the file is empty)", Fault(whole[..at]));
        }

        Assert.Equal("m: has 1 bytes too many for its 2 weights", Fault([.. whole, 0]));
        Assert.Equal("m: is not a Weir model file: it does not begin with WEIRMODL", Fault("1 3:1 4:1\n0 3:1\n-------------------------------"u8.ToArray()));
        Assert.Equal("m: has format version 2; this program reads version 1", Fault(Patched(whole, 8, 2)));
        Assert.Equal("m: is damaged: the checksum at its end does not match its content", Fault(Patched(whole, 48, 2)));
        Assert.Equal("m: is cut short: it has fewer bytes than its header promises", Fault(Patched(whole, 32, 0xffffffff)));
        Assert.StartsWith("m: is of kind 9, width 1, flags 1;", Fault(Patched(whole, 12, 9)), StringComparison.Ordinal);
        Assert.StartsWith("m: is malformed at weight 1:", Fault(Signed(Patched(Patched(whole, 52, 0), 56, 0))), StringComparison.Ordinal);
        Assert.StartsWith("m: is malformed at weight 0:", Fault(Signed(Patched(whole, 48, 0x7fc00000))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_model_that_cannot_be_read_or_written_is_named_with_the_reason_and_the_old_one_stays()
    {
        Assert.EndsWith("there is no such file", Assert.Throws<DataException>(() => ModelFile.Read(_folder["none"])).Message, StringComparison.Ordinal);
        Assert.EndsWith("is a directory; expected a model file", Assert.Throws<DataException>(() => ModelFile.Read(_folder[""])).Message, StringComparison.Ordinal);
        LinearModel model = LinearModel.Create([1], [1f]);
        Assert.Contains("cannot be written", Assert.Throws<DataException>(() => ModelFile.Write(_folder["none/m"], model)).Message, StringComparison.Ordinal);
        ModelFile.Write(_folder["m"], model);
        ModelFile.Write(_folder["m"], LinearModel.Create([2], [1f]));
        Assert.Equal([2UL], ModelFile.Read(_folder["m"]).Keys.ToArray());
        Assert.Equal(["m"], _folder.Names());
    }

    [Fact]
    public void The_text_has_a_line_a_weight_that_reads_back_the_same()
    {
        ModelFile.WriteText(_folder["m.txt"], LinearModel.Create([ulong.MaxValue, 0, 5, 6], [0.1f, -1e-9f, 0, 123456.79f]));
        Assert.Equal("0\t-1E-09\n6\t123456.79\n18446744073709551615\t0.1\n", File.ReadAllText(_folder["m.txt"]));
    }

    [Fact]
    public void A_diverged_or_doubled_weight_makes_no_model()
    {
        Assert.Contains("the training diverged", Assert.Throws<ArgumentException>(() => LinearModel.Create([1], [float.NaN])).Message, StringComparison.Ordinal);
        Assert.Contains("key 1 comes twice", Assert.Throws<ArgumentException>(() => LinearModel.Create([1, 1], [1f, 2])).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Predictions_and_measures_follow_the_rows_in_their_order()
    {
        var source = new LibsvmFile(_folder.Write("rows.txt", "1 1:1\n0 2:2\n1 3:1 1:1\n"));
        LinearModel model = LinearModel.Create([1, 2, 9], [2f, -1f, 0.5f], interceptKey: 9);
        var predictions = new List<double>();
        await Evaluation.PredictAsync(source, model.LookupAsync, model.InterceptKey, predictions.Add, TestContext.Current.CancellationToken);
        Assert.Equal([LogisticFunction.Sigmoid(2.5), LogisticFunction.Sigmoid(-1.5), LogisticFunction.Sigmoid(2.5)], predictions);
        BinaryQuality quality = await Evaluation.MeasureAsync(source, model.LookupAsync, null, TestContext.Current.CancellationToken);
        Assert.Equal((3L, 1.0, 1.0, null), (quality.Rows, quality.Auc, quality.Accuracy, quality.BestLogLoss));
        Assert.Equal(((2 * LogisticFunction.Loss(2, 1)) + LogisticFunction.Loss(-2, 0)) / 3, quality.LogLoss, 1e-12);
    }

    private static byte[] Bytes(LinearModel model)
    {
        var stream = new MemoryStream();
        ModelFile.Write(stream, model);
        return stream.ToArray();
    }

    private static string Fault(byte[] bytes) => Assert.Throws<DataException>(() => ModelFile.Read("m", new MemoryStream(bytes))).Message;

    private static byte[] Patched(byte[] bytes, int at, uint value)
    {
        byte[] patched = [.. bytes];
        BinaryPrimitives.WriteUInt32LittleEndian(patched.AsSpan(at), value);
        return patched;
    }

    private static byte[] Signed(byte[] bytes)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(bytes.AsSpan(bytes.Length - 8), XxHash3.HashToUInt64(bytes.AsSpan(0, bytes.Length - 8)));
        return bytes;
    }

    // The hex lines of docs/model.md: two digits a byte, up to the two blanks before what they mean.
    private static byte[] Example()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "Weir.slnx")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        string text = File.ReadAllText(Path.Combine(folder, "docs", "model.md"));
        MatchCollection lines = Regex.Matches(text, "^((?:[0-9a-f]{2} )+) ", RegexOptions.Multiline);
        return [.. lines.SelectMany(line => Convert.FromHexString(line.Groups[1].Value.Replace(" ", "", StringComparison.Ordinal)))];
    }
}
