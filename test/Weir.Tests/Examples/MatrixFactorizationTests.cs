using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using MatrixFactorization;
using Weir.Client;
using Weir.Sim;
using Weir.Tests.Learn;

namespace Weir.Tests.Examples;

/// <summary>The program of examples/MatrixFactorization as its user runs it: by its arguments, its lines and its exit code.</summary>
public sealed partial class MatrixFactorizationTests : IDisposable
{
    private const string Header = "userId,movieId,rating,timestamp\n";
    private readonly ScratchFolder _folder = new();

    [Fact]
    public async Task On_MovieLens_it_reaches_the_error_of_one_plain_loop_within_five_thousandths()
    {
        string? folder = Environment.GetEnvironmentVariable("WEIR_DATA");
        Assert.SkipWhen(string.IsNullOrEmpty(folder), "WEIR_DATA is not set; it names the folder that holds ml-latest-small.ratings.csv.gz");
        string path = Path.Combine(folder!, "ml-latest-small.ratings.csv.gz");
        (Rating[] train, Rating[] test) = RatingFile.Split(RatingFile.Read(path));
        Assert.Equal((80_668, 20_168), (train.Length, test.Length));
        Assert.Equal(new Rating(1, 1, 4), test[0]);
        Assert.Equal(new Rating(1, 3, 4), train[0]);
        new Random(1).Shuffle(train);
        double plain = new PlainFactorization(train).Rmse(test), biasesOnly = new PlainFactorization(train, biasesOnly: true).Rmse(test);

        (int code, string output, string faults) = await RunAsync(path);
        double rmse = TestRmse(output);
        TestContext.Current.SendDiagnosticMessage("RMSE: {0:0.0000} by the plain loop, {1:0.0000} with biases only, {2:0.0000} by the example", plain, biasesOnly, rmse);
        Assert.Equal((0, ""), (code, faults));
        Assert.Equal(FactorModel.Passes, output.Split('\n').Count(line => line.StartsWith("pass ", StringComparison.Ordinal)));
        Assert.InRange(rmse, plain - 0.005, plain + 0.005);

        // The factors have learned too: twice the tolerance lies between them and biases alone.
        Assert.InRange(rmse, 0.80, biasesOnly - 0.01);
    }

    [Fact]
    public void The_gradient_is_the_slope_of_the_loss_in_every_parameter_of_every_rating()
    {
        const float Mean = 3.5f, Step = 1e-2f;
        var random = new Random(5);
        Rating[] batch = [.. Enumerable.Range(0, 3).Select(i => new Rating((ulong)i, 9, 1 + i))];
        float[] p = [.. Enumerable.Range(0, 3 * FactorModel.Width).Select(_ => random.NextSingle() - 0.5f)];
        float[] q = [.. Enumerable.Range(0, 3 * FactorModel.Width).Select(_ => random.NextSingle() - 0.5f)];
        (float[] ofUsers, float[] ofItems) = ([.. p], [.. q]);
        FactorModel.ToGradients(batch, ofUsers, ofItems, Mean);
        foreach ((float[] rows, float[] gradients) in ((float[], float[])[])[(p, ofUsers), (q, ofItems)])
        {
            for (int i = 0; i < rows.Length; i++)
            {
                float kept = rows[i];
                rows[i] = kept + Step;
                double above = Loss(batch, p, q, Mean);
                rows[i] = kept - Step;
                double below = Loss(batch, p, q, Mean);
                rows[i] = kept;
                Assert.Equal((above - below) / (2 * Step), gradients[i], tolerance: 1e-3);
            }
        }
    }

    [Fact]
    public async Task On_ratings_made_of_factors_it_finds_what_biases_cannot()
    {
        (int code, string output, _) = await RunAsync(_folder.Write("ratings.csv", TwoTastes(users: 60, items: 40)));
        Assert.Equal(0, code);

        // Half the users like the even items and half the odd ones: 1.5 stars around a mean that no bias moves.
        Assert.InRange(TestRmse(output), 0, 0.75);
    }

    [Fact]
    public async Task It_reads_a_compressed_file_as_a_plain_one()
    {
        string text = TwoTastes(users: 10, items: 10);
        Assert.Equal(RatingFile.Read(_folder.Write("a.csv", text)), RatingFile.Read(_folder.WriteGzip("a.csv.gz", text)));
        Assert.Equal(0, (await RunAsync(_folder.WriteGzip("two.csv.gz", Header + "1,1,4.0,0\n1,2,3.0,0\n"))).Code);
    }

    [Fact]
    public void It_learns_over_a_network_that_loses_doubles_and_reorders()
    {
        Rating[] ratings = RatingFile.Read(_folder.Write("ratings.csv", TwoTastes(users: 30, items: 20)));
        (Rating[] train, Rating[] test) = RatingFile.Split(ratings);
        new Random(1).Shuffle(train);
        double plain = new PlainFactorization(train).Rmse(test);
        double rmse = 0;
        using var cluster = new SimCluster(seed: 7, servers: 3);
        cluster.Run(async () =>
        {
            await using WeirClient client = await cluster.ConnectAsync("trainer");
            cluster.Network.Faults = new SimFaults { LossPerMille = 20, DuplicatePerMille = 20, ReorderPerMille = 20 };
            TrainedModel model = await FactorModel.TrainAsync(client, train, new PassProgress(TextWriter.Null, train.Length, FactorModel.Passes));
            cluster.Network.Faults = SimFaults.None;
            rmse = await model.RmseAsync(test);
        });
        Assert.True(cluster.Tally.Lost > 0 && cluster.Tally.Duplicated > 0, "the faults fell on nothing");
        Assert.InRange(rmse, plain - 0.1, plain + 0.1);
    }

