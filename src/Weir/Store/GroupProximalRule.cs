namespace Weir.Store;

/// <summary>
/// The proximal step for weights that come and go together: a row is a group, and beside l1 |w|_1 and l2/2 |w|^2 it is penalised by its Euclidean norm, group |w|_2, which is zero for the whole row or for none of it (group lasso, Yuan and
/// Lin 2006; with l1 the sparse group lasso, Simon et al. 2013; the norm is separable by blocks, as theorem 2 of Li et al. 2014 asks).
/// </summary>
/// <remarks>
/// Floats come in pairs as those of <see cref="DiagonalProximalStep"/>: a pushed pair is (g, u), a pair of values is (w, what it was set to). The proximal operator of a norm has a closed form only where all of a row have one curvature, so the
/// row takes its largest: an upper bound of each, with which the step is one of a proximal gradient method all the same, and a smaller one for the others.
/// A row without curvature stays.
/// </remarks>
internal sealed class GroupProximalRule(float gamma, float group, float l1, float l2) : IUpdateRule
{
    /// <inheritdoc/>
    public int Planes => 0;

    /// <inheritdoc/>
    public int Scalars => 0;

    /// <inheritdoc/>
    public void Apply(Span<float> values, Span<float> state, ReadOnlySpan<float> gradients, int width)
    {
        for (int at = 0; at < values.Length; at += width)
        {
            Step(values.Slice(at, width), gradients.Slice(at, width));
        }
    }

    /// <inheritdoc/>
    public void Assign(Span<float> values, Span<float> state, ReadOnlySpan<float> assigned, int width) => assigned.CopyTo(values);

    private void Step(Span<float> row, ReadOnlySpan<float> pushed)
    {
        float curvature = 0;
        for (int i = 1; i < pushed.Length; i += 2)
        {
            // What is not a number is no largest, and the row's step is none either.
            curvature = pushed[i] <= curvature || float.IsNaN(curvature) ? curvature : pushed[i];
        }

        if (curvature <= 0)
        {
            return;
        }

        float rate = gamma / curvature, squares = 0;
        for (int i = 0; i < row.Length; i += 2)
        {
            // z = w - gamma g / u; s = sign(z) max(0, |z| - gamma l1 / u)
            float moved = row[i] - (rate * pushed[i]), threshold = rate * l1;
            row[i] = MathF.Abs(moved) <= threshold ? 0 : moved - MathF.CopySign(threshold, moved);
            squares += row[i] * row[i];
        }

        // w = s max(0, 1 - gamma group / (u |s|_2)) / (1 + gamma l2 / u)
        float norm = MathF.Sqrt(squares), least = rate * group;
        float shrink = norm <= least ? 0 : (1 - (least / norm)) / (1 + (rate * l2));
        for (int i = 0; i < row.Length; i += 2)
        {
            row[i] = shrink == 0 ? 0 : row[i] * shrink;
        }
    }
}
