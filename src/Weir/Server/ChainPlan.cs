using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The manager's view of the chains (design section 4, R18): what nodes report of their segments, where segments should lie, and the steps
/// that lead there, a bounded number at a time. Not thread-safe.
/// </summary>
internal sealed class ChainPlan(NodeState node, HeardMembers heard) : IChainReports
{
    /// <summary>Segments that a node copies at a time: enough to keep its link busy while small ones wait for their round trips.</summary>
    private const int MostCopies = 32;

    /// <summary>Segments sealed at a time: all of them accept nothing for a few round trips, which take as long for one as for many.</summary>
    private const int MostSeals = 256;

    /// <summary>Chains that are changed at once without waiting for more.</summary>
    private const int ManySteps = 256;

    /// <summary>
    /// How long changes that nobody's safety waits for are gathered while segments are being copied, in milliseconds. In a new epoch the pushes to a segment wait until
    /// its members have found each other, and most pushes touch many segments: changed one after another, one of them always waits.
    /// </summary>
    private const long GatherMs = 1000;

    /// <summary>
    /// How long other changes of chains wait for heads that are sealed under an older map to say so of this one, in milliseconds: ten ticks. A head that
    /// has died meanwhile says nothing more.
    /// </summary>
    private const long SealMs = 100;

    /// <summary>Hints are repeated: whoever got one may have died, or read its map late.</summary>
    private const long RepeatMs = 200;

    private readonly Dictionary<ulong, Report> _reports = [];
    private readonly HashSet<(int Segment, PlannedKind Kind, ulong Node)> _told = [];
    private readonly StalledLinks _links = new(node.Limits.NodeTimeoutMs);
    private ulong[][] _wanted = [];
    private MapMember[] _members = [];
    private int _linksVersion;
    private readonly HashSet<int> _spokenOf = [];
    private ClusterMap? _planned;
    private bool _hasNews;
    private bool _hasSealNews;
    private Instant _now;
    private Instant _repeatAt;
    private Instant _waitsSince = Instant.Never;
    private Instant _sealsUntil;
    private Instant _gatherUntil = Instant.Never;

    private sealed record Report(ulong Incarnation, ulong MapVersion, Dictionary<(int Segment, ClaimKind Kind), ulong> Claims);

