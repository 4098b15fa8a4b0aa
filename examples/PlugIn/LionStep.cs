using System.Buffers.Binary;
using Weir.Functions;

namespace PlugIn;

/// <summary>
/// An update rule of one's own: the Lion optimizer (Chen et al., Symbolic Discovery of Optimization Algorithms, 2023, without weight decay). The first half of a row are weights, the second half their momentum m, which the rule needs and
/// which thus is in replicas, journals and checkpoints like the weights. The values are gradients g in the first half; the second half is not looked at. The argument is the learning rate, a float in 4 bytes, little-endian.
/// w = w - rate sign(0.9 m + 0.1 g); m = 0.99 m + 0.01 g.
/// </summary>
public sealed class LionStep : IServerFunction
{
    private const float UsualBeta1 = 0.9f, UsualBeta2 = 0.99f;

    /// <inheritdoc/>
    public string Name => "lion";

    /// <inheritdoc/>
    public void Apply(FunctionCall run)
    {
        if (run.Argument.Length != sizeof(float) || run.Width % 2 != 0 || !run.HasValues)
        {
            throw new ArgumentException("lion needs a learning rate in 4 bytes, rows of an even width (weights, then momenta), and a gradient for each");
        }

        float rate = BinaryPrimitives.ReadSingleLittleEndian(run.Argument);
        int weights = run.Width / 2;
        for (int row = 0; row < run.Keys.Length; row++)
        {
            Span<float> floats = run.Row(row);
            ReadOnlySpan<float> gradient = run.Value(row);
            for (int i = 0; i < weights; i++)
            {
                ref float momentum = ref floats[weights + i];
                float direction = (UsualBeta1 * momentum) + ((1 - UsualBeta1) * gradient[i]);
                floats[i] -= rate * (direction > 0 ? 1 : direction < 0 ? -1 : 0);
                momentum = (UsualBeta2 * momentum) + ((1 - UsualBeta2) * gradient[i]);
            }
        }
    }
}
