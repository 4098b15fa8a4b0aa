using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Weir.Cli;

namespace Weir.Tests.Cli;

/// <summary>One command line in a process of its own, as a user starts it: the tool that was built beside the tests.</summary>
internal sealed partial class ToolChild : IAsyncDisposable
{
    private const int PatienceMs = 180_000;

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly List<(Func<string, bool> Is, TaskCompletionSource<string> Found)> _awaited = [];
    private readonly Task _reading;

    public ToolChild(params string[] arguments)
        : this(new Dictionary<string, string>(), arguments)
    {
    }

    /// <param name="variables">Set in its environment; one that is empty is not set there.</param>
    /// <param name="arguments">The command line.</param>
    public ToolChild(IReadOnlyDictionary<string, string> variables, params string[] arguments)
    {
        string tool = typeof(Tool).Assembly.Location;
        var start = new ProcessStartInfo("dotnet", [tool, .. arguments]) { RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in variables)
        {
            start.Environment[name] = value.Length > 0 ? value : null;
        }

        _process = Process.Start(start)!;
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput), ReadAsync(_process.StandardError));
    }

    /// <summary>All lines so far, of both streams.</summary>
    public string Text => string.Join('\n', _lines);

    /// <summary>The first line with these words, when it comes.</summary>
    public Task<string> LineAsync(string words) => LineAsync(words, line => line.Contains(words, StringComparison.Ordinal));

    /// <summary>The first line of progress of a training run whose workers have begun.</summary>
    public Task<string> ProgressAsync() =>
        LineAsync("rows/s", line => line.Contains(" rows/s", StringComparison.Ordinal) && !line.Contains(" 0 rows/s", StringComparison.Ordinal));

    private async Task<string> LineAsync(string words, Func<string, bool> isIt)
    {
        var found = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_awaited)
        {
            if (_lines.FirstOrDefault(isIt) is { } line)
            {
                return line;
            }

            _awaited.Add((isIt, found));
        }

        if (await Task.WhenAny(found.Task, _reading, Task.Delay(PatienceMs, TestContext.Current.CancellationToken)) != found.Task)
        {
            Assert.Fail($"no line with '{words}' came; these did:\n{Text}");
        }

        return await found.Task;
    }

    /// <summary>The exit code, when it has ended.</summary>
    public async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromMilliseconds(PatienceMs));
        await _reading;
        return _process.ExitCode;
    }

    /// <summary>Sends Ctrl+C's signal, or SIGTERM where whoever started the tests has SIGINT ignored, which children inherit.</summary>
    public void Interrupt()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "signals to one process are Unix's");
        string ignored = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith("SigIgn:", StringComparison.Ordinal)) ?? "SigIgn: 0";
        bool hasInterrupt = (ulong.Parse(ignored.AsSpan(7).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & 2) == 0;
        Assert.Equal(0, Kill(_process.Id, hasInterrupt ? 2 : 15));
    }

    /// <summary>The numbers of the child processes that a line names in brackets.</summary>
    public static int[] Processes(string line, string kind)
    {
        int start = line.IndexOf(kind + " processes (", StringComparison.Ordinal) + kind.Length + " processes (".Length;
        return [.. line[start..line.IndexOf(')', start)].Split(", ").Select(number => int.Parse(number, CultureInfo.InvariantCulture))];
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }

    private async Task ReadAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            _lines.Enqueue(line);
            lock (_awaited)
            {
                _awaited.ForEach(awaited => _ = awaited.Is(line) && awaited.Found.TrySetResult(line));
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
