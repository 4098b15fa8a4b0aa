using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Measures the functions of users, which may take any time, while a node's turn stands still: the core has no clock of its own. A host may also watch from outside whether one comes back. One call at a time.
/// </summary>
internal interface IFunctionTimer
{
    /// <summary>Since the last <see cref="Begin"/>, in microseconds.</summary>
    long Microseconds { get; }

    /// <summary>A function is about to run.</summary>
    /// <param name="function">Its name.</param>
    /// <param name="table">The table whose rows it is given.</param>
    /// <param name="lastWord">What to tell the caller where it does not come back.</param>
    void Begin(string function, string table, in LastWord lastWord);

    /// <summary>It has come back, or thrown. Whoever watches may have given the node up meanwhile, and throws: then nothing of the turn goes on.</summary>
    void End();
}

/// <summary>
/// What a node says of the call that it never comes back from: that its session is to be given up. A client that heard nothing would send the call to the next of the chain, which would not come back either.
/// </summary>
/// <param name="Link">The way to the caller.</param>
/// <param name="Header">The header of the answer.</param>
/// <param name="Part">The part's outcome, without its text.</param>
internal readonly record struct LastWord(LinkId Link, FrameHeader Header, PartReply Part)
{
    /// <summary>The frame, of which the caller holds one reference.</summary>
    public FrameBuffer Frame(FramePool pool, string text) => Frames.Build(pool, Header, new PushReplyBody([Part with { Text = text }]));
}

/// <summary>Where no time passes while a node works, as in a simulation: every function is in time.</summary>
internal sealed class UntimedFunctions : IFunctionTimer
{
    public static readonly UntimedFunctions Instance = new();

    public long Microseconds => 0;

    public void Begin(string function, string table, in LastWord lastWord)
    {
    }

    public void End()
    {
    }
}
