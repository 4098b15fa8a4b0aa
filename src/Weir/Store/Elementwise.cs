using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using Weir.World;

namespace Weir.Store;

/// <summary>
/// One step of a rule on eight floats at once, each lane by itself, or each two from an even lane on. A struct, so that the compiler makes one loop for each rule with the
/// step inlined.
/// </summary>
internal interface IElementwiseStep
{
    /// <summary>How many planes of state the step reads and writes: 0, 1 or 2. The others are passed as zero and not stored.</summary>
    static abstract int Planes { get; }

    /// <summary>Changes <paramref name="values"/> and the state by <paramref name="pushed"/>.</summary>
    void Step(ref Vector256<float> values, ref Vector256<float> state0, ref Vector256<float> state1, Vector256<float> pushed);
}

/// <summary>
/// Runs a step over spans of any length. The last one to seven floats go through the same vector code in a padded buffer: one body, and
/// a float's result cannot depend on where in a run it lies, but for whether that is even.
/// </summary>
internal static unsafe class Elementwise
{
    /// <summary>The floats of a vector.</summary>
    public const int Lanes = 8;

    private const int InlineFloats = 64;

    /// <summary>Applies <paramref name="step"/> to each float. Spans of planes that the step does not have may be empty.</summary>
    /// <param name="step">The arithmetic.</param>
    /// <param name="values">Changed in place.</param>
    /// <param name="state0">Plane 0, as long as the values, changed in place.</param>
    /// <param name="state1">Plane 1, as long as the values, changed in place.</param>
    /// <param name="pushed">Gradients or assigned values, as long as the values.</param>
    public static void Run<TStep>(TStep step, Span<float> values, Span<float> state0, Span<float> state1, ReadOnlySpan<float> pushed)
        where TStep : struct, IElementwiseStep
    {
        int length = values.Length;
        if (pushed.Length != length || (TStep.Planes > 0 && state0.Length != length) || (TStep.Planes > 1 && state1.Length != length))
        {
            throw new ArgumentException("values, state planes and pushed floats must be equally many", nameof(pushed));
        }

        // The lengths were checked above, so the loop loads and stores without a check for each vector.
        ref float value = ref MemoryMarshal.GetReference(values);
        ref float plane0 = ref MemoryMarshal.GetReference(state0);
        ref float plane1 = ref MemoryMarshal.GetReference(state1);
        ref float push = ref MemoryMarshal.GetReference(pushed);
        int whole = length - (length % Vector256<float>.Count);
        for (int i = 0; i < whole; i += Vector256<float>.Count)
        {
            Vector256<float> w = Vector256.LoadUnsafe(ref value, (nuint)i);
            Vector256<float> s0 = TStep.Planes > 0 ? Vector256.LoadUnsafe(ref plane0, (nuint)i) : default;
            Vector256<float> s1 = TStep.Planes > 1 ? Vector256.LoadUnsafe(ref plane1, (nuint)i) : default;
            step.Step(ref w, ref s0, ref s1, Vector256.LoadUnsafe(ref push, (nuint)i));
            w.StoreUnsafe(ref value, (nuint)i);
            if (TStep.Planes > 0)
            {
                s0.StoreUnsafe(ref plane0, (nuint)i);
            }

            if (TStep.Planes > 1)
            {
                s1.StoreUnsafe(ref plane1, (nuint)i);
            }
        }

        if (whole < length)
        {
            RunTail(step, values[whole..], Tail(state0, whole, TStep.Planes > 0), Tail(state1, whole, TStep.Planes > 1), pushed[whole..]);
        }
    }

