namespace Weir.Keys;

/// <summary>A closed interval of the hashed key space, [First, Last] in <see cref="Mix"/> order: closed, so that the top key belongs to somebody.</summary>
internal readonly record struct KeyRange(ulong First, ulong Last)
{
    public static readonly KeyRange All = new(0, ulong.MaxValue);

    /// <summary>The slice of segment <paramref name="segment"/> among 2^<paramref name="segmentBits"/>.</summary>
    public static KeyRange OfSegment(int segment, int segmentBits)
    {
        int shift = 64 - segmentBits;
        ulong first = (ulong)segment << shift;
        return new KeyRange(first, first | ((1UL << shift) - 1));
    }

    public bool Contains(ulong mixed) => mixed >= First && mixed <= Last;
}
