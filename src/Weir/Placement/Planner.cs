namespace Weir.Placement;

/// <summary>One small change of a chain on the way to where it should be, or what has to happen before it.</summary>
internal enum PlannedKind
{
    /// <summary>A member is known complete: the map says so.</summary>
    MarkComplete,

    /// <summary>A node copies the segment, so that it can be appended.</summary>
    Copy,

    /// <summary>A newcomer that has caught up becomes the tail.</summary>
    Append,

    /// <summary>The head accepts nothing more, so that the chain can be reordered.</summary>
    Seal,

    /// <summary>The members of a sealed chain take another order.</summary>
    Reorder,

    /// <summary>A member leaves.</summary>
    Remove,

    /// <summary>A member that came back with its journal becomes the head of a segment that nobody else has all of.</summary>
    Lead,
}

/// <summary>A step, and why it is taken.</summary>
/// <param name="Segment">Of this segment.</param>
/// <param name="Kind">What is done.</param>
/// <param name="Node">Who comes, goes, leads or is asked.</param>
/// <param name="Reason">Why, for people.</param>
/// <param name="IsMove">It moves what is held often enough: nothing is less safe where it is taken a little later.</param>
internal readonly record struct PlannedStep(int Segment, PlannedKind Kind, ulong Node, string Reason, bool IsMove = false);

/// <summary>What nodes have reported of their segments, as the planner asks for it.</summary>
internal interface IChainReports
{
    /// <summary>Whether any node has said anything of the segment.</summary>
    bool HasWord(int segment);

    /// <summary>The member says that it is complete under this append (design R9).</summary>
    bool IsComplete(int segment, ulong node, ulong appended);

    /// <summary>The node's copy has caught up, by a map at least as new as the segment's epoch.</summary>
    bool HasCaughtUp(int segment, ulong node, ulong epoch);

    /// <summary>The member's copy counts for nothing, as it found in this epoch (R16).</summary>
    bool HasDiverged(int segment, ulong node, ulong epoch);

    /// <summary>The head is sealed and every member has what it has, under exactly this version of the map (R10).</summary>
    bool IsSealed(int segment, ulong node, ulong version);

    /// <summary>The member heads the segment, in exactly this epoch.</summary>
    bool IsServing(int segment, ulong node, ulong epoch);

    /// <summary>The last entry, by epoch and number, in the journal of a member that came back; null where it has not said so (R23).</summary>
    (ulong Epoch, ulong Number)? BackAt(int segment, ulong node);

    /// <summary>Those that are still away have been waited for long enough.</summary>
    bool IsPatienceOver { get; }

    /// <summary>Who of the two is to go where the member's successor does not acknowledge in this epoch, though both reach the manager (R6); 0 where all is well.</summary>
    ulong Stalled(int segment, ulong node, ulong successor, ulong epoch);

    /// <summary>The manager heard the member of late: it may be relied on where another goes.</summary>
    bool IsHeard(ulong node) => true;

    /// <summary>The two cannot reach each other, as one of them has said.</summary>
    bool AreApart(ulong one, ulong other);

    /// <summary>The stall has lasted so long that nobody will copy from the tail behind it.</summary>
    bool IsStuck(ulong node, ulong successor);
}

