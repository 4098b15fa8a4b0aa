namespace Weir.Placement;
internal readonly record struct RingMember(ulong NodeId, int WeightPercent, string Zone);
internal static class Ring
{
    public static ulong[][] Chains(IReadOnlyList<RingMember> m, int bits, int length) => [.. Enumerable.Range(0, 1 << bits).Select(i => new[] { m[i % m.Count].NodeId })];
}
