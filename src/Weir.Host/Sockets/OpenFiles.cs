using System.Globalization;

namespace Weir.Host.Sockets;

/// <summary>How many files this process may open: each connection is one, and so is each record and journal that it writes.</summary>
internal static class OpenFiles
{
    private const string Limits = "/proc/self/limits";
    private const string Open = "/proc/self/fd";
    private const string SoftLimit = "Max open files";

    /// <summary>
    /// How many connections may be accepted from now on, so that a crowd of them leaves a quarter of the files for disks and for connections to others; at
    /// least 1. Null where that is not known, or not limited.
    /// </summary>
    public static int? ForConnections()
    {
        if (!File.Exists(Limits))
        {
            return null;
        }

        // The runtime has raised the soft limit to the hard one.
        string? line = File.ReadLines(Limits).FirstOrDefault(l => l.StartsWith(SoftLimit, StringComparison.Ordinal));
        string soft = line?[SoftLimit.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0] ?? "";
        return int.TryParse(soft, CultureInfo.InvariantCulture, out int limit)
            ? Math.Max(1, (int)((limit - Directory.EnumerateFiles(Open).LongCount()) * 3 / 4))
            : null;
    }
}