/// <summary>
/// Turns the chains that are and the chains that are wanted into the next small steps (design section 3, R10, R18): copy, append, seal and reorder,
/// remove. A pure function: it keeps nothing, so that another manager goes on where one stopped.
/// </summary>
internal static class Planner
{
    /// <summary>The next steps, in the order of segments; last those that may well come to nothing.</summary>
    /// <param name="map">The chains that are.</param>
    /// <param name="wanted">By segment the nodes that should hold it, head first; all of them members.</param>
    /// <param name="reports">What is known of copies.</param>
    /// <param name="mostCopies">How many segments one node may copy at a time.</param>
    /// <param name="mostSeals">How many segments may be sealed at a time.</param>
    public static List<PlannedStep> Next(ClusterMap map, ulong[][] wanted, IChainReports reports, int mostCopies, int mostSeals)
    {
        List<PlannedStep> steps = [];
        Dictionary<ulong, int> copies = [];
        List<(int Segment, ulong Node)> unlikely = [];
        int seals = 0;
        for (int segment = 0; segment < map.Segments; segment++)
        {
            MapChain chain = map.Chains[segment];
            if (chain.Members.Length == 0 || (IsSettled(map, chain, wanted[segment]) && !reports.HasWord(segment)))
            {
                // Nearly all of them, nearly always: nothing is allocated for those.
                continue;
            }

            ulong[] nodes = [.. chain.Members.Select(m => map.Members[m.Member].Node)];
            bool allComplete = MarkComplete(steps, reports, segment, chain, nodes);
            if (chain.IsDown)
            {
                Lead(steps, reports, segment, chain, nodes);
                continue;
            }

            if (Array.FindIndex(chain.Members, m => m.IsRestarted) is >= 0 and int back)
            {
                if (reports.IsServing(segment, nodes[0], chain.Epoch))
                {
                    steps.Add(new PlannedStep(segment, PlannedKind.Remove, nodes[back], "it was started again and others hold the segment: it comes back as a newcomer"));
                }

                continue;
            }

            if (RemoveDiverged(steps, reports, segment, chain, nodes))
            {
                continue;
            }

            ulong[] missing = Array.FindAll(wanted[segment], node => !nodes.Contains(node));
            if (RemoveStalled(steps, reports, segment, chain, nodes, missing.Length > 0))
            {
                continue;
            }

            if (missing.Length > 0)
            {
                // Who could not reach the tail cannot copy from it either: the others first.
                ulong first = Array.Find(missing, node => !reports.AreApart(node, nodes[^1]));
                if (first != 0 || nodes.Length < wanted[segment].Length)
                {
                    Bring(steps, reports, segment, chain, wanted[segment].Length, first == 0 ? missing[0] : first, copies, mostCopies);
                }
                else
                {
                    unlikely.Add((segment, missing[0]));
                }
            }
            else if (allComplete)
            {
                Settle(steps, reports, map, segment, nodes, wanted[segment], ref seals, mostSeals);
            }
        }

        // The way may be there again, and who is drained waits for nothing else (docs/decisions/0088): a copy that does not come costs a place that nobody needs.
        foreach ((int segment, ulong node) in unlikely)
        {
            Bring(steps, reports, segment, map.Chains[segment], wanted[segment].Length, node, copies, mostCopies);
        }

        return steps;
    }

    private static bool IsSettled(ClusterMap map, in MapChain chain, ulong[] wanted)
    {
        if (chain.IsDown || chain.Members.Length != wanted.Length || map.Members[chain.Members[0].Member].Node != wanted[0])
        {
            return false;
        }

        foreach (ChainMember member in chain.Members)
        {
            if (!member.IsComplete || Array.IndexOf(wanted, map.Members[member.Member].Node) < 0)
            {
                return false;
            }
        }

        return true;
    }

    private static bool MarkComplete(List<PlannedStep> steps, IChainReports reports, int segment, in MapChain chain, ulong[] nodes)
    {
        bool all = true;
        for (int place = 0; place < nodes.Length; place++)
        {
            ChainMember member = chain.Members[place];
            if (!member.IsComplete)
            {
                all = false;
                if (reports.IsComplete(segment, nodes[place], member.Appended))
                {
                    steps.Add(new PlannedStep(segment, PlannedKind.MarkComplete, nodes[place], "it holds every entry that was acknowledged"));
                }
            }
        }

        return all;
    }

    /// <summary>The journal that has most leads, once all that may have more are back, or were waited for long enough: each has what was acknowledged.</summary>
    private static void Lead(List<PlannedStep> steps, IChainReports reports, int segment, in MapChain chain, ulong[] nodes)
    {
        bool areAllBack = Array.TrueForAll(chain.Members, m => !m.IsComplete);
        (ulong Epoch, ulong Number)? most = null;
        ulong leader = 0;
        for (int place = 0; place < nodes.Length; place++)
        {
            if (!chain.Members[place].IsRestarted)
            {
                continue;
            }

            (ulong, ulong)? at = reports.BackAt(segment, nodes[place]);
            areAllBack &= at is not null;
            if (at is { } known && (most is not { } other || known.CompareTo(other) > 0))
            {
                (most, leader) = (known, nodes[place]);
            }
        }

        if (most is not null && (areAllBack || reports.IsPatienceOver))
        {
            steps.Add(new PlannedStep(segment, PlannedKind.Lead, leader, "its journal has everything that was acknowledged"));
        }
    }

