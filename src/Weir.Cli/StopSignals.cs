using System.Runtime.InteropServices;

namespace Weir.Cli;

/// <summary>
/// Ctrl+C (SIGINT) and SIGTERM: the first asks the command to stop cleanly, the second ends the process at once. Thread-safe.
/// </summary>
internal sealed class StopSignals : IDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private string? _reason;

    /// <summary>Cancelled by the first signal.</summary>
    public CancellationToken Token => _stop.Token;

    /// <summary>What stopped the command, for people: Ctrl+C or SIGTERM.</summary>
    public string Reason => _reason ?? "request";

    /// <summary>
    /// Whether SIGINT is passed over: a terminal sends Ctrl+C to the whole group, and a child process is stopped by its parent alone.
    /// </summary>
    public bool IgnoresInterrupt { get; set; }

    /// <summary>Begins to listen.</summary>
    public static StopSignals Listen()
    {
        var signals = new StopSignals();
        signals._registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, signals.OnSignal));
        signals._registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, signals.OnSignal));
        return signals;
    }

    /// <summary>Asks the command to stop.</summary>
    public void Stop(string reason)
    {
        Interlocked.CompareExchange(ref _reason, reason, null);
        _stop.Cancel();
    }

    public void Dispose()
    {
        _registrations.ForEach(registration => registration.Dispose());
        _stop.Dispose();
    }

    private void OnSignal(PosixSignalContext context)
    {
        context.Cancel = true;
        if (context.Signal == PosixSignal.SIGINT && IgnoresInterrupt)
        {
            return;
        }

        if (_stop.IsCancellationRequested)
        {
            // Children see their pipe from this process close, and end too.
            Environment.Exit(ExitCode.Failed);
        }

        Stop(context.Signal == PosixSignal.SIGINT ? "Ctrl+C" : "SIGTERM");
    }
}
