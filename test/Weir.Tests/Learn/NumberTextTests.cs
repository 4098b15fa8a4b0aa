using System.Globalization;
using System.Text;
using CsCheck;
using Weir.Learn.Data;

namespace Weir.Tests.Learn;

public class NumberTextTests
{
    [Fact]
    public void Any_decimal_text_reads_as_the_library_s_parser_reads_it() =>
        Gen.OneOf(
            Gen.Float.Select(value => value.ToString("R", CultureInfo.InvariantCulture)),
            Gen.Double[-1e6, 1e6].Select(value => value.ToString("F9", CultureInfo.InvariantCulture)),
            Gen.Select(Gen.Long, Gen.Int[0, 18]).Select((number, point) => Math.Abs(number % 1_000_000_000_000_000_000).ToString("D19", CultureInfo.InvariantCulture).Insert(point, ".")),
            Gen.Select(Gen.Int, Gen.Int[-50, 50]).Select((number, power) => $"{number}e{power}"))
        .Sample(AssertSame, iter: 100_000);

    // 16777217 lies exactly between two floats: the double in between must not decide the rounding.
    [Theory]
    [InlineData("16777217.000000000001")]
    [InlineData("16777217")]
    [InlineData("1.000000059604644775")]
    [InlineData("1.00000005960464478")]
    [InlineData("+.5")]
    [InlineData("5.")]
    [InlineData("-0")]
    [InlineData(".")]
    [InlineData("-")]
    [InlineData("1x")]
    [InlineData("1e")]
    [InlineData("--1")]
    [InlineData("0x10")]
    public void Texts_at_the_edges_read_as_the_library_s_parser_reads_them(string text) => AssertSame(text);

    [Fact]
    public void Every_unsigned_number_is_read_and_one_too_large_is_an_overflow() =>
        Gen.OneOf(Gen.ULong, Gen.ULong[ulong.MaxValue - 100, ulong.MaxValue]).Sample(number =>
        {
            int position = 0;
            byte[] text = Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture) + ":1");
            Assert.True(NumberText.TryReadUnsigned(text, ref position, out ulong value, out bool overflow));
            Assert.Equal((number, false, text.Length - 2), (value, overflow, position));

            UInt128 above = (UInt128)ulong.MaxValue + 1 + number;
            position = 0;
            Assert.False(NumberText.TryReadUnsigned(Encoding.ASCII.GetBytes(above.ToString(CultureInfo.InvariantCulture)), ref position, out _, out overflow));
            Assert.True(overflow);
        }, iter: 10_000);

    private static void AssertSame(string text)
    {
        bool expected = float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float wanted);
        Assert.Equal(expected, NumberText.TryParse(Encoding.ASCII.GetBytes(text), out float value));
        if (expected)
        {
            Assert.Equal(BitConverter.SingleToInt32Bits(wanted), BitConverter.SingleToInt32Bits(value));
        }
    }
}
