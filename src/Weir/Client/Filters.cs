namespace Weir.Client;

/// <summary>
/// What makes a client's requests and their answers shorter without changing what they say, bit for bit. Each part of a request is written
/// in the shortest form that the filters allow, and as it is where none is shorter.
/// </summary>
[Flags]
public enum Filters
{
    /// <summary>Every request carries its keys, 8 bytes each, and every float its 4 bytes.</summary>
    None = 0,

    /// <summary>
    /// A list of 8 keys or more that a server has answered before is named by 16 bytes instead of sent. For keys that come again: a push
    /// after the pull of the same keys, and every further pass over the same data. A server that has forgotten it asks for the keys.
    /// </summary>
    KeyCache = 1,

    /// <summary>
    /// Keys in as many bits as the widest needs: their own, where they are small numbers, or those of the gaps between their hashes, where a
    /// request has many.
    /// </summary>
    DeltaVarint = 2,

    /// <summary>A bit for each float, and only the floats that are not zero. For sparse gradients, and for pulls of models with many zeros.</summary>
    ZeroBitmap = 4,

    /// <summary>All of them.</summary>
    Lossless = KeyCache | DeltaVarint | ZeroBitmap,
}
