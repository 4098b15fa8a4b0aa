using System.Diagnostics;

namespace Weir.Tests.Repo;

/// <summary>The checkout that the tests were built from. Paths are relative to its root, with forward slashes.</summary>
internal static class Repository
{
    private static readonly string[] BuiltFolders = ["artifacts", ".git", ".vs", ".vscode"];

    public static string Root { get; } = FindRoot();

    /// <summary>Every file that is, or without a further command would be, in the repository.</summary>
    public static IReadOnlyList<string> Files { get; } = [.. ListFiles().Where(file => File.Exists(FullPath(file))).Order(StringComparer.Ordinal)];

    /// <summary>The rooms of src/Weir and whom each may name, in the order of eng/rooms.txt.</summary>
    public static IReadOnlyList<(string Room, string[] MayName)> Rooms { get; } =
    [
        .. Lines("eng/rooms.txt")
            .Where(line => line.Length > 0 && line[0] != '#')
            .Select(line => line.Split(':'))
            .Select(parts => (parts[0].Trim(), parts[1].Split(' ', StringSplitOptions.RemoveEmptyEntries))),
    ];

    public static string FullPath(string file) => Path.Combine(Root, file);

    public static string Text(string file) => File.ReadAllText(FullPath(file));

    public static string[] Lines(string file) => File.ReadAllLines(FullPath(file));

    /// <summary>The C# files under a folder, read and stripped of comments and strings.</summary>
    public static IReadOnlyList<SourceText> Sources(string folder) =>
        [.. Files.Where(file => file.StartsWith(folder + "/", StringComparison.Ordinal) && file.EndsWith(".cs", StringComparison.Ordinal)).Select(SourceText.Read)];

    private static string FindRoot()
    {
        string? folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Weir.slnx")))
        {
            folder = Path.GetDirectoryName(folder);
        }

        return folder ?? throw new InvalidOperationException($"No Weir.slnx in {AppContext.BaseDirectory} or above it.");
    }

    private static IEnumerable<string> ListFiles()
    {
        if (Path.Exists(Path.Combine(Root, ".git")))
        {
            var git = new ProcessStartInfo("git", ["ls-files", "--cached", "--others", "--exclude-standard"])
            {
                WorkingDirectory = Root,
                RedirectStandardOutput = true,
            };
            using Process process = Process.Start(git)!;
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode == 0)
            {
                return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
            }
        }

        // An archive of the sources has no git: everything but what a build made.
        return Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Root, file).Replace('\\', '/'))
            .Where(file => !BuiltFolders.Contains(file.Split('/')[0]));
    }
}
