using System.Buffers.Binary;
using System.Runtime.Intrinsics;
using Weir.Keys;

namespace Weir.Store;

/// <summary>
/// How often the absent keys of a segment were pushed, about: the count-min sketch of Cormode and Muthukrishnan 2005 as Li et al. 2014,
/// algorithm 4, have it, in bounded memory. It never counts too few since the last halving, so that a key is admitted early at times
/// and never late. Not thread-safe.
/// </summary>
/// <remarks>
/// Four rows of 16 one-byte counters share a cache line, and a key's line is picked by its hash, so that a sighting costs one miss
/// (blocked as the Bloom filters of Putze, Sanders and Singler 2007). Only the least of a key's counters rise (conservative update,
/// Estan and Varghese 2002), and all are halved after a window of sightings (the reset of TinyLFU, Einziger, Friedman and Manes 2017).
/// Everything follows from the order of sightings alone, so that members of a chain agree.
/// </remarks>
internal sealed unsafe class AdmissionSketch(RowLifetime lifetime, MemoryBudget budget) : IDisposable
{
    private const int LineBytes = 64;
    private const int HeaderBytes = 4;

    private byte* _counters;
    private uint _sightings;

    /// <summary>The native bytes now: none before the first sighting.</summary>
    public long Bytes => _counters is null ? 0 : lifetime.SketchBytes;

    /// <summary>The bytes that <see cref="Begin"/> still has to get.</summary>
    public long MissingBytes => lifetime.SketchBytes - Bytes;

    /// <summary>The bytes that <see cref="WriteState"/> writes.</summary>
    public int StateBytes => _counters is null ? 0 : HeaderBytes + lifetime.SketchBytes;

    /// <summary>Gets the counters, for whose <see cref="MissingBytes"/> the caller has paid.</summary>
    public void Begin()
    {
        if (_counters is null)
        {
            _counters = budget.Memory.Allocate(lifetime.SketchBytes);
        }
    }

    /// <summary>True where one more sighting is enough for a row.</summary>
    public bool Admits(ulong mixed)
    {
        if (_counters is null)
        {
            return lifetime.AdmitAfterSightings <= 1;
        }

        ulong hash = Mix.Of(mixed);
        return Least(Line(hash), hash) + 1 >= lifetime.AdmitAfterSightings;
    }

    /// <summary>Counts a push of a key that has no row. <see cref="Begin"/> came before.</summary>
    public void Sight(ulong mixed)
    {
        // M[i, hash_i(x)] += 1 for those of the i whose count is the least; query = min over i.
        ulong hash = Mix.Of(mixed);
        byte* line = Line(hash);
        int least = Least(line, hash);
        for (int i = 0; i < 4; i++)
        {
            byte* counter = Counter(line, hash, i);
            if (*counter == least && least < byte.MaxValue)
            {
                (*counter)++;
            }
        }

        if (++_sightings >= lifetime.SightingsWindow)
        {
            Halve();
        }
    }

    /// <summary>Writes the sketch for a copy of the segment: sightings since the last halving (4 bytes), then the counters.</summary>
    public void WriteState(Span<byte> state)
    {
        if (_counters is not null)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(state, _sightings);
            new ReadOnlySpan<byte>(_counters, lifetime.SketchBytes).CopyTo(state[HeaderBytes..]);
        }
    }

    /// <summary>
    /// Takes over a sketch that <see cref="WriteState"/> wrote, in place of its own. False, with nothing changed, where it is none of this
    /// table's size or the budget has no room for it.
    /// </summary>
    public bool TryReadState(ReadOnlySpan<byte> state)
    {
        if (state.IsEmpty)
        {
            Dispose();
            return true;
        }

        if (state.Length != HeaderBytes + lifetime.SketchBytes
            || BinaryPrimitives.ReadUInt32LittleEndian(state) >= lifetime.SightingsWindow
            || !budget.TryTake(MissingBytes))
        {
            return false;
        }

        Begin();
        _sightings = BinaryPrimitives.ReadUInt32LittleEndian(state);
        state[HeaderBytes..].CopyTo(new Span<byte>(_counters, lifetime.SketchBytes));
        return true;
    }

    /// <summary>Forgets all sightings and gives the bytes back.</summary>
    public void Dispose()
    {
        if (_counters is not null)
        {
            budget.Memory.Free(_counters, lifetime.SketchBytes);
            budget.Give(lifetime.SketchBytes);
            _counters = null;
        }

        _sightings = 0;
    }

    private static byte* Counter(byte* line, ulong hash, int row) => line + (16 * row) + ((hash >> (4 * row)) & 15);

    private static int Least(byte* line, ulong hash)
    {
        int least = byte.MaxValue;
        for (int i = 0; i < 4; i++)
        {
            least = Math.Min(least, *Counter(line, hash, i));
        }

        return least;
    }

    private byte* Line(ulong hash) => _counters + (Math.BigMul(hash, (ulong)(lifetime.SketchBytes / LineBytes), out _) * LineBytes);

    private void Halve()
    {
        _sightings = 0;
        for (int at = 0; at < lifetime.SketchBytes; at += Vector256<byte>.Count)
        {
            (Vector256.Load(_counters + at) >> 1).Store(_counters + at);
        }
    }
}