    [Theory]
    [InlineData("", "line 1: the file is empty; it must begin with the line userId,movieId,rating")]
    [InlineData("1,1,4.0,964982703\n", "line 1: the first line must be userId,movieId,rating,timestamp, and is '1,1,4.0,964982703'")]
    [InlineData(Header, "at least two ratings are needed")]
    [InlineData(Header + "1,1,4.0,0\n", "at least two ratings are needed")]
    [InlineData(Header + "1,1,4.0,0\n1,2\n", "line 3: a row is userId,movieId,rating,timestamp, and this one is '1,2'")]
    [InlineData(Header + "1,1,4.0,0\n\n", "line 3: a row is")]
    [InlineData(Header + "x,1,4.0,0\n", "line 2: userId must be a whole number from 0 to 18446744073709551615, and is 'x'")]
    [InlineData(Header + "1,-1,4.0,0\n", "line 2: movieId must be a whole number")]
    [InlineData(Header + "1,18446744073709551616,4.0,0\n", "line 2: movieId must be a whole number")]
    [InlineData(Header + "1,1,NaN,0\n", "line 2: rating must be a number from 0 to 5, and is 'NaN'")]
    [InlineData(Header + "1,1,5.5,0\n", "line 2: rating must be a number from 0 to 5")]
    public async Task A_file_that_holds_something_else_is_named_with_the_line_and_exit_code_1(string text, string expected)
    {
        string path = _folder.Write("ratings.csv", text);
        (int code, string output, string faults) = await RunAsync(path);
        Assert.Equal((1, ""), (code, output));
        Assert.Contains(expected, faults, StringComparison.Ordinal);
        Assert.StartsWith(path + ", line ", faults, StringComparison.Ordinal);
        Assert.Equal(1, faults.Count(character => character == '\n'));
    }

    [Fact]
    public async Task A_path_that_is_no_file_is_named_with_exit_code_1()
    {
        string missing = _folder["missing.csv"];
        (int code, string output, string faults) = await RunAsync(missing);
        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith($"{missing} is not there; ", faults, StringComparison.Ordinal);

        string folder = Path.GetDirectoryName(missing)!;
        Assert.Equal((1, "", $"{folder} is a folder; name a file of ratings\n"), await RunAsync(folder));
    }

    [Fact]
    public async Task A_compressed_file_that_is_cut_or_broken_or_a_line_without_end_is_named_with_exit_code_1()
    {
        byte[] whole = await File.ReadAllBytesAsync(_folder.WriteGzip("whole.gz", TwoTastes(users: 20, items: 20)), TestContext.Current.CancellationToken);
        byte[] broken = [.. whole];
        broken[20] ^= 0xFF;
        foreach (byte[] bytes in (byte[][])[broken, whole[..(whole.Length / 2)], [0x1F, 0x8B], Encoding.ASCII.GetBytes(Header + new string('7', 1 << 20))])
        {
            string path = _folder.Write("bad.csv.gz", bytes);
            (int code, _, string faults) = await RunAsync(path);
            Assert.Equal(1, code);
            Assert.StartsWith(path + ", line ", faults, StringComparison.Ordinal);
            Assert.InRange(faults.Length, path.Length + 10, path.Length + 200);
        }
    }

    [Theory]
    [InlineData()]
    [InlineData("a.csv", "b.csv")]
    [InlineData("")]
    public async Task Wrong_arguments_show_the_usage_with_exit_code_2(params string[] arguments)
    {
        (int code, _, string faults) = await RunAsync(arguments);
        Assert.Equal(2, code);
        Assert.StartsWith("usage: MatrixFactorization RATINGS.csv", faults, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private static async Task<(int Code, string Output, string Faults)> RunAsync(params string[] arguments)
    {
        var output = new StringWriter { NewLine = "\n" };
        var faults = new StringWriter { NewLine = "\n" };
        int code = await MatrixFactorization.Program.RunAsync(arguments, output, faults);
        return (code, output.ToString(), faults.ToString());
    }

    // Koren, Bell and Volinsky 2009, equation 5, halved: its slope is then the gradient that the update below it names.
    private static double Loss(Rating[] batch, float[] p, float[] q, float mean)
    {
        double loss = 0;
        for (int i = 0; i < batch.Length; i++)
        {
            Span<float> user = p.AsSpan(i * FactorModel.Width, FactorModel.Width), item = q.AsSpan(i * FactorModel.Width, FactorModel.Width);
            (double error, double squares) = (mean + user[0] + item[0] - batch[i].Stars, 0);
            for (int k = 0; k < FactorModel.Width; k++)
            {
                error += k == 0 ? 0 : (double)user[k] * item[k];
                squares += ((double)user[k] * user[k]) + ((double)item[k] * item[k]);
            }

            loss += ((error * error) + (FactorModel.Decay * squares)) / 2;
        }

        return loss;
    }

    private static double TestRmse(string output) => double.Parse(Measured().Match(output).Groups[1].Value, CultureInfo.InvariantCulture);

    /// <summary>Every user rates every item: 4 stars where both numbers are even or both odd, 1 otherwise. Shuffled, for the split goes by position.</summary>
    private static string TwoTastes(int users, int items)
    {
        (int User, int Item)[] pairs = [.. Enumerable.Range(0, users).SelectMany(user => Enumerable.Range(0, items), (user, item) => (user, item))];
        new Random(3).Shuffle(pairs);
        return Header + string.Concat(pairs.Select(pair => $"{pair.User},{pair.Item},{((pair.User + pair.Item) % 2 == 0 ? "4.0" : "1.0")},0\n"));
    }

    [GeneratedRegex(@"^RMSE ([0-9.]+) on the test rows, after [0-9.]+ s$", RegexOptions.Multiline)]
    private static partial Regex Measured();
}
