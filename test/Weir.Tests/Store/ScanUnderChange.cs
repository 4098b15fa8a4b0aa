using Weir.Keys;
using Weir.Store;

namespace Weir.Tests.Store;

/// <summary>
/// One scan taken in steps between changes, again and again: it checks that every key present during a whole scan came exactly once, that
/// none came twice, and that the order ascends.
/// </summary>
internal sealed class ScanUnderChange(SegmentRows rows, int width)
{
    private readonly List<ulong> _given = [];
    private HashSet<ulong>? _throughout;
    private ulong _next;

    /// <summary>Takes one more step of at most <paramref name="keys"/> rows.</summary>
    public void Step(int keys, IEnumerable<ulong> present)
    {
        _throughout ??= [.. present];
        ulong[] given = new ulong[keys];
        int count = rows.Scan(_next, given, new float[keys * width], out _next, out bool done);
        Assert.All(given[..count], key => Assert.Contains(key, present));
        _given.AddRange(given[..count]);
        if (done)
        {
            Assert.Equal(_given.OrderBy(key => Mix.Of(key)), _given);
            Assert.Equal(_given.Count, _given.Distinct().Count());
            Assert.Empty(_throughout.Except(_given));
            (_throughout, _next) = (null, 0);
            _given.Clear();
        }
    }

    /// <summary>Tells which keys are present after a change.</summary>
    public void Saw(IEnumerable<ulong> present) => _throughout?.IntersectWith(present);
}
