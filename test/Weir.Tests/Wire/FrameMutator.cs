using System.Buffers.Binary;
using System.Numerics;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Wire;

/// <summary>Breaks sound frames in the ways that a foreign or faulty peer may: bits, ends, splices, and fields at their extremes.</summary>
internal sealed class FrameMutator(IReadOnlyList<byte[]> samples, Rng rng)
{
    private static readonly ulong[] Extremes =
    [
        0, 1, 2, 6, 7, 8, 17, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000, 0xF_FFC0, 0x10_0000,
        int.MaxValue, 0x8000_0000, 0xFFFF_FFF8, uint.MaxValue, 0x2000_0000, 0x1_0000_0000, long.MaxValue, 0x8000_0000_0000_0000, ulong.MaxValue,
    ];

    private readonly byte[] _scratch = new byte[1 << 16];

    /// <summary>A mutated frame in the mutator's own memory, good until the next call.</summary>
    public Span<byte> Next()
    {
        byte[] sample = samples[rng.Below(samples.Count)];
        sample.CopyTo(_scratch.AsSpan());
        int length = sample.Length;
        int changes = 1 + rng.Below(3);
        for (int i = 0; i < changes; i++)
        {
            length = Mutate(length);
        }

        return _scratch.AsSpan(0, length);
    }

    /// <summary>Makes length and both checksums those of the bytes, so that only the fields and the body are wrong.</summary>
    public static void Reseal(Span<byte> frame)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(frame, FrameHeader.Magic);
        frame[4] = FrameHeader.Version;
        BinaryPrimitives.WriteInt32LittleEndian(frame[8..], frame.Length - FrameHeader.Size);
        BinaryPrimitives.WriteUInt64LittleEndian(frame[56..], System.IO.Hashing.XxHash3.HashToUInt64(frame[FrameHeader.Size..]));
        uint crc = uint.MaxValue;
        for (int at = 0; at < FrameHeader.Size; at += 4)
        {
            crc = at == 36 ? crc : BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(frame[at..]));
        }

        BinaryPrimitives.WriteUInt32LittleEndian(frame[36..], ~crc);
    }

    private int Mutate(int length)
    {
        if (length == 0)
        {
            return 0;
        }

        switch (rng.Below(8))
        {
            case 0:
                _scratch[rng.Below(length)] ^= (byte)(1 << rng.Below(8));
                return length;
            case 1:
                _scratch[rng.Below(length)] = (byte)rng.Next();
                return length;
            case 2:
                return rng.Below(length + 1);
            case 3:
                // A splice: the head of this frame, then the tail of another.
                byte[] other = samples[rng.Below(samples.Count)];
                int cut = rng.Below(Math.Min(length, other.Length) + 1);
                other.AsSpan(cut).CopyTo(_scratch.AsSpan(cut));
                return other.Length;
            case 4:
                int more = 1 + rng.Below(64);
                for (int i = 0; i < more; i++)
                {
                    _scratch[length + i] = (byte)rng.Next();
                }

                return length + more;
            default:
                // Fields are aligned: lengths and counts are met often.
                ulong extreme = Extremes[rng.Below(Extremes.Length)];
                int bytes = 1 << rng.Below(4);
                int at = length < bytes ? 0 : rng.Below(length / bytes) * bytes;
                for (int i = 0; i < bytes && at + i < length; i++)
                {
                    _scratch[at + i] = (byte)(extreme >> (8 * i));
                }

                return length;
        }
    }
}