    private static bool RemoveDiverged(List<PlannedStep> steps, IChainReports reports, int segment, in MapChain chain, ulong[] nodes)
    {
        // Never the head: what it holds is what the others are measured by.
        for (int place = 1; place < nodes.Length; place++)
        {
            if (reports.HasDiverged(segment, nodes[place], chain.Epoch))
            {
                steps.Add(new PlannedStep(segment, PlannedKind.Remove, nodes[place], "its last entry does not stand at its predecessor's"));
                return true;
            }
        }

        return false;
    }

    /// <summary>
    /// Who does not acknowledge goes (R6): an incomplete member always; a complete one only if two complete members stay, or a newcomer was appended,
    /// which has caught up and is complete as soon as its new predecessor has told it so. Where the tail cannot be copied from, being cut off since
    /// before this epoch, no newcomer ever comes, and the last but one goes all the same (docs/decisions/0053).
    /// </summary>
    /// <returns>Whether one goes now.</returns>
    private static bool RemoveStalled(List<PlannedStep> steps, IChainReports reports, int segment, in MapChain chain, ulong[] nodes, bool isOneMissing)
    {
        for (int place = 0; place + 1 < nodes.Length; place++)
        {
            if (reports.Stalled(segment, nodes[place], nodes[place + 1], chain.Epoch) is not 0 and ulong gone)
            {
                bool isAlone = isOneMissing && reports.IsStuck(nodes[place], nodes[place + 1]);
                if (MayGo(reports, chain, nodes, Array.IndexOf(nodes, gone), isAlone))
                {
                    string reason = gone == nodes[place] ? "its successors do not acknowledge, one after another" : "it does not acknowledge to its predecessor";
                    steps.Add(new PlannedStep(segment, PlannedKind.Remove, gone, reason));
                    return true;
                }

                if (!chain.Members[place + 1].IsComplete && MayGo(reports, chain, nodes, place + 1, isAlone))
                {
                    steps.Add(new PlannedStep(segment, PlannedKind.Remove, nodes[place + 1], "it does not acknowledge to its predecessor, which has to stay"));
                    return true;
                }
            }
        }

        return false;
    }

    private static bool MayGo(IChainReports reports, in MapChain chain, ulong[] nodes, int gone, bool isAlone)
    {
        // Who is silent may be out of the chain before the next step: one that stays beside it is left alone with what this one holds too (seed 395412).
        ChainMember[] stay = [.. chain.Members.Where((_, place) => place != gone)];
        int heard = nodes.Where((node, place) => place != gone && reports.IsHeard(node)).Count();
        return stay.Length > 0 && stay[0].IsComplete && (!chain.Members[gone].IsComplete || heard > 1 || isAlone);
    }

    private static void Bring(
        List<PlannedStep> steps, IChainReports reports, int segment, in MapChain chain, int wanted, ulong node, Dictionary<ulong, int> copies, int mostCopies)
    {
        if (reports.HasCaughtUp(segment, node, chain.Epoch))
        {
            steps.Add(new PlannedStep(segment, PlannedKind.Append, node, "it has caught up", IsMove: chain.Members.Length >= wanted));
        }
        else if (copies.GetValueOrDefault(node) < mostCopies)
        {
            copies[node] = copies.GetValueOrDefault(node) + 1;
            steps.Add(new PlannedStep(segment, PlannedKind.Copy, node, "it should hold the segment and does not"));
        }
    }

    private static void Settle(
        List<PlannedStep> steps, IChainReports reports, ClusterMap map, int segment, ulong[] nodes, ulong[] wanted, ref int seals, int mostSeals)
    {
        if (nodes[0] != wanted[0])
        {
            // Where the head leaves and the next is who should lead, it simply leaves.
            if (!wanted.Contains(nodes[0]) && nodes[1] == wanted[0])
            {
                steps.Add(new PlannedStep(segment, PlannedKind.Remove, nodes[0], "it should not hold the segment, and the next leads", IsMove: true));
            }
            else if (reports.IsSealed(segment, nodes[0], map.Version))
            {
                steps.Add(new PlannedStep(segment, PlannedKind.Reorder, wanted[0], "it should lead"));
            }
            else if (seals++ < mostSeals)
            {
                steps.Add(new PlannedStep(segment, PlannedKind.Seal, nodes[0], "another should lead", IsMove: true));
            }
        }
        else if (Array.Find(nodes, node => !wanted.Contains(node)) is not 0 and ulong extra)
        {
            steps.Add(new PlannedStep(segment, PlannedKind.Remove, extra, "it should not hold the segment", IsMove: true));
        }
    }
}
