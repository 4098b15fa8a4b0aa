using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Weir.Client;

/// <summary>
/// The last few long key lists, cut. A worker pushes the keys that it has just pulled, and passes over the same data repeat their lists
/// (the observation behind key caching, Li et al. 2013 section 4.4); comparing costs a fraction of sorting. Thread-safe.
/// </summary>
internal sealed class RecentCuts
{
    /// <summary>Shorter lists are cut as fast as they are found.</summary>
    public const int SmallestKeys = 512;

    private const int Lists = 8;

    // Two lists of a million keys.
    private const long MaxBytes = 64L << 20;

    private readonly Lock _gate = new();
    private readonly Queue<KeySlices> _recent = new();
    private long _bytes;

    /// <summary>The cut of the keys, new or from before. The caller holds one reference.</summary>
    public KeySlices Cut(ReadOnlySpan<ulong> keys)
    {
        if (keys.Length < SmallestKeys)
        {
            return KeySlices.Cut(keys);
        }

        ulong fingerprint = XxHash3.HashToUInt64(MemoryMarshal.AsBytes(keys));
        if (Find(keys.Length, fingerprint) is { } known)
        {
            if (known.IsOf(keys))
            {
                return known;
            }

            known.Dispose();
        }

        var slices = KeySlices.Cut(keys, fingerprint);
        Keep(slices);
        return slices;
    }

    /// <summary>A list that is worth comparing, which is done outside the gate; held for the caller.</summary>
    private KeySlices? Find(int keys, ulong fingerprint)
    {
        lock (_gate)
        {
            foreach (KeySlices recent in _recent)
            {
                if (recent.MayBeOf(keys, fingerprint))
                {
                    return recent.Retain();
                }
            }
        }

        return null;
    }

    private void Keep(KeySlices slices)
    {
        if (slices.Bytes > MaxBytes)
        {
            return;
        }

        lock (_gate)
        {
            _recent.Enqueue(slices.Retain());
            _bytes += slices.Bytes;
            while (_recent.Count > Lists || _bytes > MaxBytes)
            {
                KeySlices oldest = _recent.Dequeue();
                _bytes -= oldest.Bytes;
                oldest.Dispose();
            }
        }
    }
}
