using Weir.World;

namespace Weir.Store;

/// <summary>
/// The arithmetic of an update rule over a run of rows that lie one after another. It is called once a run, not once a row, so that a
/// plain interface call costs nothing. Implementations use only IEEE add, subtract, multiply, divide and square root, each rounded by
/// itself and in a fixed order, or operations on integers and bits, so that every member of a chain gets the same bits on any processor (design R15). They are immutable
/// and thread-safe, and reject nothing: what a NaN means is the server's business.
/// </summary>
/// <remarks>
/// A run of R rows of D floats has R * D values, row after row, and its state in planes over the whole run: plane 0 holds R * D floats
/// in the order of the values, then plane 1, and after the planes the scalars, R floats each. For R = 1 this is the layout of a row's
/// state in memory, so that a wide row needs no copy.
/// </remarks>
internal interface IUpdateRule
{
    /// <summary>Floats of state for each float of value.</summary>
    int Planes { get; }

    /// <summary>Floats of state for each row, whatever its width.</summary>
    int Scalars { get; }

    /// <summary>The floats of state that a row of <paramref name="width"/> floats has.</summary>
    int StateWidth(int width) => (Planes * width) + Scalars;

    /// <summary>Puts one gradient on each row: the values and the state change in place.</summary>
    /// <param name="values">R * D floats.</param>
    /// <param name="state">R * StateWidth(D) floats, laid out in planes over the run.</param>
    /// <param name="gradients">R * D floats.</param>
    /// <param name="width">D.</param>
    void Apply(Span<float> values, Span<float> state, ReadOnlySpan<float> gradients, int width);

    /// <summary>
    /// Sets each row's values to exactly those given, and its state to one from which the rule goes on sensibly. A new row is made by
    /// assigning the table's initial value over a state of zeros.
    /// </summary>
    /// <param name="values">R * D floats.</param>
    /// <param name="state">R * StateWidth(D) floats, laid out in planes over the run.</param>
    /// <param name="assigned">R * D floats.</param>
    /// <param name="width">D.</param>
    void Assign(Span<float> values, Span<float> state, ReadOnlySpan<float> assigned, int width);

    /// <summary>
    /// True where <see cref="RunInPlace"/> changes rows of <paramref name="width"/> floats where they lie: a run need not be laid out for
    /// them, which costs as much as the arithmetic.
    /// </summary>
    bool RunsInPlace(int width) => false;

    /// <summary>Does to each row what <see cref="Apply"/> or <see cref="Assign"/> does, to the bit. Only where <see cref="RunsInPlace"/>.</summary>
    /// <param name="rows">Rows of one width, each with its whole state.</param>
    /// <param name="pushed">Gradients or assigned values, width floats for each row that is changed.</param>
    /// <param name="width">D.</param>
    /// <param name="operation">Which of the two.</param>
    void RunInPlace(in RowAddresses rows, ReadOnlySpan<float> pushed, int width, RowOperation operation) =>
        Invariant.Broken("only a rule that says so runs in place");
}
