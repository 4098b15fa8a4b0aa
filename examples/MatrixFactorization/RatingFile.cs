using System.Globalization;
using System.IO.Compression;

namespace MatrixFactorization;

/// <summary>A file of ratings as MovieLens publishes it: a header line, then userId,movieId,rating,timestamp; plain or compressed by gzip.</summary>
internal static class RatingFile
{
    private const string Header = "userId,movieId,rating";

    /// <summary>Reads a whole file.</summary>
    /// <param name="path">The file's path.</param>
    /// <exception cref="InvalidDataException">The file holds something else; the message names the file and the line.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read, or is a folder.</exception>
    public static Rating[] Read(string path)
    {
        using FileStream file = File.OpenRead(path);
        using var text = new StreamReader(IsGzip(file) ? new GZipStream(file, CompressionMode.Decompress) : file);
        int line = 1;
        try
        {
            string header = text.ReadLine() ?? throw new InvalidDataException($"the file is empty; it must begin with the line {Header},timestamp");
            if (!header.StartsWith(Header, StringComparison.Ordinal))
            {
                throw new InvalidDataException($"the first line must be {Header},timestamp, and is '{Shortened(header)}'");
            }

            List<Rating> ratings = [];
            while (text.ReadLine() is { } row)
            {
                line++;
                ratings.Add(Parse(row));
            }

            return ratings.Count >= 2 ? [.. ratings] : throw new InvalidDataException("at least two ratings are needed: one to learn from and one to test");
        }
        catch (InvalidDataException fault)
        {
            throw new InvalidDataException($"{path}, line {line}: {fault.Message}", fault);
        }
    }

    /// <summary>Every fifth row is for the test: those whose index, counted from 0 after the header, divides by 5. The others are learned from.</summary>
    public static (Rating[] Train, Rating[] Test) Split(Rating[] ratings) =>
        ([.. ratings.Where((_, index) => index % 5 != 0)], [.. ratings.Where((_, index) => index % 5 == 0)]);

    private static Rating Parse(string row)
    {
        string[] fields = row.Split(',');
        if (fields.Length < 3)
        {
            throw new InvalidDataException($"a row is {Header},timestamp, and this one is '{Shortened(row)}'");
        }

        return new Rating(Id(fields[0], "userId"), Id(fields[1], "movieId"), Stars(fields[2]));
    }

    private static ulong Id(string field, string name) =>
        ulong.TryParse(field, NumberStyles.None, CultureInfo.InvariantCulture, out ulong id)
            ? id
            : throw new InvalidDataException($"{name} must be a whole number from 0 to {ulong.MaxValue}, and is '{Shortened(field)}'");

    private static float Stars(string field) =>
        float.TryParse(field, NumberStyles.Float, CultureInfo.InvariantCulture, out float stars) && stars is >= 0 and <= 5
            ? stars
            : throw new InvalidDataException($"rating must be a number from 0 to 5, and is '{Shortened(field)}'");

    private static string Shortened(string text) => text.Length <= 40 ? text : text[..40] + "...";

    // RFC 1952, section 2.3.1: a gzip file begins with 1F 8B.
    private static bool IsGzip(FileStream file)
    {
        bool isGzip = file.ReadByte() == 0x1F && file.ReadByte() == 0x8B;
        file.Position = 0;
        return isGzip;
    }
}
