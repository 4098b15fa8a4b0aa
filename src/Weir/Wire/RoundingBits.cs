using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// The chance in random rounding: 32 bits for each float of a part or piece, which follow from a seed and the float's place alone, so that
/// whoever writes the same floats again writes the same bytes (design R14, R21). Two rounds of multiply and shift over a counter, with the
/// constants that Wellons found to have the least bias (Prospecting for Hash Functions, 2018).
/// </summary>
internal readonly struct RoundingBits(ulong seed)
{
    private const uint Step = 0x9E37_79B9;
    private const uint First = 0x21F0_AAAD;
    private const uint Second = 0xD35A_2D97;

    private readonly uint _begin = (uint)seed;
    private readonly uint _key = (uint)(seed >> 32);

    /// <summary>The seed of a part of a push: the worker's redo of it, in whichever session, has the same.</summary>
    /// <param name="group">The worker's job; 0 for who pushes without one, who redoes nothing.</param>
    /// <param name="worker">The worker, or without a job the session.</param>
    /// <param name="table">The part's table.</param>
    /// <param name="segment">The part's segment.</param>
    /// <param name="seq">The push and the piece.</param>
    public static ulong OfPush(uint group, ulong worker, uint table, uint segment, Seq seq)
    {
        ulong who = Mix.Of(worker, group);
        ulong where = Mix.Of(((ulong)table << 32) | segment, who);
        return Mix.Of(((ulong)seq.Push << 32) | seq.Piece, Mix.Of((ulong)seq.Iteration, where));
    }

    /// <summary>The seed of a piece of a pull's answer.</summary>
    /// <param name="table">The piece's table.</param>
    /// <param name="segment">The piece's segment.</param>
    /// <param name="moment">The asker's iteration, or without one where the rows stand in the segment's log.</param>
    /// <param name="firstKey">The first key of the piece.</param>
    public static ulong OfPull(uint table, uint segment, ulong moment, ulong firstKey) =>
        Mix.Of(firstKey, Mix.Of(moment, Mix.Of(((ulong)table << 32) | segment)));

    /// <summary>The bits of one float.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public uint At(int index)
    {
        uint z = ((uint)index * Step) + _begin;
        z = (z ^ (z >> 16) ^ _key) * First;
        z = (z ^ (z >> 15)) * Second;
        return z ^ (z >> 15);
    }

    /// <summary>Those of the float at the index and of the seven behind it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Vector256<uint> EightAt(int index)
    {
        Vector256<uint> z = ((Vector256<uint>.Indices + Vector256.Create((uint)index)) * Step) + Vector256.Create(_begin);
        z = (z ^ (z >>> 16) ^ Vector256.Create(_key)) * First;
        z = (z ^ (z >>> 15)) * Second;
        return z ^ (z >>> 15);
    }
}
