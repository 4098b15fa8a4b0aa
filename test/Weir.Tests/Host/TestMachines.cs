using System.Collections.Concurrent;
using System.Threading.Channels;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>Sends every frame back over its link, at once or at the end of the turn.</summary>
internal sealed class EchoMachine(INetwork network, bool atEndOfTurn = true) : IMachine
{
    private readonly List<(LinkId Link, FrameBuffer Frame)> _answers = [];

    public ConcurrentQueue<string> Downs { get; } = new();

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        if (atEndOfTurn)
        {
            _answers.Add((link, frame));
        }
        else
        {
            network.Send(link, frame);
        }
    }

    public void LinkDown(LinkId link, string reason, Instant now) => Downs.Enqueue(reason);

    public void Tick(Instant now)
    {
    }

    public void EndTurn()
    {
        foreach ((LinkId link, FrameBuffer frame) in _answers)
        {
            network.Send(link, frame);
        }

        _answers.Clear();
    }
}

/// <summary>Keeps what comes in for a test to read. May be called from any thread.</summary>
internal sealed class ListeningMachine : IMachine
{
    private readonly Channel<FrameBuffer> _frames = Channel.CreateUnbounded<FrameBuffer>();
    private readonly Channel<(LinkId Link, string Reason)> _downs = Channel.CreateUnbounded<(LinkId, string)>();

    public void Receive(LinkId link, FrameBuffer frame, Instant now) => _frames.Writer.TryWrite(frame);

    public void LinkDown(LinkId link, string reason, Instant now) => _downs.Writer.TryWrite((link, reason));

    public void Tick(Instant now)
    {
    }

    public void EndTurn()
    {
    }

    /// <summary>The next frame; the caller releases it.</summary>
    public Task<FrameBuffer> NextAsync() => _frames.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience);

    /// <summary>Gives back what nobody read.</summary>
    public void ReleaseAll()
    {
        while (_frames.Reader.TryRead(out FrameBuffer? frame))
        {
            frame.Release();
        }
    }

    public async Task<string> NextDownAsync() => (await _downs.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask().WaitAsync(Patience)).Reason;

    /// <summary>Long enough for a loaded machine; a test that waits this long has failed.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
}

/// <summary>Completes a task for each answer, by request id.</summary>
internal sealed class CallingMachine(INetwork network) : IMachine
{
    private readonly ConcurrentDictionary<ulong, TaskCompletionSource<int>> _calls = new();

    public Task<int> CallAsync(LinkId link, FrameBuffer frame)
    {
        var call = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        _calls[TestFrames.RequestId(frame)] = call;
        network.Send(link, frame);
        return call.Task.WaitAsync(ListeningMachine.Patience);
    }

    public void Receive(LinkId link, FrameBuffer frame, Instant now)
    {
        if (_calls.TryRemove(TestFrames.RequestId(frame), out TaskCompletionSource<int>? call))
        {
            call.TrySetResult(frame.Length);
        }

        frame.Release();
    }

    public void LinkDown(LinkId link, string reason, Instant now)
    {
        foreach (TaskCompletionSource<int> call in _calls.Values)
        {
            call.TrySetException(new IOException(reason));
        }
    }

    public void Tick(Instant now)
    {
    }

    public void EndTurn()
    {
    }
}
