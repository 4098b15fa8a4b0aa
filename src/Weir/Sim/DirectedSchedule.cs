using Weir.Client;
using Weir.Keys;
using Weir.Placement;
using Weir.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Sim;

/// <summary>
/// Plays a named schedule on purpose: waits for its moment and does what makes it. Whether it took place is for the watch to say. Not thread-safe.
/// </summary>
internal sealed class DirectedSchedule(
    SimCluster cluster, SwarmOptions options, ClusterProbe probe, ScheduleWatch watch, FaultPlay faults, IReadOnlyList<TrainingWorkload> jobs)
{
    private Instant _until;

    /// <summary>Plays a schedule, if its moment comes in time.</summary>
    public Task PlayAsync(NamedSchedule schedule, Instant until)
    {
        _until = until;
        return schedule switch
        {
            NamedSchedule.AppendUnreadByCutOffTail => CutOffTailAsync(),
            NamedSchedule.TwoMembersKilled => KillTwoAsync(),
            NamedSchedule.SwapAfterResume => HoldSwapAsync(),
            NamedSchedule.LateSlice => HoldSlicesAsync(),
            NamedSchedule.DeathAmidSent => KillAmidSentAsync(),
            NamedSchedule.HeadDeathAfterClock => KillAfterClockAsync(),
            NamedSchedule.RegisterLostAfterSwap => LoseRegisterAsync(),
            NamedSchedule.KillBeforeAcknowledge => KillWhenAsync(node => node.State.HeadedSegments.Any(s => s.Waiting.Count > 0)),
            NamedSchedule.SealWithoutManager => KillManagerAsync(),
            _ => Task.CompletedTask,
        };
    }

    private static FrameKind Kind(FrameBuffer frame) => (FrameKind)frame.Span[5];

    /// <summary>Waits for a moment. False where it did not come in time.</summary>
    private async Task<bool> UntilAsync(Func<bool> moment)
    {
        while (cluster.Scheduler.Now < _until)
        {
            if (moment())
            {
                return true;
            }

            await cluster.Scheduler.Delay(1, CancellationToken.None);
        }

        return false;
    }

    /// <summary>
    /// A chain of one and a newcomer that has caught up: the one is cut off from the other servers before it reads the append, and goes on
    /// acknowledging by itself.
    /// </summary>
    private async Task CutOffTailAsync()
    {
        int victim = options.Servers - 1, tail = -1;
        if (!await UntilAsync(() => !probe.IsChanging && probe.MayLose(victim)))
        {
            return;
        }

        faults.Die(victim);
        bool found = await UntilAsync(() =>
        {
            ClusterMap map = probe.Newest!;
            int manager = probe.Manager();
            tail = -1;
            for (int server = 0; server < cluster.Nodes.Count && tail < 0; server++)
            {
                if (!cluster.Runs(server) || cluster.Nodes[server].Map is null)
                {
                    continue;
                }

                foreach (Segment copied in cluster.Nodes[server].State.Held.Where(s => s.Target is { IsWhole: true }))
                {
                    MapChain chain = map.Chains[copied.Index];
                    int last = chain.Members.Length == 1 ? (int)map.Members[chain.Head].Node - 1 : -1;
                    tail = last >= 0 && last != manager && cluster.Runs(last) ? last : tail;
                }
            }

            return tail >= 0;
        });
        if (found)
        {
            faults.Trail($"server:{tail} is cut off before it reads an append");
            faults.CutOff(tail, from: true, to: true);
            int cut = tail;
            faults.After(3 * options.NodeTimeoutMs, () => faults.CutOff(cut, false, false));
        }
    }

    private async Task KillTwoAsync()
    {
        int one = -1, other = -1;
        bool found = await UntilAsync(() =>
        {
            if (probe.IsChanging || probe.Newest is not { } map)
            {
                return false;
            }

            foreach (MapChain chain in map.Chains.Where(c => c.Members.Length == 3))
            {
                int[] servers = [.. chain.Members.Select(m => (int)map.Members[m.Member].Node - 1).Where(s => s >= options.Acceptors)];
                if (servers.Length >= 2 && probe.MayLose(servers[0], servers[1]))
                {
                    (one, other) = (servers[0], servers[1]);
                    return true;
                }
            }

            return false;
        });
        if (found)
        {
            faults.Die(one);
            await cluster.Scheduler.Delay(options.NodeTimeoutMs / 4, CancellationToken.None);
            faults.Die(other);
        }
    }

    /// <summary>The swap of a reorder is held on its way and its manager cut off, until the head that was sealed for it has resumed.</summary>
    private async Task HoldSwapAsync()
    {
        if (!await UntilAsync(() => !probe.IsChanging))
        {
            return;
        }

        SimPort? held = null;
        bool isCut = false;
        Instant quietUntil = default;
        cluster.Network.Delays = (from, to, frame) =>
        {
            if (from != held && Kind(frame) is FrameKind.PaxosPrepare or FrameKind.PaxosAccept && cluster.Scheduler.Now < quietUntil)
            {
                // Nobody takes over before the head has waited long enough to resume.
                return -1;
            }

            if (Kind(frame) != FrameKind.PaxosAccept || (held is not null && held != from) || !IsReorder(from, frame))
            {
                return 0;
            }

            held = from;
            if (!isCut)
            {
                isCut = true;
                quietUntil = cluster.Scheduler.Now.AfterMs(options.NodeTimeoutMs * 3 / 2);
                int manager = (int)((ServerNode)from.Machine!).State.Options.Node - 1;
                faults.Trail($"a swap of server:{manager} is held");
                cluster.Scheduler.At(cluster.Scheduler.Now, () => faults.CutOff(manager, true, true));
                faults.After(5 * options.NodeTimeoutMs, () => faults.CutOff(manager, false, false));
            }

            return 4000 * options.NodeTimeoutMs;
        };
        faults.Join();
        await UntilAsync(() => isCut);
    }

    private bool IsReorder(SimPort from, FrameBuffer frame)
    {
        if (!PaxosBody.TryRead(frame.Span[FrameHeader.Size..], hasValue: true, out PaxosBody accept) || accept.Cell != 1 || !MapEncoding.TryDecode(accept.Value.Bytes.Span, out ClusterMap map))
        {
            return false;
        }

        ClusterMap newest = probe.Newest!;
        for (int segment = 0; segment < map.Segments; segment++)
        {
            MapChain chain = map.Chains[segment], before = newest.Chains[segment];
            if (chain.Members.Length > 1 && before.Members.Length == chain.Members.Length && map.Members[chain.Head].Node != newest.Members[before.Head].Node
                && newest.Members[before.Head].Address != from.Address)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>All slices of some first copies take longer than their newcomer waits.</summary>
    private async Task HoldSlicesAsync()
    {
        const int Copies = 4;
        const long HeldUs = 2_300_000;
        HashSet<(uint Segment, ulong Newcomer, ulong Attempt)> held = [];
        cluster.Network.Delays = (_, _, frame) =>
        {
            if (Kind(frame) != FrameKind.CopySlice)
            {
                return 0;
            }

            var reader = new ByteReader(frame.Span[FrameHeader.Size..]);
            var head = CopySliceHead.Read(ref reader);
            (uint, ulong, ulong) copy = (head.Segment, head.NewcomerIncarnation, head.Attempt);
            if (!held.Contains(copy) && (held.Count >= Copies || held.Any(h => h.Segment == head.Segment)))
            {
                return 0;
            }

            held.Add(copy);
            return HeldUs;
        };
        faults.Join();
        await UntilAsync(() => false);
    }

    /// <summary>A host dies once one node has its Sent; what it sends to the others is lost with it.</summary>
    private async Task KillAmidSentAsync()
    {
        await cluster.Scheduler.Delay(200, CancellationToken.None);
        TrainingWorkload? job = jobs.FirstOrDefault(j => j.Aggregates);
        if (job is null || job.IsDone || job.Hosts.Count() < 2)
        {
            return;
        }

        WeirClient host = job.Hosts.Last();
        SimPort port = cluster.Clients[host], first = port;
        cluster.Network.Delays = (from, to, frame) =>
        {
            if (from != port || Kind(frame) != FrameKind.Sent)
            {
                return 0;
            }

            if (first == port)
            {
                first = to;
                cluster.Scheduler.At(cluster.Scheduler.Now.AfterUs(options.Network.MaxDelayUs + 1000), () =>
                {
                    if (!port.IsDead)
                    {
                        faults.Kill(host, vanishes: true);
                    }
                });
            }

            return to == first ? 0 : -1;
        };
        await UntilAsync(() => port.IsDead);
    }

    /// <summary>One head hears of Sents later than others, and dies when a worker has ended an iteration that is open there.</summary>
    private async Task KillAfterClockAsync()
    {
        int victim = options.Servers - 1;
        cluster.Network.Delays = (_, to, frame) => to == cluster.Servers[victim] && Kind(frame) == FrameKind.Sent ? 60_000 : 0;
        if (await UntilAsync(() => cluster.Nodes[victim].State.HeadedSegments.Any(watch.IsHeldAfterClock) && probe.MayLose(victim)))
        {
            faults.Die(victim);
        }

        cluster.Network.Delays = null;
    }

    private async Task LoseRegisterAsync()
    {
        await cluster.Scheduler.Delay(150, CancellationToken.None);
        faults.Join();
        if (await UntilAsync(() => cluster.Scheduler.Now.MsSince(watch.SwappedAt) < 2 && Enumerable.Range(0, options.Acceptors).All(cluster.Runs)))
        {
            faults.LoseRegister(options.Replicas == 0 ? options.NodeTimeoutMs / 4 : 2 * options.NodeTimeoutMs);
        }
    }

    private async Task KillWhenAsync(Func<ServerNode, bool> moment)
    {
        int victim = -1;
        bool found = await UntilAsync(() =>
        {
            victim = Enumerable.Range(options.Acceptors, cluster.Nodes.Count - options.Acceptors).FirstOrDefault(s => cluster.Runs(s) && moment(cluster.Nodes[s]) && probe.MayLose(s), -1);
            return victim >= 0;
        });
        if (found)
        {
            faults.Die(victim);
        }
    }

    private async Task KillManagerAsync()
    {
        if (!await UntilAsync(() => !probe.IsChanging))
        {
            return;
        }

        faults.Join();
        bool IsSealed(int server) => cluster.Runs(server) && cluster.Nodes[server].State.HeadedSegments.Any(s => s.IsSealed);
        int manager = -1;
        bool found = await UntilAsync(() =>
        {
            manager = probe.Manager();
            return manager >= 0 && probe.MayLose(manager) && probe.RegisterStandsWithout(manager) && Enumerable.Range(0, cluster.Nodes.Count).Any(s => s != manager && IsSealed(s));
        });
        if (found)
        {
            faults.Die(manager);
        }
    }
}
