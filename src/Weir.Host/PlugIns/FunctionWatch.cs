using System.Diagnostics;
using Weir.Functions;
using Weir.Server;
using Weir.World;

namespace Weir.Host.PlugIns;

/// <summary>
/// Measures the functions of users that a node runs, and watches from a thread of its own whether one comes back: the node's loop is inside it, and nobody can take it out. Where one stays for ten times its budget and a second
/// more, or for three quarters of the time after which the cluster counts the node as gone, the node is given up: the caller has to be told before it sends the call to the next server, which would stick as well.
/// </summary>
internal sealed class FunctionWatch : IFunctionTimer, IDisposable
{
    private const int LookMs = 50;
    private const long GivenUp = -1;

    // What was sent just before gets a moment to leave.
    private const int GraceMs = 100;

    private readonly long _budgetMs;
    private readonly long _nodeTimeoutMs;
    private readonly INetwork _network;
    private readonly Action<StuckFunctionException> _giveUp;
    private readonly ManualResetEventSlim _disposed = new();
    private string _function = "";
    private string _table = "";
    private LastWord _lastWord;
    private long _begun;

    // Odd while a function runs, another number for each call.
    private long _call;

    private FunctionWatch(long budgetMs, long nodeTimeoutMs, INetwork network, Action<StuckFunctionException> giveUp)
    {
        (_budgetMs, _nodeTimeoutMs, _network, _giveUp) = (budgetMs, nodeTimeoutMs, network, giveUp);

        // A thread of its own: the pool's may all be inside functions.
        new Thread(Watch) { IsBackground = true, Name = "Weir function watch" }.Start();
    }

    /// <summary>A watch over a node's functions; null where it has none.</summary>
    /// <param name="functions">The functions.</param>
    /// <param name="budgetMs">The budget of each call for the rows of one part.</param>
    /// <param name="nodeTimeoutMs">After how long a silent node counts as gone, at least four times the budget.</param>
    /// <param name="network">The node's: the caller of a function that does not come back is told.</param>
    /// <param name="giveUp">Called once, on the watch's thread, when one does not come back.</param>
    public static FunctionWatch? Over(
        IReadOnlyList<IServerFunction> functions, long budgetMs, long nodeTimeoutMs, INetwork network, Action<StuckFunctionException> giveUp) =>
        functions.Count == 0 ? null : new FunctionWatch(budgetMs, nodeTimeoutMs, network, giveUp);

    /// <summary>How long a function may stay.</summary>
    public long LimitMs => Math.Min((10 * _budgetMs) + 1000, _nodeTimeoutMs * 3 / 4);

    public long Microseconds => (long)Stopwatch.GetElapsedTime(_begun).TotalMicroseconds;

    public void Begin(string function, string table, in LastWord lastWord)
    {
        (_function, _table, _lastWord, _begun) = (function, table, lastWord, Stopwatch.GetTimestamp());
        Interlocked.Increment(ref _call);
    }

    public void End()
    {
        long call = Volatile.Read(ref _call);
        if (call == GivenUp || Interlocked.CompareExchange(ref _call, call + 1, call) != call)
        {
            // It came back after all, to a node whose segments others lead by now.
            throw new StuckFunctionException($"function {_function} came back to a server that was given up");
        }
    }

    public void Dispose() => _disposed.Set();

    // By looks and not by the clock: a process that was stopped for a while has not looked meanwhile.
    private void Watch()
    {
        long last = 0;
        for (long looks = 0; !_disposed.Wait(LookMs);)
        {
            long call = Volatile.Read(ref _call);
            looks = call == last && (call & 1) != 0 ? looks + 1 : 0;
            last = call;
            if (looks * LookMs >= LimitMs && Interlocked.CompareExchange(ref _call, GivenUp, call) == call)
            {
                GiveUp();
                return;
            }
        }
    }

    private void GiveUp()
    {
        string stuck = $"function {_function} has not come back from a run of rows of table {_table} for {LimitMs / 1000.0:0.#} s, with a budget of {_budgetMs} ms";
        _network.Send(_lastWord.Link, _lastWord.Frame(FramePool.Shared, $"{stuck}: the server has stopped, and the call is not sent to the next one, which would stop as well"));
        Thread.Sleep(GraceMs);
        _giveUp(new StuckFunctionException($"{stuck}. Where there are replicas the next servers lead what it led. Mend the function before it is called again"));
    }
}

/// <summary>A function of a user does not come back, and its node is given up with the thread that it is on.</summary>
internal sealed class StuckFunctionException(string message) : Exception(message);
