namespace Weir.Host.Loops;

/// <summary>
/// Marks that this thread is inside a machine's turn. Two things rest on it: what the turn sends over one connection leaves in one write
/// at its end, and a loop that is woken from within a turn runs on the thread pool, so that loops that talk to each other never nest.
/// </summary>
internal static class Turn
{
    [ThreadStatic]
    private static int _depth;

    [ThreadStatic]
    private static List<IThreadPoolWorkItem>? _atEnd;

    public static bool IsInside => _depth > 0;

    public static void Enter() => _depth++;

    public static void Exit()
    {
        if (--_depth > 0 || _atEnd is not { Count: > 0 } work)
        {
            return;
        }

        // What runs here only writes to sockets: it calls no machine and so begins no turn.
        foreach (IThreadPoolWorkItem item in work)
        {
            item.Execute();
        }

        work.Clear();
    }

    /// <summary>True where the work will be done when this thread's turn ends; false outside a turn.</summary>
    public static bool TryDefer(IThreadPoolWorkItem work)
    {
        if (!IsInside)
        {
            return false;
        }

        (_atEnd ??= []).Add(work);
        return true;
    }
}
