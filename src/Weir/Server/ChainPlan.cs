using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The manager's view of the chains (design section 4, R18): what nodes report of their segments, where segments should lie, and the steps
/// that lead there, a bounded number at a time. Not thread-safe.
/// </summary>
internal sealed class ChainPlan(NodeState node) : IChainReports
{
    /// <summary>Segments that a node copies at a time: enough to keep its link busy while small ones wait for their round trips.</summary>
    private const int MostCopies = 8;

    /// <summary>Segments sealed at a time: each accepts nothing for a few round trips.</summary>
    private const int MostSeals = 16;

    /// <summary>Hints are repeated: whoever got one may have died, or read its map late.</summary>
    private const long RepeatMs = 200;

    private readonly Dictionary<ulong, Report> _reports = [];
    private readonly HashSet<(int Segment, PlannedKind Kind, ulong Node)> _told = [];
    private ulong[][] _wanted = [];
    private MapMember[] _members = [];
    private ClusterMap? _planned;
    private bool _hasNews;
    private Instant _repeatAt;
    private Instant _waitsSince = Instant.Never;

    private sealed record Report(ulong Incarnation, ulong MapVersion, Dictionary<(int Segment, ClaimKind Kind), ulong> Claims);

    /// <summary>A node says what it holds; its newest word counts.</summary>
    public void Reported(in ChainSender sender, ulong mapVersion, IReadOnlyList<Claim> claims)
    {
        if (_reports.TryGetValue(sender.Node, out Report? known) && known.Incarnation == sender.Incarnation && known.MapVersion > mapVersion)
        {
            return;
        }

        Dictionary<(int, ClaimKind), ulong> bySegment = [];
        foreach (Claim claim in claims)
        {
            bySegment[((int)claim.Segment, claim.Kind)] = claim.Version;
        }

        _reports[sender.Node] = new Report(sender.Incarnation, mapVersion, bySegment);
        _hasNews = true;
    }

    /// <summary>A head that was sealed under the newest map, or an older one, wants a newer (R10).</summary>
    public bool IsNewMapWanted => _reports.Values.Any(r => r.Claims.Any(c => c.Key.Kind == ClaimKind.Resuming && c.Value == node.Map!.Version));

    /// <summary>The steps to take now: empty where nothing has changed since they were last asked for.</summary>
    /// <param name="now">The time.</param>
    /// <param name="wanted">Where the segments should lie.</param>
    public List<PlannedStep> Next(Instant now, out ulong[][] wanted)
    {
        ClusterMap map = node.Map!;
        wanted = _wanted;
        if (map.Tables.Length == 0 || (ReferenceEquals(map, _planned) && !_hasNews && now < _repeatAt))
        {
            return [];
        }

        if (!map.Members.AsSpan().SequenceEqual(_members))
        {
            _members = map.Members;
            _wanted = wanted = new Ring([.. map.Members.Select(m => new RingMember(m.Node, (int)m.WeightPercent, m.Zone))]).Place(map.SegmentBits, map.Replicas);
            foreach (ulong gone in _reports.Keys.Where(id => map.IndexOf(id) < 0).ToArray())
            {
                _reports.Remove(gone);
            }
        }

        (_planned, _hasNews, _repeatAt) = (map, false, now.AfterMs(RepeatMs));
        bool waits = Array.Exists(map.Chains, c => c.IsDown && c.Members.Length > 0 && c.Members[0].IsRestarted);
        _waitsSince = !waits ? Instant.Never : _waitsSince == Instant.Never ? now : _waitsSince;
        IsPatienceOver = waits && now.MsSince(_waitsSince) > node.Limits.RecoveryWaitMs;
        List<PlannedStep> steps = Planner.Next(map, _wanted, this, MostCopies, MostSeals);
        Note(steps, map);
        return steps;
    }

    bool IChainReports.IsComplete(int segment, ulong id, ulong appended) => Claims(id)?.Claims.GetValueOrDefault((segment, ClaimKind.Complete)) == appended;

    bool IChainReports.HasCaughtUp(int segment, ulong id, ulong epoch) =>
        Claims(id) is { } report && report.MapVersion >= epoch && report.Claims.ContainsKey((segment, ClaimKind.CaughtUp));

    bool IChainReports.HasDiverged(int segment, ulong id, ulong epoch) =>
        Claims(id) is { } report && report.Claims.TryGetValue((segment, ClaimKind.Diverged), out ulong claimed) && claimed == epoch;

    /// <inheritdoc/>
    public bool IsPatienceOver { get; private set; }

    bool IChainReports.IsServing(int segment, ulong id, ulong epoch) => Claims(id)?.Claims.GetValueOrDefault((segment, ClaimKind.Serving)) == epoch;

    (ulong Epoch, ulong Number)? IChainReports.BackAt(int segment, ulong id) =>
        Claims(id) is { } report && report.Claims.TryGetValue((segment, ClaimKind.BackEpoch), out ulong epoch) && report.Claims.TryGetValue((segment, ClaimKind.BackNumber), out ulong number)
            ? (epoch, number)
            : null;

    bool IChainReports.IsSealed(int segment, ulong id, ulong version) => Claims(id)?.Claims.GetValueOrDefault((segment, ClaimKind.Sealed)) == version;

    // A claim of another start of the node is no claim.
    private Report? Claims(ulong id) =>
        _reports.TryGetValue(id, out Report? report) && node.Map!.Member(id)?.Incarnation == report.Incarnation ? report : null;

    /// <summary>Each step is said once, with its reason; a hint that is repeated is not.</summary>
    private void Note(List<PlannedStep> steps, ClusterMap map)
    {
        HashSet<(int, PlannedKind, ulong)> told = [.. steps.Select(s => (s.Segment, s.Kind, s.Node))];
        _told.IntersectWith(told);
        foreach (PlannedStep step in steps)
        {
            if (_told.Add((step.Segment, step.Kind, step.Node)))
            {
                node.Outbox.Note($"map {map.Version}: segment {step.Segment}: {step.Kind} {map.Member(step.Node)?.Address}: {step.Reason}");
            }
        }
    }
}
