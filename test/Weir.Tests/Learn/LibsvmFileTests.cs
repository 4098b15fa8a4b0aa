using System.Text;
using Weir.Learn.Data;

namespace Weir.Tests.Learn;

public sealed class LibsvmFileTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Rows_come_with_their_keys_values_and_labels_and_comments_and_blank_lines_do_not()
    {
        string text = "\uFEFF# a comment\n+1 0:1 18446744073709551615:-2.5e-3 # the rest is comment 7:x\r\n\n   \t\n-1\t3:.5  3:1\n  -1 # no features\n+1 9:1e2";
        foreach (string path in new[] { _folder.Write("a.txt", text), _folder.WriteGzip("b", text) })
        {
            var file = new LibsvmFile(path);
            Assert.Equal(new DataSummary { Rows = 4, Nonzeros = 5, Positives = 2, Labels = LabelKind.MinusPlus }, file.Scan(TestContext.Current.CancellationToken));
            using ISparseReader reader = file.Open(0, 1, 10);
            var batch = new SparseBatch();
            Assert.True(reader.Read(batch));
            Assert.Equal([1f, 0, 0, 1], batch.Labels.ToArray());
            Assert.Equal([0, 2, 4, 4, 5], batch.Offsets.ToArray());
            Assert.Equal([0, ulong.MaxValue, 3, 3, 9], batch.Keys.ToArray());
            Assert.Equal([1f, -2.5e-3f, .5f, 1, 100], batch.Values.ToArray());
            Assert.True(batch.TrueProbabilities.IsEmpty);
            Assert.False(reader.Read(batch));
            Assert.Equal(0, batch.Rows);
        }
    }

    [Fact]
    public void Labels_of_0_and_1_are_told_from_those_of_minus_and_plus_1()
    {
        Assert.Equal(LabelKind.ZeroOne, Scan("1 1:1\n0 1:1\n1.0 2:1\n0.0 1:1\n").Labels);
        Assert.Equal(LabelKind.MinusPlus, Scan("+1 1:1\n-1 1:1\n").Labels);
        Assert.Equal(LabelKind.OnlyPositive, Scan("1 1:1\n+1 1:1\n").Labels);
    }

    [Theory]
    [InlineData("1 3:", "\"3:\" has no value; expected index:value")]
    [InlineData("1 a:1", "\"a:1\" has an index that is not a whole number of 0 or above; expected index:value")]
    [InlineData("1 -1:2", "\"-1:2\" has an index that is not a whole number of 0 or above; expected index:value")]
    [InlineData("1 :2", "\":2\" has no index; expected index:value")]
    [InlineData("1 7", "\"7\" has no colon; expected index:value")]
    [InlineData("1 1.5:2", "\"1.5:2\" has an index that is not a whole number of 0 or above; expected index:value")]
    [InlineData("1 18446744073709551616:1", "\"18446744073709551616:1\" has an index above 18446744073709551615, the largest key; expected index:value")]
    [InlineData("1 99999999999999999999999:1", "\"99999999999999999999999:1\" has an index above 18446744073709551615, the largest key; expected index:value")]
    [InlineData("1 3:NaN", "\"3:NaN\" has a value that is not a finite number; expected index:value")]
    [InlineData("1 3:-inf", "\"3:-inf\" has a value that is not a number; expected index:value")]
    [InlineData("1 3:Infinity", "\"3:Infinity\" has a value that is not a finite number; expected index:value")]
    [InlineData("1 3:1e39", "\"3:1e39\" has a value that is not a finite number; expected index:value")]
    [InlineData("1 3:1:2", "\"3:1:2\" has a value that is not a number; expected index:value")]
    [InlineData("1 3:1 \u001b[2J:1", "\"?[2J:1\" has an index that is not a whole number of 0 or above; expected index:value")]
    [InlineData("2 3:1", "label \"2\" is none of 0 and 1, -1 and +1")]
    [InlineData("yes 3:1", "label \"yes\" is none of 0 and 1, -1 and +1")]
    [InlineData("3:1 4:1", "label \"3:1\" is none of 0 and 1, -1 and +1")]
    [InlineData("NaN 3:1", "label \"NaN\" is none of 0 and 1, -1 and +1")]
    [InlineData("-1 3:1", "label -1 is a third one: line 2 has 0, and a file has either 0 and 1 or -1 and +1")]
    public void A_bad_line_17_is_named_with_what_is_wrong(string line, string fault)
    {
        string path = _folder.Write("a9a.txt", "# head\n0 1:1\n" + string.Concat(Enumerable.Repeat("1 1:1\n\n", 7)) + line + "\n1 1:1\n");
        DataException exception = Assert.Throws<DataException>(() => new LibsvmFile(path).Scan(TestContext.Current.CancellationToken));
        Assert.Equal($"{path}:17: {fault}", exception.Message);
        Assert.Equal(17, exception.Line);
    }

    [Fact]
    public void A_long_token_is_quoted_in_part() =>
        Assert.Contains("\"" + new string('x', 40) + "...\" has no colon", Fault("1 " + new string('x', 5000)), StringComparison.Ordinal);

    [Fact]
    public void A_line_of_1_MiB_is_read_and_a_longer_one_refused()
    {
        var row = new StringBuilder("1");
        while (row.Length < 1 << 20)
        {
            row.Append(" 7:1");
        }

        string longest = row.ToString()[..(1 << 20)].TrimEnd(':', ' ', '7');
        Assert.Equal(longest.Count(character => character == ':'), Scan(longest.PadRight(1 << 20) + "\n").Nonzeros);
        Assert.EndsWith(":2: the line is longer than 1,048,576 bytes (1 MiB)", Fault("1 1:1\n" + longest.PadRight((1 << 20) + 1) + "\n"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_line_without_end_is_refused_in_bounded_memory()
    {
        // 64 MiB without a line feed, a few KB packed.
        string path = _folder.WriteGzip("bomb.gz", new string('1', 64 << 20));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Contains("longer than", Assert.Throws<DataException>(() => new LibsvmFile(path).Scan(TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 << 20);
    }

    [Fact]
    public void A_file_that_cannot_be_read_is_named_with_the_reason()
    {
        Assert.EndsWith("none.txt: there is no such file", FaultOf(_folder["none.txt"]), StringComparison.Ordinal);
        Assert.EndsWith("/a.txt: there is no such file", FaultOf(_folder["none/a.txt"]), StringComparison.Ordinal);
        Assert.EndsWith("is a directory; expected a LIBSVM file", FaultOf(_folder[""]), StringComparison.Ordinal);
        Assert.EndsWith("empty.txt: the file is empty", FaultOf(_folder.Write("empty.txt", "")), StringComparison.Ordinal);
        Assert.EndsWith("empty.gz: the file is empty", FaultOf(_folder.WriteGzip("empty.gz", "")), StringComparison.Ordinal);
        Assert.EndsWith("only blank lines and comments", FaultOf(_folder.Write("comments.txt", "\n# nothing\n")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_damaged_or_cut_gzip_file_is_named_so()
    {
        byte[] whole = File.ReadAllBytes(_folder.WriteGzip("whole.gz", string.Concat(Enumerable.Range(0, 5000).Select(row => $"1 {row}:{row * 7919 % 1000}\n"))));
        foreach (int kept in (int[])[20, whole.Length / 2, whole.Length - 300, whole.Length - 9, whole.Length - 4, whole.Length - 1])
        {
            Assert.Matches("damaged or cut short|:\\d+: ", FaultOf(_folder.Write("cut.gz", whole.AsSpan(0, kept))));
        }

        whole.AsSpan(whole.Length / 2, 40).Fill(0xff);
        Assert.Matches("damaged or cut short|:\\d+: ", FaultOf(_folder.Write("damaged.gz", whole)));
    }

    [Fact]
    public void A_gzip_file_of_several_members_is_read_as_one()
    {
        byte[] one = File.ReadAllBytes(_folder.WriteGzip("one.gz", "1 1:1\n0 2:1\n1 3"));
        byte[] two = File.ReadAllBytes(_folder.WriteGzip("two.gz", ":4\n"));
        Assert.Equal(3, new LibsvmFile(_folder.Write("both.gz", [.. one, .. two])).Scan(TestContext.Current.CancellationToken).Rows);
    }

    [Fact]
    public void Reading_allocates_nothing_a_row()
    {
        string path = _folder.Write("many.txt", string.Concat(Enumerable.Range(0, 20_000).Select(row => $"{row % 2} {row}:1 7:0.25 9:-1.5\n")));
        var batch = new SparseBatch();
        using ISparseReader reader = new LibsvmFile(path).Open(0, 1, 1000);
        Assert.True(reader.Read(batch));
        long before = GC.GetAllocatedBytesForCurrentThread();
        int rows = 0;
        while (reader.Read(batch))
        {
            rows += batch.Rows;
        }

        Assert.Equal(19_000, rows);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4096);
    }

    [Fact]
    public void UCI_Adult_has_the_rows_that_its_page_states()
    {
        LibsvmFile file = RealData.File("a9a.libsvm.gz");
        Assert.Equal(new DataSummary { Rows = 32_561, Nonzeros = 451_592, Positives = 7_841, Labels = LabelKind.MinusPlus }, file.Scan(TestContext.Current.CancellationToken));
    }

    private DataSummary Scan(string text) => new LibsvmFile(_folder.Write("scan.txt", text)).Scan(TestContext.Current.CancellationToken);

    private string Fault(string text) => FaultOf(_folder.Write("fault.txt", text));

    private static string FaultOf(string path) => Assert.Throws<DataException>(() => new LibsvmFile(path).Scan(TestContext.Current.CancellationToken)).Message;
}
