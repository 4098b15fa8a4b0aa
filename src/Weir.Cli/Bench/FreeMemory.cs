using System.Globalization;

namespace Weir.Cli.Bench;

/// <summary>How much memory a benchmark may take without driving the machine into swap, or itself into the system's killer.</summary>
internal static class FreeMemory
{
    private const string Field = "MemAvailable:";

    /// <summary>Bytes that the system says are available; where it does not say, all that this process is allowed.</summary>
    public static long Bytes()
    {
        long allowed = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        try
        {
            string? line = File.ReadLines("/proc/meminfo").FirstOrDefault(text => text.StartsWith(Field, StringComparison.Ordinal));
            string? kibibytes = line?[Field.Length..].Replace("kB", "", StringComparison.Ordinal);
            return long.TryParse(kibibytes, CultureInfo.InvariantCulture, out long value) ? Math.Min(allowed, value << 10) : allowed;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return allowed;
        }
    }
}
