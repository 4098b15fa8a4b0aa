namespace Weir.Client;

/// <summary>
/// What makes a client's requests and their answers shorter. The lossless ones change nothing of what they say, bit for bit; <see cref="RoundToBFloat16"/> and
/// <see cref="RoundToInt8"/>, of which one at most may be named, round floats, but never rows of tables that hold bits (the rules Count, Union and Score). Each part of a request is written in the shortest form that the filters allow,
/// and as it is where none is shorter.
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

    /// <summary>All that change no bit.</summary>
    Lossless = KeyCache | DeltaVarint | ZeroBitmap,

    /// <summary>
    /// Floats pushed as updates and floats pulled take two bytes (bfloat16), rounded at random to one of their two neighbours so that the
    /// expectation is the float: off by less than 2^-7 of it. What is set (<c>SetAsync</c>) and what is scanned is never rounded, nor a part
    /// of a request or answer with a value that is not finite.
    /// </summary>
    RoundToBFloat16 = 8,

    /// <summary>
    /// The same in a byte and a sixteenth: 64 floats share a step, a 127th of the largest magnitude among them, and each is off by at most one step.
    /// A worker that redoes an iteration rounds as before, so that a delay bound of 0 gives the same bits again (design R21).
    /// </summary>
    RoundToInt8 = 16,

    /// <summary>
    /// The bytes of values that the others leave, as a block of LZ4 where that is shorter: for rows that repeat or of few digits, on links slower than a gigabit a second. It writes at well below 1 GB/s a core,
    /// where the others write at several, and gains nothing on gradients; so it is none of <see cref="Lossless"/>, though it changes no bit.
    /// </summary>
    Lz4 = 32,
}
