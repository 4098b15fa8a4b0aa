using CsCheck;
using Weir.Keys;

namespace Weir.Tests.Keys;

public class MixTests
{
    /// <summary>The first five outputs of splitmix64 from seed 0, as Vigna's reference prints them: the n-th is the mix of n - 1 times gamma.</summary>
    [Theory]
    [InlineData(0, 0xE220A8397B1DCDAF)]
    [InlineData(1, 0x6E789E6AA1B965F4)]
    [InlineData(2, 0x06C45D188009454F)]
    [InlineData(3, 0xF88BB8A8724C81EC)]
    [InlineData(4, 0x1B39896A51A8749B)]
    public void The_hash_is_that_of_splitmix64(ulong step, ulong expected) => Assert.Equal(expected, Mix.Of(step * 0x9E3779B97F4A7C15UL));

    [Theory]
    [InlineData(0ul)]
    [InlineData(1ul)]
    [InlineData(ulong.MaxValue)]
    [InlineData(1ul << 63)]
    public void The_ends_of_the_key_space_come_back(ulong key)
    {
        Assert.Equal(key, Mix.Inverse(Mix.Of(key)));
        Assert.Equal(key, Mix.Of(Mix.Inverse(key)));
    }

    [Fact]
    public void Every_key_comes_back_from_its_hash_and_every_number_is_the_hash_of_a_key() =>
        Gen.ULong.Sample(key => Mix.Inverse(Mix.Of(key)) == key && Mix.Of(Mix.Inverse(key)) == key, iter: 20_000);

    [Fact]
    public void Many_keys_at_once_have_the_hashes_of_each_and_come_back() => Gen.ULong.Array[0, 40].Sample(keys =>
    {
        ulong[] mixed = new ulong[keys.Length];
        Mix.Of(keys, mixed);
        Assert.Equal(keys.Select(Mix.Of), mixed);
        Mix.Inverse(mixed);
        Assert.Equal(keys, mixed);
    });

    [Fact]
    public void A_key_lies_in_the_segment_whose_range_holds_its_hash() =>
        Gen.Select(Gen.ULong, Gen.Int[1, 17]).Sample(
            (key, bits) => KeyRange.OfSegment(Mix.Segment(key, bits), bits).Contains(Mix.Of(key)), iter: 5_000);

    [Fact]
    public void Flipping_any_bit_of_a_key_flips_each_bit_of_its_hash_about_half_of_the_time()
    {
        const int Keys = 4096;
        int[,] flips = new int[64, 64];
        for (ulong key = 0; key < Keys; key++)
        {
            for (int bit = 0; bit < 64; bit++)
            {
                ulong changed = Mix.Of(key) ^ Mix.Of(key ^ (1UL << bit));
                for (int of = 0; of < 64; of++)
                {
                    flips[bit, of] += (int)(changed >> of & 1);
                }
            }
        }

        foreach (int count in flips)
        {
            // Pairs of small keys are met from both sides: 2,048 throws of a fair coin, counted twice, have six standard deviations of 272.
            Assert.InRange(count, (Keys / 2) - 272, (Keys / 2) + 272);
        }
    }

    [Fact]
    public void Hashes_of_other_seeds_are_other_functions_and_each_is_fixed()
    {
        Assert.Equal(Mix.Of(Mix.Of(5 ^ Mix.Of(7)) + 7), Mix.Of(5, 7));
        Gen.Select(Gen.ULong, Gen.ULong, Gen.ULong).Sample((key, a, b) => a == b || Mix.Of(key, a) != Mix.Of(key, b), iter: 5_000);
        // XxHash3 of nothing with seed 0, as its specification's test vectors have it.
        Assert.Equal(0x2D06800538D394C2UL, Mix.Of([]));
    }
}
