using System.Runtime.InteropServices;
using CsCheck;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>Values in one and in two bytes: within their bound, right on the average, the same for the same seed, finite where they were finite.</summary>
public class RoundedValuesTests
{
    /// <summary>Any finite float: of every magnitude, the largest and the smallest among them, and zeros.</summary>
    private static readonly Gen<float> Finite = Gen.Frequency(
        (6, Gen.UInt.Select(bits => BitConverter.UInt32BitsToSingle(bits)).Where(float.IsFinite)),
        (6, Gen.Float[-1, 1]),
        (3, Gen.Const(0f)),
        (1, Gen.OneOf(Gen.Const(-0f), Gen.Const(float.MaxValue), Gen.Const(float.MinValue), Gen.Const(float.BitDecrement(float.MaxValue)), Gen.Const(float.Epsilon), Gen.Const(-3 * float.Epsilon), Gen.Const(1.17549435e-38f), Gen.Const(3.39e38f))));

    private static readonly Gen<float[]> Values = Gen.OneOf(
        Finite.Array[2, 300],
        Gen.Select(Gen.Float[-1, 1].Array[2, 300], Gen.Int[-120, 120]).Select((values, scale) => values.Select(v => v * MathF.Pow(2, scale)).ToArray()));

    public static TheoryData<int> Forms => [(int)ValueFilters.BFloat16, (int)ValueFilters.Int8, (int)(ValueFilters.BFloat16 | ValueFilters.ZeroBitmap), (int)(ValueFilters.Int8 | ValueFilters.ZeroBitmap)];

    [Theory]
    [MemberData(nameof(Forms))]
    public void What_is_read_is_finite_and_within_the_bound_of_its_form_and_never_longer_than_raw(int form) => Gen.Select(Values, Gen.ULong).Sample((values, seed) =>
    {
        byte[] written = Write(values, (ValueFilters)form, seed, out ValueEncoding encoding);
        Assert.InRange(PartHeader.Pad8(written.Length), 0, PartHeader.Pad8(values.Length * sizeof(float)));
        float[] read = Read(encoding, written, values.Length);
        Assert.All(read, value => Assert.True(float.IsFinite(value)));
        ValueEncoding numbers = encoding & ~ValueEncoding.ZeroBitmap;

        // With a bitmap the blocks are of what is not zero.
        float[] kept = numbers == encoding ? values : [.. values.Where(v => BitConverter.SingleToUInt32Bits(v) != 0)];
        float[] keptRead = numbers == encoding ? read : [.. read.Where((_, i) => BitConverter.SingleToUInt32Bits(values[i]) != 0)];
        for (int i = 0; i < kept.Length; i++)
        {
            double bound = numbers switch
            {
                ValueEncoding.Raw => 0,
                ValueEncoding.BFloat16 => Math.Max(Math.Abs((double)kept[i]) / 128, Math.Pow(2, -133)),
                _ => (kept.Skip(i / Int8Values.Block * Int8Values.Block).Take(Int8Values.Block).Max(v => Math.Abs((double)v)) / 127 * 1.000001) + float.Epsilon,
            };
            Assert.InRange(Math.Abs((double)keptRead[i] - kept[i]), 0, bound);
        }

        Assert.All(values.Zip(read), pair => Assert.True(pair.First != 0 || pair.Second == 0, "a zero stays zero"));
    });

