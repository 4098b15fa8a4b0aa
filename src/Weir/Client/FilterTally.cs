using Weir.Wire;

namespace Weir.Client;

/// <summary>What each filter made of the bytes that it was used on. Guarded by the client's gate.</summary>
internal sealed class FilterTally
{
    private readonly SortedDictionary<string, (long In, long Out)> _bytes = new(StringComparer.Ordinal);

    /// <summary>In the order of their names.</summary>
    public IReadOnlyList<FilterBytes> All => [.. _bytes.Select(filter => new FilterBytes(filter.Key, filter.Value.In, filter.Value.Out))];

    /// <summary>A filter got so many bytes and gave so many.</summary>
    public void Count(string filter, long bytesIn, long bytesOut)
    {
        (long countedIn, long countedOut) = _bytes.GetValueOrDefault(filter);
        _bytes[filter] = (countedIn + bytesIn, countedOut + bytesOut);
    }

    /// <summary>A list of keys was written.</summary>
    public void CountKeys(KeyEncoding encoding, int keys, int bytes)
    {
        if (encoding == KeyEncoding.Cached)
        {
            Count(FilterNames.KeyCache, keys * (long)sizeof(ulong), bytes);
        }
        else if (encoding is KeyEncoding.PackedDelta or KeyEncoding.Packed)
        {
            Count(FilterNames.DeltaVarint, keys * (long)sizeof(ulong), bytes);
        }
    }

    /// <summary>Values were written, or came so: first zeros were left out, then what was left was rounded, and then all became a block.</summary>
    public void CountValues(ValueEncoding encoding, int floats, ReadOnlySpan<byte> written)
    {
        long bytes = written.Length, plain = floats * (long)sizeof(float);
        if ((encoding & ValueEncoding.Lz4) != 0)
        {
            int within = Lz4Bytes.BytesWithin(written);
            Count(FilterNames.Lz4, within, bytes);
            bytes = within;
        }

        ValueEncoding numbers = encoding & ~(ValueEncoding.Lz4 | ValueEncoding.ZeroBitmap);
        if ((encoding & ValueEncoding.ZeroBitmap) != 0)
        {
            // How many floats were kept follows from the bytes that they take, to the padding.
            long bitmap = ZeroBitmap.Words(floats) * (long)sizeof(ulong), packed = bytes - bitmap;
            long kept = numbers switch
            {
                ValueEncoding.BFloat16 => packed * 2,
                ValueEncoding.Int8 => packed * Int8Values.Block * sizeof(float) / ValueEncodings.Bytes(ValueEncoding.Int8, Int8Values.Block),
                _ => packed,
            };
            Count(FilterNames.ZeroBitmap, plain, kept + bitmap);
            (plain, bytes) = (kept, packed);
        }

        if (numbers != ValueEncoding.Raw)
        {
            Count(numbers == ValueEncoding.Int8 ? FilterNames.RoundToInt8 : FilterNames.RoundToBFloat16, plain, bytes);
        }
    }
}

/// <summary>What the filters of <see cref="Filters"/> are called on command lines and in reports.</summary>
public static class FilterNames
{
    /// <summary><see cref="Filters.KeyCache"/>.</summary>
    public const string KeyCache = "key-cache";

    /// <summary><see cref="Filters.DeltaVarint"/>.</summary>
    public const string DeltaVarint = "varint";

    /// <summary><see cref="Filters.ZeroBitmap"/>.</summary>
    public const string ZeroBitmap = "zero";

    /// <summary><see cref="Filters.RoundToBFloat16"/>.</summary>
    public const string RoundToBFloat16 = "bf16";

    /// <summary><see cref="Filters.RoundToInt8"/>.</summary>
    public const string RoundToInt8 = "int8";

    /// <summary><see cref="Filters.Lz4"/>.</summary>
    public const string Lz4 = "lz4";
}
