namespace Weir.Store;

/// <summary>A rule whose every float, or every pair of floats, stands for itself: the width of a row does not matter, a run is one long vector.</summary>
/// <param name="update">The step of a push.</param>
/// <param name="assign">The step of an assignment; it has the planes of <paramref name="update"/> or none.</param>
internal sealed class ElementwiseRule<TUpdate, TAssign>(TUpdate update, TAssign assign) : IUpdateRule
    where TUpdate : struct, IElementwiseStep
    where TAssign : struct, IElementwiseStep
{
    /// <inheritdoc/>
    public int Planes => TUpdate.Planes;

    /// <inheritdoc/>
    public int Scalars => 0;

    /// <inheritdoc/>
    public void Apply(Span<float> values, Span<float> state, ReadOnlySpan<float> gradients, int width) =>
        Elementwise.Run(update, values, Plane(values, state, 0), Plane(values, state, 1), gradients);

    /// <inheritdoc/>
    public void Assign(Span<float> values, Span<float> state, ReadOnlySpan<float> assigned, int width) =>
        Elementwise.Run(assign, values, Plane(values, state, 0), Plane(values, state, 1), assigned);

    /// <inheritdoc/>
    public bool RunsInPlace(int width) => width == 1 || width % Elementwise.Lanes == 0;

    /// <inheritdoc/>
    public void RunInPlace(in RowAddresses rows, ReadOnlySpan<float> pushed, int width, RowOperation operation)
    {
        if (operation == RowOperation.Update)
        {
            Run(update, rows, pushed, width);
        }
        else
        {
            Run(assign, rows, pushed, width);
        }
    }

    private static void Run<TStep>(TStep step, in RowAddresses rows, ReadOnlySpan<float> pushed, int width)
        where TStep : struct, IElementwiseStep
    {
        if (width == 1)
        {
            Elementwise.RunSingles(step, rows, pushed);
        }
        else
        {
            Elementwise.RunRows(step, rows, pushed, width);
        }
    }

    private static Span<float> Plane(Span<float> values, Span<float> state, int plane) =>
        plane < TUpdate.Planes ? state.Slice(plane * values.Length, values.Length) : default;
}
