using System.Buffers;

namespace Weir.Tests.Client;

/// <summary>A caller's buffer that tells who looks into it, and counts those who do so after the call has given it back.</summary>
internal sealed class WatchedBuffer<T>(int length) : MemoryManager<T>
{
    private readonly T[] _array = new T[length];

    /// <summary>Whether the call has ended, from when on the buffer is its caller's alone.</summary>
    public Func<bool> HasEnded { get; set; } = () => false;

    /// <summary>Called at each look, before it.</summary>
    public Action Looked { get; set; } = () => { };

    /// <summary>Looks after the call had ended.</summary>
    public int LooksAfterTheEnd { get; private set; }

    public override Span<T> GetSpan()
    {
        Looked();
        LooksAfterTheEnd += HasEnded() ? 1 : 0;
        return _array;
    }

    // What is watched are the looks of callers; nobody may hold the array beyond one.
    public override MemoryHandle Pin(int elementIndex = 0) => throw new NotSupportedException();

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
