using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Weir.World;

namespace Weir.Host.Disk;

/// <summary>
/// Writes pieces of memory to a file past the system's cache (<see cref="DurableFiles.TrySetDirect"/>), through memory of its own that is aligned
/// and used again. For one file at a time; not thread-safe.
/// </summary>
internal sealed unsafe class DirectWriter : IDisposable
{
    /// <summary>Bytes of a write: a disk reaches its rate with a few MiB at a time.</summary>
    private const int ChunkBytes = 4 << 20;

    private readonly byte* _chunk = (byte*)NativeMemory.AlignedAlloc(ChunkBytes, DurableFiles.DirectAlignment);
    private int _filled;
    private long _offset;

    /// <summary>Writes a file from its beginning.</summary>
    /// <returns>False where its file system has no such writes, and nothing was written.</returns>
    public bool TryWrite(SafeFileHandle file, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        if (!DurableFiles.TrySetDirect(file, true))
        {
            return false;
        }

        (_filled, _offset) = (0, 0);
        foreach (ReadOnlyMemory<byte> piece in pieces)
        {
            ReadOnlySpan<byte> left = piece.Span;
            while (left.Length > 0)
            {
                int count = Math.Min(left.Length, ChunkBytes - _filled);
                left[..count].CopyTo(new Span<byte>(_chunk + _filled, count));
                left = left[count..];
                _filled += count;
                if (_filled == ChunkBytes)
                {
                    cancellation.ThrowIfCancellationRequested();
                    Write(file, 0, ChunkBytes);
                    _filled = 0;
                }
            }
        }

        int aligned = _filled / DurableFiles.DirectAlignment * DurableFiles.DirectAlignment;
        if (aligned > 0)
        {
            Write(file, 0, aligned);
        }

        if (_filled > aligned)
        {
            Invariant.That(DurableFiles.TrySetDirect(file, false), "a file that let go of the cache takes it again");
            Write(file, aligned, _filled - aligned);
        }

        return true;
    }

    public void Dispose() => NativeMemory.AlignedFree(_chunk);

    private void Write(SafeFileHandle file, int from, int bytes)
    {
        RandomAccess.Write(file, new ReadOnlySpan<byte>(_chunk + from, bytes), _offset);
        _offset += bytes;
    }
}
