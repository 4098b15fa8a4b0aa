using Weir.Learn.Data;

namespace Weir.Tests.Learn;

/// <summary>The real data sets that the environment variable WEIR_DATA names the folder of.</summary>
internal static class RealData
{
    public static LibsvmFile File(string name)
    {
        string? folder = Environment.GetEnvironmentVariable("WEIR_DATA");
        Assert.SkipWhen(string.IsNullOrEmpty(folder), "WEIR_DATA is not set; it names the folder that holds " + name);
        return new LibsvmFile(Path.Combine(folder!, name));
    }
}
