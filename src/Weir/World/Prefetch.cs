using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Weir.World;

/// <summary>
/// Asks the processor to bring a cache line in before it is needed. A hint: it changes no result, faults on no address, and is nothing
/// where the instruction does not exist. The distances are those at which throughput levelled off at 10^7 rows (one thread, Zen 4).
/// </summary>
internal static unsafe class Prefetch
{
    /// <summary>How many keys ahead of the probe an index slot is asked for.</summary>
    public const int IndexDistance = 24;

    /// <summary>How many rows ahead of the copy a row is asked for.</summary>
    public const int RowDistance = 14;

    /// <summary>A row's further lines follow by the hardware's own prefetch once the first four are asked for.</summary>
    private const int MostLines = 4;

    private const int LineBytes = 64;

    /// <summary>Asks for the line that holds <paramref name="address"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Line(void* address)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
        }
    }

    /// <summary>Asks for the first lines of <paramref name="bytes"/> bytes, and for the last where they straddle a line's end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Row(byte* address, int bytes)
    {
        if (Sse.IsSupported)
        {
            Sse.Prefetch0(address);
            byte* last = address + Math.Min(bytes, MostLines * LineBytes) - 1;
            for (byte* line = address + LineBytes; line < last; line += LineBytes)
            {
                Sse.Prefetch0(line);
            }

            Sse.Prefetch0(last);
        }
    }
}
