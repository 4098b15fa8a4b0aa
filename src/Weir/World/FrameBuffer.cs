namespace Weir.World;

/// <summary>
/// One frame's bytes in a pooled array, with a count of those who hold it: a receiver, a send queue, the retry list.
/// Whoever gets a buffer holds one reference; <see cref="Release"/> gives it back, and the last one returns the array to its pool.
/// The count is thread-safe; the bytes are written before the buffer is shared and never after.
/// </summary>
internal sealed class FrameBuffer
{
    private readonly FramePool _pool;
    private readonly byte[] _bytes;
    private int _references;

    internal FrameBuffer(FramePool pool, int capacity, int sizeClass)
    {
        _pool = pool;
        // Pinned once at birth: sockets and native code then need no pin for each operation.
        _bytes = GC.AllocateUninitializedArray<byte>(capacity, pinned: true);
        SizeClass = sizeClass;
    }

    internal int SizeClass { get; }

    /// <summary>Bytes in use, header included; set by whoever fills the buffer.</summary>
    public int Length { get; set; }

    public int Capacity => _bytes.Length;

    public Span<byte> Span => _bytes.AsSpan(0, Length);

    public Span<byte> Whole => _bytes;

    public Memory<byte> Memory => _bytes.AsMemory(0, Length);

    public byte[] Array => _bytes;

    public FrameBuffer Retain()
    {
        Invariant.That(Interlocked.Increment(ref _references) > 1, "a frame buffer is retained only by one who holds it");
        return this;
    }

    public void Release()
    {
        int left = Interlocked.Decrement(ref _references);
        Invariant.That(left >= 0, "a frame buffer is released once by each holder");
        if (left == 0)
        {
            _pool.Return(this);
        }
    }

    internal void Rented(int length)
    {
        Length = length;
        Volatile.Write(ref _references, 1);
    }
}

/// <summary>
/// Frame buffers in five sizes. A fresh 256 KB array a message costs 25 to 60 times in throughput (measured), so arrays are kept.
/// Thread-safe. Bounded: what does not fit the bound goes to the garbage collector.
/// </summary>
internal sealed class FramePool
{
    /// <summary>The largest frame, header included (design R25): one Receive is bounded work.</summary>
    public const int MaxFrameBytes = 1 << 20;

    private static readonly int[] Capacities = [512, 4096, 32768, 262144, MaxFrameBytes];

    // Kept per size: about 50 MiB in all at the most.
    private static readonly int[] Kept = [4096, 1024, 128, 32, 32];

    private readonly Stack<FrameBuffer>[] _free = [.. Capacities.Select(_ => new Stack<FrameBuffer>())];
    private long _rented;

    public static FramePool Shared { get; } = new();

    /// <summary>Buffers out now: a test compares it before and after to find a leak.</summary>
    public long Rented => Volatile.Read(ref _rented);

    /// <summary>A buffer of at least <paramref name="length"/> bytes, its Length set to that. The caller holds one reference.</summary>
    public FrameBuffer Rent(int length)
    {
        Invariant.That(length is >= 0 and <= MaxFrameBytes, "a frame is at most 1 MiB");
        int sizeClass = 0;
        while (Capacities[sizeClass] < length)
        {
            sizeClass++;
        }

        FrameBuffer? buffer;
        Stack<FrameBuffer> free = _free[sizeClass];
        lock (free)
        {
            free.TryPop(out buffer);
        }

        buffer ??= new FrameBuffer(this, Capacities[sizeClass], sizeClass);
        buffer.Rented(length);
        Interlocked.Increment(ref _rented);
        return buffer;
    }

    internal void Return(FrameBuffer buffer)
    {
        Interlocked.Decrement(ref _rented);
        Stack<FrameBuffer> free = _free[buffer.SizeClass];
        lock (free)
        {
            if (free.Count < Kept[buffer.SizeClass])
            {
                free.Push(buffer);
            }
        }
    }
}
