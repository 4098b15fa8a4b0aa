using System.Diagnostics.CodeAnalysis;

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

    [DoesNotReturn]
    public static void Broken(string rule) => throw new InvariantException(rule);
}

/// <summary>Thrown where the program's own rule was broken: a defect, never an outcome.</summary>
internal sealed class InvariantException(string rule) : Exception($"broken invariant: {rule}");
