using Weir.Placement;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// How a head makes way (design R10), and what a node reports of its segments for the manager to act on (R9, R10, R16).
/// </summary>
internal sealed class SealPath(NodeState node, ChainPath chain)
{
    /// <summary>Failure timeouts for a successor that has yet to answer in this epoch while no push waits for it.</summary>
    private const int UnansweredTimeouts = 2;

    private readonly List<Segment> _sealing = [];

    /// <summary>
    /// All heads here that were to be sealed are, and the manager has not heard of it under this map: pushes wait for it, so it is said at once. One report for
    /// all of them, as each may change the map under which the others have to say it.
    /// </summary>
    public bool HasNews
    {
        get
        {
            if (_sealing.Count == 0)
            {
                return false;
            }

            _sealing.RemoveAll(segment => !segment.IsSealing || node.Find((uint)segment.Index) != segment);
            return _sealing.TrueForAll(segment => segment is { IsSealed: true, IsDrained: true }) && _sealing.Exists(segment => segment.SealReported != node.Map!.Version && node.Now.MsSince(segment.SealedAt) <= node.Limits.NodeTimeoutMs);
        }
    }

    /// <summary>Goes on with the seals that were asked for.</summary>
    public void Tick()
    {
        foreach (Segment segment in node.Held)
        {
            if (segment is { IsHead: true, IsSealing: true })
            {
                Sealing(segment);
            }
        }
    }

    /// <summary>The manager wants a head sealed.</summary>
    public void Seal(uint index)
    {
        if (node.Headed(index) is { IsTail: false, IsSealing: false } segment)
        {
            segment.IsSealing = true;
            _sealing.Add(segment);
            Sealing(segment);
        }
    }

    /// <summary>Adds what this node has to say of its segments; where the seal is reported it is noted under which map (design R9, R10, R16).</summary>
    public void Claims(List<Claim> claims)
    {
        foreach (Segment segment in node.Held)
        {
            uint index = (uint)segment.Index;
            if (segment.Target is { IsWhole: true } && !segment.IsUnwritten)
            {
                claims.Add(new Claim(index, ClaimKind.CaughtUp, 0));
            }

            if (segment.IsBack && node.Self >= 0 && node.Map!.Chains[segment.Index].PlaceOf(node.Self) >= 0)
            {
                claims.Add(new Claim(index, ClaimKind.BackEpoch, segment.Log.Last.Epoch));
                claims.Add(new Claim(index, ClaimKind.BackNumber, segment.Log.Last.Number));
            }

            if (segment.Place < 0)
            {
                continue;
            }

            if (segment.IsHead && segment.Chain.HasRestarted)
            {
                claims.Add(new Claim(index, ClaimKind.Serving, segment.Chain.Epoch));
            }

            ChainMember self = segment.Chain.Members[segment.Place];
            if (segment.IsDiverged)
            {
                claims.Add(new Claim(index, ClaimKind.Diverged, segment.Chain.Epoch));
            }
            else if (!self.IsComplete && segment.IsComplete)
            {
                claims.Add(new Claim(index, ClaimKind.Complete, self.Appended));
            }

            if (segment.IsSealed && node.Now.MsSince(segment.SealedAt) > node.Limits.NodeTimeoutMs)
            {
                claims.Add(new Claim(index, ClaimKind.Resuming, segment.SealReported));
            }
            else if (segment is { IsSealed: true, IsDrained: true })
            {
                segment.SealReported = node.Map!.Version;
                claims.Add(new Claim(index, ClaimKind.Sealed, segment.SealReported));
            }

            // Who is not confirmed itself can send nothing down: that is no fault of its successor.
            if (segment is { IsConfirmed: true, Successor: { } successor } && node.Now.MsSince(successor.MovedAt) is var silentMs
                && (successor.Received < segment.Log.Last.Number ? silentMs > node.Limits.NodeTimeoutMs : !successor.HasAnswered && silentMs > UnansweredTimeouts * node.Limits.NodeTimeoutMs))
            {
                claims.Add(new Claim(index, ClaimKind.Stalled, successor.Node));
            }
        }
    }

    /// <summary>A seal begins once no part of an iteration is held, and ends by itself where nothing comes of it (design R10).</summary>
    private void Sealing(Segment segment)
    {
        if (!segment.IsSealed)
        {
            if (segment.Tables.All(t => t.Aggregation is not { Open.Count: > 0 }))
            {
                (segment.IsSealed, segment.SealedAt) = (true, node.Now);
                chain.AskBelow(segment);
            }

            return;
        }

        if (segment.AskAt <= node.Now)
        {
            segment.AskAt = node.Now.AfterMs(node.Limits.ResendMs);
            chain.AskBelow(segment);
        }

        if (node.Now.MsSince(segment.SealedAt) > node.Limits.NodeTimeoutMs && (segment.SealReported == 0 || node.Map!.Version > segment.SealReported))
        {
            // What may rest on the seal rests on an older map than this and fails.
            segment.Unseal();
        }
    }
}
