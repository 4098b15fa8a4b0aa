using Weir.World;

namespace Weir.Host.Loops;

/// <summary>
/// What waits in a loop's mailbox: a frame; or a note, which is a text where the link is down, <see cref="Room"/> where it has room again, a
/// function where somebody asks a question, <see cref="Woken"/> where something waits beside the mailbox, and null for a tick.
/// </summary>
internal readonly record struct Post(LinkId Link, FrameBuffer? Frame, object? Note)
{
    public static readonly object Room = new();

    public static readonly object Woken = new();

    // About what a note weighs in memory, the queue's entry included.
    private const int NoteBytes = 256;

    /// <summary>What it weighs against the mailbox's bound, in bytes.</summary>
    public int Bytes => Frame?.Capacity ?? NoteBytes;
}
