using System.Diagnostics;

namespace Weir.Tests.Host;

/// <summary>An explicit test run in a process of its own: for what would take the threads or files of all tests that run beside it.</summary>
internal sealed class OwnProcess : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Task<string> _error;
    private readonly Task<string> _output;

    /// <param name="test">The class of the test.</param>
    /// <param name="method">Its name.</param>
    /// <param name="variable">What tells it in its environment what to do.</param>
    /// <param name="value">That.</param>
    public OwnProcess(Type test, string method, string variable, string value)
    {
        var start = new ProcessStartInfo("dotnet", [test.Assembly.Location, "-method", $"{test.FullName}.{method}", "-explicit", "only", "-noColor"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[variable] = value;
        _process = Process.Start(start)!;
        (_error, _output) = (_process.StandardError.ReadToEndAsync(), _process.StandardOutput.ReadToEndAsync());
    }

    public bool HasExited => _process.HasExited;

    /// <summary>Waits for its end; fails where it did.</summary>
    public async Task PassesAsync()
    {
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(_process.ExitCode == 0, await _output + await _error);
        Assert.Contains("Total: 1, Errors: 0, Failed: 0, Skipped: 0, Not Run: 0", await _output);
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }
}
