using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Runtime.CompilerServices;

namespace Weir.World;

/// <summary>What must always hold. A broken invariant stops the node: state that cannot be explained is not served.</summary>
internal static class Invariant
{
    public static void That([DoesNotReturnIf(false)] bool holds, string rule)
    {
        if (!holds)
        {
            Broken(rule);
        }
    }

    /// <summary>The same with a rule that is put into words only where it is broken: most are looked at far more often than read.</summary>
    public static void That([DoesNotReturnIf(false)] bool holds, [InterpolatedStringHandlerArgument(nameof(holds))] ref BrokenRule rule)
    {
        if (!holds)
        {
            Broken(rule.ToString());
        }
    }

    [DoesNotReturn]
    public static void Broken(string rule) => throw new InvariantException(rule);
}

/// <summary>Puts a rule into words, if it is broken.</summary>
[InterpolatedStringHandler]
internal ref struct BrokenRule
{
    private DefaultInterpolatedStringHandler _words;

    public BrokenRule(int literalLength, int formattedCount, bool holds, out bool isBroken)
    {
        isBroken = !holds;
        _words = holds ? default : new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture);
    }

    public void AppendLiteral(string text) => _words.AppendLiteral(text);

    public void AppendFormatted<T>(T value) => _words.AppendFormatted(value);

    public void AppendFormatted<T>(T value, string? format) => _words.AppendFormatted(value, format);

    public override string ToString() => _words.ToStringAndClear();
}

/// <summary>Thrown where the program's own rule was broken: a defect, never an outcome.</summary>
internal sealed class InvariantException(string rule) : Exception($"broken invariant: {rule}");
