using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Weir.Cli.Processes;

/// <summary>
/// A child process that runs this same tool. It ends when its standard input closes, and so when this process ends in whatever way.
/// Thread-safe.
/// </summary>
internal sealed class ToolProcess : IAsyncDisposable
{
    private const int StopMs = 5000;

    private readonly Process _process;
    private readonly Lock _writing = new();
    private readonly Task _errors;
    private string? _complaint;
    private Task? _end;

    private ToolProcess(Process process, Action<string> log)
    {
        _process = process;
        Id = process.Id;
        _errors = ReadErrorsAsync(log);
        Exited = ExitAsync();
    }

    /// <summary>The operating system's number of the process.</summary>
    public int Id { get; }

    /// <summary>What it writes to its standard output.</summary>
    public StreamReader Output => _process.StandardOutput;

    /// <summary>Done when it has ended, with its exit code.</summary>
    public Task<int> Exited { get; }

    /// <summary>The last complaint it wrote before it ended, without the tool's name; null for none.</summary>
    public string? Complaint => _complaint;

    /// <summary>Starts the tool with other arguments.</summary>
    /// <param name="log">Called with what the process writes to its error stream, but for complaints.</param>
    /// <param name="arguments">The command line.</param>
    public static ToolProcess Start(Action<string> log, params string[] arguments)
    {
        var start = new ProcessStartInfo(DotnetPath(), [typeof(ToolProcess).Assembly.Location, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
        };
        return new ToolProcess(Process.Start(start) ?? throw new ToolException($"cannot start {start.FileName}"), log);
    }

    /// <summary>Writes a line to its standard input; nothing happens where it has ended.</summary>
    public void Send(string line)
    {
        lock (_writing)
        {
            try
            {
                _process.StandardInput.WriteLine(line);
                _process.StandardInput.Flush();
            }
            catch (Exception exception) when (exception is IOException or ObjectDisposedException)
            {
                // It has ended; Exited says so.
            }
        }
    }

    /// <summary>Kills it, so that it can do nothing more (SIGKILL). Returns once the signal is sent; nothing happens where it has ended.</summary>
    public void Kill() => _process.Kill();

    /// <summary>Asks it to end, and kills it where it does not. May be called again.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_writing)
        {
            return new ValueTask(_end ??= EndAsync());
        }
    }

    private async Task EndAsync()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (IOException)
        {
            // What was buffered cannot be written to a process that has ended.
        }

        if (await Task.WhenAny(Exited, Task.Delay(StopMs)) != Exited)
        {
            _process.Kill(entireProcessTree: true);
            await Exited;
        }

        _process.Dispose();
    }

    private async Task<int> ExitAsync()
    {
        await _process.WaitForExitAsync();
        await _errors;
        return _process.ExitCode;
    }

    private async Task ReadErrorsAsync(Action<string> log)
    {
        while (await _process.StandardError.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("weir: ", StringComparison.Ordinal))
            {
                _complaint = line["weir: ".Length..];
            }
            else
            {
                log(line);
            }
        }
    }

    /// <summary>The program that runs this one's assembly: the one that does now, or the one that the runtime's folder belongs to.</summary>
    private static string DotnetPath()
    {
        string name = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";
        if (Path.GetFileName(Environment.ProcessPath) == name)
        {
            return Environment.ProcessPath!;
        }

        // root/shared/Microsoft.NETCore.App/version
        string beside = Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", name));
        return File.Exists(beside) ? beside : name;
    }
}
