using System.Globalization;

namespace Weir.Learn.Data;

/// <summary>Numbers from ASCII text, several times faster than the library's general parsers and equal to them in every bit.</summary>
internal static class NumberText
{
    // A double holds every whole number below 2^53 and every power of ten up to 10^22, so one division or product is rounded once
    // (Clinger 1990).
    private const ulong ExactWhole = 1UL << 53;
    private const int ExactPower = 22;

    // The bits of a double below a float's last one: half of them set means that the double lies between two floats.
    private const long BelowFloat = (1L << 29) - 1;
    private const long Halfway = 1L << 28;

    private static ReadOnlySpan<double> PowersOfTen =>
    [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    ];

    /// <summary>Reads decimal digits from <paramref name="position"/> on and moves it behind them.</summary>
    /// <returns>False where there is no digit or the number is above 2^64 - 1 (then <paramref name="overflow"/> is set).</returns>
    public static bool TryReadUnsigned(ReadOnlySpan<byte> text, ref int position, out ulong value, out bool overflow)
    {
        int start = position;
        int at = start;
        ulong number = 0;
        overflow = false;
        while ((uint)at < (uint)text.Length)
        {
            uint digit = (uint)(text[at] - '0');
            if (digit > 9)
            {
                break;
            }

            // Nineteen digits always fit; only then does a further one need a check.
            if (at - start >= 19 && (number > ulong.MaxValue / 10 || (number == ulong.MaxValue / 10 && digit > ulong.MaxValue % 10)))
            {
                overflow = true;
            }

            number = (number * 10) + digit;
            at++;
        }

        position = at;
        value = number;
        return at > start && !overflow;
    }

    /// <summary>Reads a whole token as a float: sign, digits, fraction, exponent. Infinities and NaN come back as such.</summary>
    public static bool TryParse(ReadOnlySpan<byte> token, out float value)
    {
        // Features are mostly ones.
        if (token.Length == 1)
        {
            uint digit = (uint)(token[0] - '0');
            value = digit;
            return digit <= 9;
        }

        int at = 0;
        bool negative = false;
        if (token.Length > 0 && token[0] is (byte)'-' or (byte)'+')
        {
            negative = token[0] == '-';
            at = 1;
        }

        ulong mantissa = 0;
        int digits = 0;
        int fraction = 0;
        bool point = false;
        for (; at < token.Length; at++)
        {
            uint digit = (uint)(token[at] - '0');
            if (digit <= 9)
            {
                mantissa = (mantissa * 10) + digit;
                digits++;
                fraction += point ? 1 : 0;
            }
            else if (token[at] == '.' && !point)
            {
                point = true;
            }
            else
            {
                break;
            }
        }

        if (at == token.Length && digits is > 0 and <= 18 && mantissa < ExactWhole && fraction <= ExactPower)
        {
            double exact = mantissa / PowersOfTen[fraction];

            // Rounding to a double and then to a float goes wrong only where the double lies exactly between two floats.
            if ((BitConverter.DoubleToInt64Bits(exact) & BelowFloat) != Halfway)
            {
                value = (float)(negative ? -exact : exact);
                return true;
            }
        }

        return float.TryParse(token, NumberStyles.Float, CultureInfo.InvariantCulture, out value);
    }
}
