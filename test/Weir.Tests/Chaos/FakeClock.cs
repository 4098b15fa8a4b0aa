namespace Weir.Tests.Chaos;

/// <summary>A wall clock for one process, by libfaketime: it may be set while the process runs, and the monotonic clock stays what it is.</summary>
internal sealed class FakeClock : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public FakeClock() => Set("+0d");

    /// <summary>Where the library is; null where it is not installed.</summary>
    public static string? Library { get; } = !Directory.Exists("/usr/lib") ? null : Directory.EnumerateDirectories("/usr/lib", "*-linux-gnu")
        .Select(folder => Path.Combine(folder, "faketime", "libfaketimeMT.so.1")).FirstOrDefault(File.Exists);

    /// <summary>What a process must have in its environment to live by this clock.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["LD_PRELOAD"] = Library!,
        ["FAKETIME_TIMESTAMP_FILE"] = _file,
        ["FAKETIME_NO_CACHE"] = "1",
        ["DONT_FAKE_MONOTONIC"] = "1",
    };

    /// <summary>Sets it so far from the machine's: <c>+3d</c>, <c>-3d</c>.</summary>
    public void Set(string offset) => File.WriteAllText(_file, offset + "\n");

    public void Dispose() => File.Delete(_file);
}
