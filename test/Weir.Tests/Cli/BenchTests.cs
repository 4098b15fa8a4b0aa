using System.Text.Json;
using Weir.Tests.Learn;

namespace Weir.Tests.Cli;

/// <summary>The benchmarks of the tool: what they report, not how fast.</summary>
public sealed class BenchTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task Push_pull_reports_the_names_that_scripts_read_and_figures_that_agree_with_each_other(string transport)
    {
        ToolRun run = await ToolRun.Of(
            "bench", "push-pull", "--keys", "1000", "--width", "3", "--request-keys", "100", "--rule", "adagrad", "--seconds", "0.1", "--transport", transport, "--report", _folder["r.json"]);
        run.IsDone();
        Assert.Contains("rule adagrad; 100 keys a request, window 4", run.Output);
        using JsonDocument report = JsonDocument.Parse(await File.ReadAllTextAsync(_folder["r.json"], TestContext.Current.CancellationToken));
        Assert.Equal(["push", "pull", "pushPull", "raw"], Names(report.RootElement));
        Assert.Equal(["bytesPerSecond", "p50Us"], Names(report.RootElement.GetProperty("raw")));
        foreach ((string kind, int directions) in (ReadOnlySpan<(string, int)>)[("push", 1), ("pull", 1), ("pushPull", 2)])
        {
            JsonElement speed = report.RootElement.GetProperty(kind);
            Assert.Equal(["keysPerSecond", "bytesPerSecond", "p50Us", "p99Us", "p999Us"], Names(speed));
            double Figure(string name) => speed.GetProperty(name).GetDouble();
            Assert.True(Figure("keysPerSecond") > 0);

            // Three floats a key.
            Assert.Equal(Figure("keysPerSecond") * 12 * directions, Figure("bytesPerSecond"), 1.0);
            Assert.InRange(Figure("p50Us"), 0.1, Figure("p99Us"));
            Assert.InRange(Figure("p99Us"), 0.1, Figure("p999Us"));
        }

        Assert.True(report.RootElement.GetProperty("raw").GetProperty("bytesPerSecond").GetDouble() > 0);
        Assert.True(report.RootElement.GetProperty("raw").GetProperty("p50Us").GetDouble() > 0);
    }

    private static string[] Names(JsonElement element) => [.. element.EnumerateObject().Select(property => property.Name)];
}