    /// <summary>Over 4,000 seeds the mean is off by less than five of its standard deviations, as one in a million is; the seeds are these, so that it fails always or never.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void The_mean_over_many_seeds_is_what_was_written(int form)
    {
        const int Seeds = 4000;
        float[] values = [.. Enumerable.Range(0, 96).Select(i => i % 8 == 5 ? 0f : (i % 2 == 0 ? 1 : -1) * MathF.Exp((i - 60) / 7f)), 0.1f, -0.3f, 1e-3f, 77.7f, 3.3895e38f / 1e36f];
        double[] sum = new double[values.Length], squares = new double[values.Length];
        for (int seed = 0; seed < Seeds; seed++)
        {
            byte[] written = Write(values, (ValueFilters)form, Mix.Of((ulong)seed), out ValueEncoding encoding);
            Assert.NotEqual(ValueEncoding.Raw, encoding & ~ValueEncoding.ZeroBitmap);
            float[] read = Read(encoding, written, values.Length);
            for (int i = 0; i < values.Length; i++)
            {
                double error = (double)read[i] - values[i];
                sum[i] += error;
                squares[i] += error * error;
            }
        }

        for (int i = 0; i < values.Length; i++)
        {
            double deviation = Math.Sqrt(squares[i] / Seeds) / Math.Sqrt(Seeds);
            Assert.True(Math.Abs(sum[i] / Seeds) <= (5 * deviation) + (Math.Abs(values[i]) * 1e-7), $"{values[i]} is off by {sum[i] / Seeds} on the average, which is {sum[i] / Seeds / deviation} deviations");
        }
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void The_same_seed_gives_the_same_bytes_and_another_seed_others(int form) => Gen.Select(Gen.Float[0.1f, 1].Array[200], Gen.ULong).Sample((values, seed) =>
    {
        byte[] written = Write(values, (ValueFilters)form, seed, out _);
        Assert.Equal(written, Write(values, (ValueFilters)form, seed, out _));
        Assert.NotEqual(written, Write(values, (ValueFilters)form, seed + 1, out _));
        Assert.NotEqual(written, Write(values, (ValueFilters)form, seed + (1UL << 32), out _));
    });

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public void Values_of_which_one_is_not_finite_are_not_rounded(float value)
    {
        for (int at = 0; at < 100; at++)
        {
            float[] values = [.. Enumerable.Range(0, 100).Select(i => i == at ? value : i % 4 == 0 ? 0.1f : 0)];
            foreach (ValueFilters form in Forms.Select(f => (ValueFilters)f.Data))
            {
                byte[] written = Write(values, form, 1, out ValueEncoding encoding);
                Assert.InRange(encoding, ValueEncoding.Raw, ValueEncoding.ZeroBitmap);
                Assert.Equal(values, Read(encoding, written, values.Length));
            }
        }
    }

    /// <summary>A fraction of a byte for the step, a byte or two for each float; with zeros, a bit for each and the others so.</summary>
    [Fact]
    public void Forms_are_as_short_as_they_say_and_the_shortest_is_taken()
    {
        float[] dense = [.. Enumerable.Range(1, 640).Select(i => i + 0.1f)], sparse = [.. dense.Select((v, i) => i % 10 == 0 ? v : 0)], one = [1.1f], two = [1.1f, 0];
        Assert.Equal((ValueEncoding.BFloat16, 1280), Length(dense, ValueFilters.BFloat16 | ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.Int8, 680), Length(dense, ValueFilters.Int8 | ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.BFloat16ZeroBitmap, 128 + 80), Length(sparse, ValueFilters.BFloat16 | ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.Int8ZeroBitmap, 72 + 80), Length(sparse, ValueFilters.Int8 | ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.ZeroBitmap, 256 + 80), Length(sparse, ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.Raw, 4), Length(one, ValueFilters.Int8 | ValueFilters.ZeroBitmap));
        Assert.Equal((ValueEncoding.Raw, 8), Length(two, ValueFilters.BFloat16 | ValueFilters.ZeroBitmap));

        // One float of many: no shorter in a byte than as it is, padding included, so it stays exact.
        float[] alone = new float[64];
        alone[9] = 0.1f;
        Assert.Equal((ValueEncoding.ZeroBitmap, 16), Length(alone, ValueFilters.Int8 | ValueFilters.ZeroBitmap));

        static (ValueEncoding Encoding, int Bytes) Length(float[] values, ValueFilters filters)
        {
            byte[] written = Write(values, filters, 1, out ValueEncoding encoding);
            return (encoding, written.Length);
        }
    }

    [Fact]
    public void Foreign_bytes_are_read_only_where_they_fit_the_values() =>
        Gen.Select(Gen.Byte.Array[0, 300], Gen.Int[0, 200], Gen.Int[0, (int)ValueEncoding.Int8ZeroBitmap]).Sample((bytes, count, encoding) =>
        {
            var form = (ValueEncoding)encoding;
            bool read = ValueEncodings.TryRead(form, bytes, new float[count]);
            Assert.Equal(read, (form & ValueEncoding.ZeroBitmap) != 0 ? read : bytes.Length == ValueEncodings.Bytes(form, count));
        });

    [Fact]
    public void The_seed_of_a_push_is_of_the_worker_and_the_push_and_of_nothing_else()
    {
        ulong seed = RoundingBits.OfPush(1, 2, 3, 4, new Seq(5, 6, 7));
        Assert.Equal(seed, RoundingBits.OfPush(1, 2, 3, 4, new Seq(5, 6, 7)));
        ulong[] others =
        [
            RoundingBits.OfPush(2, 2, 3, 4, new Seq(5, 6, 7)), RoundingBits.OfPush(1, 3, 3, 4, new Seq(5, 6, 7)), RoundingBits.OfPush(1, 2, 4, 4, new Seq(5, 6, 7)),
            RoundingBits.OfPush(1, 2, 3, 5, new Seq(5, 6, 7)), RoundingBits.OfPush(1, 2, 3, 4, new Seq(6, 6, 7)), RoundingBits.OfPush(1, 2, 3, 4, new Seq(5, 7, 7)),
            RoundingBits.OfPush(1, 2, 3, 4, new Seq(5, 6, 8)), seed,
        ];
        Assert.Equal(others.Length, others.Distinct().Count());
    }

    private static byte[] Write(float[] values, ValueFilters filters, ulong seed, out ValueEncoding encoding)
    {
        float[] work = [.. values];
        int bytes = ValueEncodings.Shrink(work, filters, seed, out encoding);
        return MemoryMarshal.AsBytes(work.AsSpan())[..bytes].ToArray();
    }

    private static float[] Read(ValueEncoding encoding, byte[] bytes, int count)
    {
        float[] values = new float[count];
        values.AsSpan().Fill(7);
        Assert.True(ValueEncodings.TryRead(encoding, bytes, values));
        return values;
    }
}
