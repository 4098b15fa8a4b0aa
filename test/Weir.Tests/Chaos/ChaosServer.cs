using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Weir.Cli;

namespace Weir.Tests.Chaos;

/// <summary>One server process of a chaos run. It ends when this process does, in whatever way, for its standard input ends then.</summary>
internal sealed class ChaosServer : IAsyncDisposable
{
    private const int ServingMs = 60_000;
    private const string ServingAt = "serving at ";

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly TaskCompletionSource _serves = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _reading;

    /// <param name="prefix">What runs the command where the server is to live.</param>
    /// <param name="arguments">Those of <c>weir serve</c>.</param>
    /// <param name="environment">What it is to have in its environment besides what this process has.</param>
    public ChaosServer(string[] prefix, string[] arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        string[] command = [.. prefix, "dotnet", typeof(Tool).Assembly.Location, "serve", "--with-parent", "--log", "information", .. arguments];
        var start = new ProcessStartInfo(command[0], command[1..]) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _reading = Task.WhenAll(ReadAsync(_process.StandardOutput), ReadAsync(_process.StandardError));
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What it said so far.</summary>
    public string Text => string.Join('\n', _lines);

    /// <summary>The last of it, for whoever looks into a failing round.</summary>
    public string LastWords => string.Join('\n', _lines.TakeLast(60));

    /// <summary>Waits until it serves.</summary>
    public async Task ServesAsync()
    {
        if (await Task.WhenAny(_serves.Task, _reading, Task.Delay(ServingMs)) != _serves.Task)
        {
            throw new InvalidOperationException($"a server did not come to serve: {Text}");
        }
    }

    /// <summary>Kills it, so that it can say so to nobody.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Stops it in whatever it does.</summary>
    public void Pause() => ProcessSignals.Stop(_process);

    /// <summary>Lets it go on as if no time had passed.</summary>
    public void Resume() => ProcessSignals.Continue(_process);

    /// <summary>Waits until it has ended by itself.</summary>
    /// <returns>Whether it did in time.</returns>
    public async Task<bool> EndsAsync(int withinMs) => await Task.WhenAny(_process.WaitForExitAsync(), Task.Delay(withinMs)) is { } ended && _process.HasExited && ended.IsCompleted;

    /// <summary>Waits until all that it said before its end has been read.</summary>
    public Task EndedAsync() => _reading;

    /// <summary>Sets how many files it may have open from now on; what is open stays open.</summary>
    /// <param name="files">A number, or what an earlier call gave.</param>
    /// <returns>What it was before.</returns>
    public string LimitFiles(string files)
    {
        string id = Id.ToString(CultureInfo.InvariantCulture);
        string before = ChaosNetwork.Run("prlimit", "--pid", id, "--nofile", "--noheadings", "--raw", "--output", "SOFT").Trim();
        ChaosNetwork.Run("prlimit", "--pid", id, $"--nofile={files}:");
        return before;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        await _reading;
        _process.Dispose();
    }

    private async Task ReadAsync(StreamReader reader)
    {
        while (await reader.ReadLineAsync() is { } line)
        {
            _lines.Enqueue(line);
            if (line.StartsWith(ServingAt, StringComparison.Ordinal))
            {
                _serves.TrySetResult();
            }
        }
    }
}
