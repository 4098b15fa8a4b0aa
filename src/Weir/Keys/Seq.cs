namespace Weir.Keys;

/// <summary>
/// The identity of a push within its worker, the same in every session that redoes it (design R11): the iteration, the push's number in
/// call order within it, and the piece. Pieces are cut by row count and width alone.
/// </summary>
internal readonly record struct Seq(long Iteration, uint Push, uint Piece) : IComparable<Seq>
{
    /// <summary>The last iteration that anybody may name, so that one can count on from it.</summary>
    public const long MaxIteration = (1L << 62) - 1;

    /// <summary>Before every push.</summary>
    public static readonly Seq None = new(-1, 0, 0);

    public int CompareTo(Seq other)
    {
        int order = Iteration.CompareTo(other.Iteration);
        order = order != 0 ? order : Push.CompareTo(other.Push);
        return order != 0 ? order : Piece.CompareTo(other.Piece);
    }

    public static bool operator <(Seq a, Seq b) => a.CompareTo(b) < 0;

    public static bool operator >(Seq a, Seq b) => a.CompareTo(b) > 0;

    public static bool operator <=(Seq a, Seq b) => a.CompareTo(b) <= 0;

    public static bool operator >=(Seq a, Seq b) => a.CompareTo(b) >= 0;

    public override string ToString() => $"({Iteration},{Push},{Piece})";
}
