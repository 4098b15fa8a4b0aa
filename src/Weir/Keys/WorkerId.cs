namespace Weir.Keys;

/// <summary>
/// Who pushes, the same across sessions and processes: a job's worker by group and index, anybody else by its own session (design R7).
/// The number orders the sums of aggregating tables.
/// </summary>
internal readonly record struct WorkerId(ulong Value) : IComparable<WorkerId>
{
    private const ulong OwnSession = 1UL << 63;

    public static WorkerId OfJob(uint group, uint worker) => new(((ulong)group << 32) | worker);

    public static WorkerId OfSession(ulong session) => new(OwnSession | session);

    /// <summary>The job's group, or 0 for a session of its own.</summary>
    public uint Group => (Value & OwnSession) != 0 ? 0 : (uint)(Value >> 32);

    public uint Index => (uint)Value;

    public int CompareTo(WorkerId other) => Value.CompareTo(other.Value);

    public override string ToString() => Group == 0 ? $"session {Value & ~OwnSession}" : $"worker {Index} of group {Group}";
}