    /// <summary>Who is kept apart just now: where segments should lie depends on it.</summary>
    public StalledLinks Links => _links;

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
        _hasSealNews |= claims.Any(claim => claim.Kind == ClaimKind.Sealed && claim.Version == node.Map?.Version);
    }

    /// <summary>Every head that was to be sealed has just said that it is, under the newest map: pushes wait for what follows. True once for each such word.</summary>
    public bool TakeSeals()
    {
        bool areIn = _hasSealNews && node.Map is { } map && AreSealed(map);
        _hasSealNews = false;
        return areIn;
    }

    /// <summary>A head that was sealed under the newest map, or an older one, wants a newer (R10).</summary>
    public bool IsNewMapWanted
    {
        get
        {
            foreach (Report report in _reports.Values)
            {
                foreach (((_, ClaimKind kind), ulong version) in report.Claims)
                {
                    if (kind == ClaimKind.Resuming && version == node.Map!.Version)
                    {
                        return true;
                    }
                }
            }

            return false;
        }
    }

    /// <summary>The steps to take now: empty where nothing has changed since they were last asked for.</summary>
    /// <param name="now">The time.</param>
    /// <param name="wanted">Where the segments should lie.</param>
    public IReadOnlyList<PlannedStep> Next(Instant now, out ulong[][] wanted)
    {
        ClusterMap map = node.Map!;
        wanted = _wanted;
        if (map.IsUntouched || (ReferenceEquals(map, _planned) && !_hasNews && now < _repeatAt))
        {
            return [];
        }

        _spokenOf.Clear();
        _spokenOf.UnionWith(_reports.Values.SelectMany(r => r.Claims.Keys.Select(c => c.Segment)));
        NoteStalled(map, now);
        if (_linksVersion != _links.Version || !map.Members.AsSpan().SequenceEqual(_members))
        {
            (_members, _linksVersion) = (map.Members, _links.Version);
            _wanted = wanted = WantedChains.Of(map, _links.IsAtFault, _links.AreApart);
            ForgetStrangers(map);
        }

        _sealsUntil = ReferenceEquals(map, _planned) ? _sealsUntil : now.AfterMs(SealMs);
        (_planned, _hasNews, _repeatAt) = (map, false, now.AfterMs(RepeatMs));
        bool waits = Array.Exists(map.Chains, c => c.IsDown && c.HasRestarted);
        _waitsSince = !waits ? Instant.Never : _waitsSince == Instant.Never ? now : _waitsSince;
        IsPatienceOver = waits && now.MsSince(_waitsSince) > node.Limits.RecoveryWaitMs;
        List<PlannedStep> steps = Planner.Next(map, _wanted, this, MostCopies, MostSeals);
        Gather(steps, map, now);
        if (now < _sealsUntil && AwaitsSeals(map))
        {
            // Every change raises the version that a seal must be reported under (R10): with many segments under way sealed heads would be passed
            // over until they give up, and pushes to them wait that long.
            steps.RemoveAll(step => step.Kind is PlannedKind.MarkComplete or PlannedKind.Append or PlannedKind.Remove or PlannedKind.Reorder);
        }

        Note(steps, map);
        return steps;
    }

    bool IChainReports.HasWord(int segment) => _spokenOf.Contains(segment);

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

    ulong IChainReports.Stalled(int segment, ulong id, ulong successor, ulong epoch) =>
        !IsStalled(segment, id, successor, epoch) ? 0 : _links.IsAtFault(id) ? id : successor;

    bool IChainReports.IsHeard(ulong id) => Reaches(id);

    bool IChainReports.AreApart(ulong one, ulong other) => _links.AreApart(one, other);

    bool IChainReports.IsStuck(ulong id, ulong successor) => _links.IsStuck(id, successor, _now);

    private bool IsStalled(int segment, ulong id, ulong successor, ulong epoch) =>
        Claims(id) is { } report && report.MapVersion >= epoch && report.Claims.GetValueOrDefault((segment, ClaimKind.Stalled)) == successor
        && Reaches(id) && Reaches(successor);

    // Whoever is silent goes by itself: only where both are heard is it the way between them that is broken.
    private bool Reaches(ulong id) => id == node.Options.Node || (node.Map!.Member(id) is { } member && heard.IsHeard(member, node.Limits.NodeTimeoutMs / 2, _now));

    private void ForgetStrangers(ClusterMap map)
    {
        foreach (ulong gone in _reports.Keys.Where(id => map.IndexOf(id) < 0).ToArray())
        {
            _reports.Remove(gone);
        }
    }

    private bool AreSealed(ClusterMap map) =>
        _told.All(told => told.Kind != PlannedKind.Seal || ((IChainReports)this).IsSealed(told.Segment, told.Node, map.Version));

    /// <summary>Takes in who says of whom that it does not acknowledge.</summary>
    private void NoteStalled(ClusterMap map, Instant now)
    {
        _now = now;
        _links.Tick(id => map.IndexOf(id) >= 0, now);
        foreach ((ulong id, Report report) in _reports)
        {
            foreach (((int segment, ClaimKind kind), ulong successor) in report.Claims)
            {
                if (kind != ClaimKind.Stalled || segment >= map.Segments)
                {
                    continue;
                }

                MapChain chain = map.Chains[segment];
                int place = chain.PlaceOf(map.IndexOf(id));
                if (place >= 0 && chain.PlaceOf(map.IndexOf(successor)) == place + 1 && IsStalled(segment, id, successor, chain.Epoch))
                {
                    _links.Stalled(id, successor, now);
                }
            }
        }
    }

    /// <summary>Moves are made together: once nothing more is on its way, once there are many, or after a while. What brings back a lost copy is made at once, and so is
    /// everything while some cannot reach each other: a copy between those two may never come.</summary>
    private void Gather(List<PlannedStep> steps, ClusterMap map, Instant now)
    {
        int moves = steps.Count(step => step.IsMove);
        _gatherUntil = moves == 0 ? Instant.Never : _gatherUntil == Instant.Never ? now.AfterMs(GatherMs) : _gatherUntil;
        if (moves == 0)
        {
            return;
        }

        bool isMoreOnItsWay = steps.Exists(step => step.Kind is PlannedKind.Copy) || Array.Exists(map.Chains, chain => Array.Exists(chain.Members, member => !member.IsComplete));
        if (isMoreOnItsWay && _links.IsEmpty && moves < ManySteps && now < _gatherUntil)
        {
            steps.RemoveAll(step => step.IsMove);
            return;
        }

        _gatherUntil = Instant.Never;
    }

    private bool AwaitsSeals(ClusterMap map) => _reports.Values.Any(
        report => report.MapVersion < map.Version && report.Claims.Any(claim => claim.Key.Kind == ClaimKind.Sealed));

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
