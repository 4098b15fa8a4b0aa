using System.Diagnostics;
using System.Globalization;
using Weir.Client;
using Weir.Host;

namespace MatrixFactorization;

/// <summary>Learns to predict ratings on a cluster inside this process, and says how well on the rows that it held back.</summary>
internal static class Program
{
    private const string Usage = "usage: MatrixFactorization RATINGS.csv (or .csv.gz: userId,movieId,rating,timestamp below a header line)";

    public static Task<int> Main(string[] args) => RunAsync(args, Console.Out, Console.Error);

    /// <summary>Runs the program.</summary>
    /// <param name="args">The path of the file of ratings.</param>
    /// <param name="output">Gets a line a pass, then the RMSE on the test rows.</param>
    /// <param name="faults">Gets the line that says what is wrong.</param>
    /// <returns>0; 1 where something failed; 2 where the arguments are wrong.</returns>
    public static async Task<int> RunAsync(string[] args, TextWriter output, TextWriter faults)
    {
        if (args.Length != 1 || args[0].Length == 0)
        {
            await faults.WriteLineAsync(Usage);
            return 2;
        }

        try
        {
            (Rating[] train, Rating[] test) = RatingFile.Split(RatingFile.Read(args[0]));
            await output.WriteLineAsync($"{train.Length} ratings to learn from, {test.Length} to test: every fifth row, the first among them");
            await RunAsync(train, test, output);
            return 0;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or InvalidDataException or WeirException)
        {
            await faults.WriteLineAsync(Sentence(args[0], fault));
            return 1;
        }
    }

    private static async Task RunAsync(Rating[] train, Rating[] test, TextWriter output)
    {
        long start = Stopwatch.GetTimestamp();
        new Random(1).Shuffle(train);
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2 });
        await using WeirClient client = await cluster.ConnectAsync();
        TrainedModel model = await FactorModel.TrainAsync(client, train, new PassProgress(output, train.Length, FactorModel.Passes));
        double rmse = await model.RmseAsync(test);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        await output.WriteLineAsync(string.Create(CultureInfo.InvariantCulture, $"RMSE {rmse:0.0000} on the test rows, after {seconds:0.0} s"));
    }

    private static string Sentence(string path, Exception fault) =>
        Directory.Exists(path) ? $"{path} is a folder; name a file of ratings"
        : fault is FileNotFoundException or DirectoryNotFoundException ? $"{path} is not there; MovieLens ratings are at https://grouplens.org/datasets/movielens"
        : fault.Message;
}
