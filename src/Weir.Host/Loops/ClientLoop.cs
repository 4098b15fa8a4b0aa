using Microsoft.Extensions.Logging;
using Weir.Wire;
using Weir.World;

namespace Weir.Host.Loops;

/// <summary>
/// Drives a machine that guards itself, such as the client: frames go to it on the thread that brings them, from several connections at
/// once, and a thread of its own calls its Tick. An exception out of the machine ends the loop and fails <see cref="Completion"/>. Thread-safe.
/// </summary>
internal sealed class ClientLoop : IFrameSink, IAsyncDisposable
{
    private readonly IMachine _machine;
    private readonly ITimers _timers;
    private readonly ILogger _log;
    private readonly FramePool _pool;
    private readonly string _name;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _lastTick = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ManualResetEventSlim _ended = new(initialState: false, spinCount: 0);

    /// <param name="machine">A machine that may be called from any thread.</param>
    /// <param name="timers">Tells the machine the time.</param>
    /// <param name="log">Hears of a failure.</param>
    /// <param name="name">The client's name in logs.</param>
    /// <param name="pool">Where <see cref="Place"/> rents; null is the shared one.</param>
    public ClientLoop(IMachine machine, ITimers timers, ILogger log, string name, FramePool? pool = null)
    {
        _machine = machine;
        _timers = timers;
        _log = log;
        _name = name;
        _pool = pool ?? FramePool.Shared;

        // Not on the thread pool: where whoever uses the client keeps all of the pool's threads busy, its process would fall silent, and count as gone (design R6).
        var ticker = new Thread(RunTicks) { IsBackground = true, Name = $"ticks of {name}" };
        ticker.Start();
    }

    /// <summary>Ends when the loop was disposed; fails with the exception that came out of the machine.</summary>
    public Task Completion => _completion.Task;

    /// <inheritdoc/>
    public FrameBuffer Place(in FrameHeader header) => _pool.Rent(FrameHeader.Size + header.BodyLength);

    /// <inheritdoc/>
    public void Receive(LinkId link, FrameBuffer frame)
    {
        if (Completion.IsCompleted)
        {
            frame.Release();
            return;
        }

        Turn.Enter();
        try
        {
            _machine.Receive(link, frame, _timers.Now);
        }
        catch (Exception fault)
        {
            Fail(fault);
        }
        finally
        {
            Turn.Exit();
        }
    }

    /// <inheritdoc/>
    public void EndReceive() => RunTurn(null, LinkId.None, null);

    /// <inheritdoc/>
    public void LinkDown(LinkId link, string reason) => RunTurn(static (loop, down, why) => loop._machine.LinkDown(down, why!, loop._timers.Now), link, reason);

    /// <inheritdoc/>
    public void LinkHasRoom(LinkId link) => ThreadPool.UnsafeQueueUserWorkItem(
        static told => told.Loop.RunTurn(static (loop, has, _) => loop._machine.LinkHasRoom(has, loop._timers.Now), told.Link, null),
        (Loop: this, Link: link),
        preferLocal: true);

    /// <inheritdoc/>
    public ValueTask RoomAsync() => ValueTask.CompletedTask;

    /// <summary>Stops ticking and drops what still comes in.</summary>
    public async ValueTask DisposeAsync()
    {
        _completion.TrySetResult();
        _ended.Set();
        await _lastTick.Task.ConfigureAwait(false);
    }

    private void RunTicks()
    {
        while (!_ended.Wait(IMachine.TickMs))
        {
            RunTurn(static (loop, _, _) => loop._machine.Tick(loop._timers.Now), LinkId.None, null);
        }

        _lastTick.TrySetResult();
    }

    private void RunTurn(Action<ClientLoop, LinkId, string?>? call, LinkId link, string? reason)
    {
        if (Completion.IsCompleted)
        {
            return;
        }

        Turn.Enter();
        try
        {
            call?.Invoke(this, link, reason);
            _machine.EndTurn();
        }
        catch (Exception fault)
        {
            Fail(fault);
        }
        finally
        {
            Turn.Exit();
        }
    }

    private void Fail(Exception fault)
    {
        Log.ClientFailed(_log, fault, _name);
        _completion.TrySetException(fault);
        _ended.Set();
    }
}