    /// <summary>
    /// Applies <paramref name="step"/> to rows where they lie, asking for the next ones ahead: the same arithmetic for each float as
    /// <see cref="Run"/>. A row's planes follow one another in its state.
    /// </summary>
    /// <param name="step">The arithmetic.</param>
    /// <param name="rows">The rows, changed in place.</param>
    /// <param name="pushed">Gradients or assigned values, width floats for each row.</param>
    /// <param name="width">A multiple of <see cref="Lanes"/>.</param>
    public static void RunRows<TStep>(TStep step, in RowAddresses rows, ReadOnlySpan<float> pushed, int width)
        where TStep : struct, IElementwiseStep
    {
        int count = rows.Count, known = rows.Values.Length;
        if (width % Lanes != 0 || pushed.Length != (long)count * width || count > known || rows.State.Length != known)
        {
            throw new ArgumentException("each row gets as many floats as it is wide, in whole vectors", nameof(pushed));
        }

        int stateBytes = TStep.Planes * width * sizeof(float);
        fixed (nint* valueOf = rows.Values, stateOf = rows.State)
        fixed (float* push = pushed)
        {
            float* gradients = push;
            for (int row = 0; row < count; row++, gradients += width)
            {
                if (row + Prefetch.RowDistance < known)
                {
                    Prefetch.Row((byte*)valueOf[row + Prefetch.RowDistance], width * sizeof(float));
                    if (TStep.Planes > 0)
                    {
                        Prefetch.Row((byte*)stateOf[row + Prefetch.RowDistance], stateBytes);
                    }
                }

                float* values = (float*)valueOf[row], plane0 = (float*)stateOf[row], plane1 = plane0 + width;
                for (int i = 0; i < width; i += Lanes)
                {
                    Vector256<float> w = Vector256.Load(values + i);
                    Vector256<float> s0 = TStep.Planes > 0 ? Vector256.Load(plane0 + i) : default;
                    Vector256<float> s1 = TStep.Planes > 1 ? Vector256.Load(plane1 + i) : default;
                    step.Step(ref w, ref s0, ref s1, Vector256.Load(gradients + i));
                    w.Store(values + i);
                    if (TStep.Planes > 0)
                    {
                        s0.Store(plane0 + i);
                    }

                    if (TStep.Planes > 1)
                    {
                        s1.Store(plane1 + i);
                    }
                }
            }
        }
    }

    /// <summary>
    /// As <see cref="RunRows"/> for rows of one float, each in the first lane of a vector: to use one lane of eight costs less than to
    /// bring eight rows together and to spread them again.
    /// </summary>
    public static void RunSingles<TStep>(TStep step, in RowAddresses rows, ReadOnlySpan<float> pushed)
        where TStep : struct, IElementwiseStep
    {
        int count = rows.Count, known = rows.Values.Length;
        if (pushed.Length != count || count > known || rows.State.Length != known)
        {
            throw new ArgumentException("each row gets one float", nameof(pushed));
        }

        fixed (nint* valueOf = rows.Values, stateOf = rows.State)
        {
            for (int row = 0; row < count; row++)
            {
                if (row + Prefetch.RowDistance < known)
                {
                    Prefetch.Line((byte*)valueOf[row + Prefetch.RowDistance]);
                    if (TStep.Planes > 0)
                    {
                        Prefetch.Line((byte*)stateOf[row + Prefetch.RowDistance]);
                    }
                }

                float* value = (float*)valueOf[row], state = (float*)stateOf[row];
                Vector256<float> w = Vector256.CreateScalar(*value);
                Vector256<float> s0 = TStep.Planes > 0 ? Vector256.CreateScalar(*state) : default;
                Vector256<float> s1 = TStep.Planes > 1 ? Vector256.CreateScalar(state[1]) : default;
                step.Step(ref w, ref s0, ref s1, Vector256.CreateScalar(pushed[row]));
                *value = w.ToScalar();
                if (TStep.Planes > 0)
                {
                    *state = s0.ToScalar();
                }

                if (TStep.Planes > 1)
                {
                    state[1] = s1.ToScalar();
                }
            }
        }
    }

    /// <summary>Copies a row. Short rows of whole vectors are copied here, since a call for each would cost more than the copy.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(float* row, ref float to, int width)
    {
        if (width % Lanes == 0 && width <= InlineFloats)
        {
            for (int i = 0; i < width; i += Lanes)
            {
                Vector256.Load(row + i).StoreUnsafe(ref to, (nuint)i);
            }
        }
        else
        {
            new ReadOnlySpan<float>(row, width).CopyTo(MemoryMarshal.CreateSpan(ref to, width));
        }
    }

    private static Span<float> Tail(Span<float> plane, int from, bool used) => used ? plane[from..] : default;

    private static void RunTail<TStep>(TStep step, Span<float> values, Span<float> state0, Span<float> state1, ReadOnlySpan<float> pushed)
        where TStep : struct, IElementwiseStep
    {
        Vector256<float> w = Load(values), s0 = Load(state0), s1 = Load(state1);
        step.Step(ref w, ref s0, ref s1, Load(pushed));
        Store(w, values);
        Store(s0, state0);
        Store(s1, state1);
    }

    private static Vector256<float> Load(ReadOnlySpan<float> floats)
    {
        Span<float> padded = stackalloc float[Vector256<float>.Count];
        padded.Clear();
        floats.CopyTo(padded);
        return Vector256.Create<float>(padded);
    }

    private static void Store(Vector256<float> vector, Span<float> floats)
    {
        Span<float> padded = stackalloc float[Vector256<float>.Count];
        vector.CopyTo(padded);
        padded[..floats.Length].CopyTo(floats);
    }
}
