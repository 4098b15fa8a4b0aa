using Weir.Keys;
using Weir.Register;
using Weir.World;

namespace Weir.Server;

/// <summary>What the lease cell holds: who is the manager (design R3). Terms rise by takeovers and are never used again.</summary>
internal readonly record struct LeaseContent(ulong Term, ulong Node, ulong Incarnation, string Address)
{
    public byte[] Encode()
    {
        byte[] bytes = new byte[24 + ByteWriter.TextBytes(Address)];
        var writer = new ByteWriter(bytes);
        writer.UInt64(Term);
        writer.UInt64(Node);
        writer.UInt64(Incarnation);
        writer.Text(Address);
        return bytes;
    }

    public static bool TryDecode(ReadOnlySpan<byte> bytes, out LeaseContent content)
    {
        var reader = new ByteReader(bytes);
        content = new LeaseContent(reader.UInt64(), reader.UInt64(), reader.UInt64(), reader.Text());
        return reader.AtEnd && content.Term > 0;
    }
}

/// <summary>
/// The manager's lease at one node: the holder renews it, another takes it over once it has not changed for a time by its own clock. Heartbeats
/// bring its version, so that those who wait need not read the register: a swap that expects the version seen then succeeds only where nobody
/// renewed since. A holder may not know yet that it lost the lease; what it must not do then, the term in the map prevents (design R3). Not
/// thread-safe.
/// </summary>
internal sealed class ManagerLease(NodeState node, RegisterCalls register)
{
    /// <summary>So many renewals fill any lease.</summary>
    private const ulong MostRenewals = 1000;

    private LeaseContent _content;
    private ulong _version;
    private ulong _term;
    private bool _isKnown;
    private bool _mustRead;
    private bool _isAsking;
    private bool _hasResigned;
    private Instant _seen;
    private Instant _nextRenewal;
    private Instant _nextLook = Instant.Never;

    /// <summary>Whether this node holds the lease as far as it knows.</summary>
    public bool IsHeld { get; private set; }

    /// <summary>When an operation on the register last came to an end that is known.</summary>
    public Instant Answered { get; private set; }

    /// <summary>The term of the holder, as far as known.</summary>
    public ulong Term => _term;

    /// <summary>The version of the cell, as far as known: it rises with each renewal.</summary>
    public ulong Version => _version;

    /// <summary>Where the holder is reached; null where the cell was not read.</summary>
    public string? Address => _content.Address;

    /// <summary>Another node told of the lease: it was renewed. A newer one than the holder knows of has another holder.</summary>
    public void Observe(ulong term, ulong version, Instant now)
    {
        if (version <= _version)
        {
            return;
        }

        if (IsHeld)
        {
            _mustRead = true;
        }
        else
        {
            (_version, _term, _seen, _isKnown) = (version, Math.Max(_term, term), now, true);
        }
    }

    /// <summary>This node was asleep: that time is not the holder's silence.</summary>
    public void Forgive(long gapMs) => _seen = _seen.AfterMs(gapMs);

    /// <summary>A newer term stands in the map: somebody else holds the lease.</summary>
    public void GiveUp() => (IsHeld, _mustRead) = (false, true);

    /// <summary>This node has left the map: it lets the lease lapse.</summary>
    public void Resign() => (IsHeld, _hasResigned) = (false, true);

    /// <summary>Renews the lease, or takes it over where <paramref name="patienceMs"/> have passed since it was last seen to change.</summary>
    /// <param name="now">The time.</param>
    /// <param name="patienceMs">Null for a node that may not become the manager.</param>
    /// <param name="lowestTerm">A term to exceed besides the holder's: the map's.</param>
    /// <param name="seeks">Nobody whom this node asks can tell where the manager is: every so often it reads that.</param>
    public void Tick(Instant now, long? patienceMs, ulong lowestTerm, bool seeks)
    {
        if (_isAsking || _hasResigned)
        {
            return;
        }

        if (!IsHeld && patienceMs is null)
        {
            Look(now, seeks);
            return;
        }

        if (_mustRead || !_isKnown)
        {
            Read();
        }
        else if (IsHeld)
        {
            if (now >= _nextRenewal)
            {
                Swap(_term, now);
            }
        }
        else if (_version == 0 || now.MsSince(_seen) >= patienceMs)
        {
            Swap(Math.Max(_term, lowestTerm) + 1, now);
        }
    }

    private void Look(Instant now, bool seeks)
    {
        bool isTime = seeks && _nextLook != Instant.Never && now >= _nextLook;
        if (isTime)
        {
            Read();
        }

        _nextLook = !seeks ? Instant.Never : isTime || _nextLook == Instant.Never ? now.AfterMs(node.Limits.LeaseTimeoutMs) : _nextLook;
    }

    private void Read()
    {
        _isAsking = true;
        register.Read(RegisterCell.Lease, (result, at) => Ended(result, default, at));
    }

    private void Swap(ulong term, Instant now)
    {
        _isAsking = true;
        _nextRenewal = now.AfterMs(node.Limits.LeaseRenewMs);
        var content = new LeaseContent(term, node.Options.Node, node.Options.Incarnation, node.Options.Address);
        register.CompareAndSwap(RegisterCell.Lease, _version, content.Encode(), (result, at) => Ended(result, content, at));
    }

    /// <summary>An operation has ended, a swap to <paramref name="written"/> or a read. The content says whose lease it is, whatever became of the swap.</summary>
    private void Ended(in RegisterResult result, in LeaseContent written, Instant now)
    {
        _isAsking = false;
        _mustRead = result.Outcome == RegisterOutcome.Unknown;
        Answered = _mustRead ? Answered : now;
        if (_mustRead || result.Version < _version)
        {
            return;
        }

        if (result.Outcome == RegisterOutcome.Done && written.Term != 0)
        {
            _content = written;
        }
        else if (result.Version == 0 || !LeaseContent.TryDecode(result.Value.Span, out _content))
        {
            _content = default;
        }

        if (result.Version > _version || !_isKnown)
        {
            // The holder has renewed since it was last heard of; nobody says when. Each renewal begins no sooner than the pause after the one before: one
            // that has died since is not waited for a whole lease anew, and one that lives has renewed as often as time has passed.
            ulong renewals = result.Version - _version;
            Instant renewed = _isKnown && _content.Term == _term && renewals < MostRenewals ? Instant.Earlier(now, _seen.AfterMs((long)renewals * node.Limits.LeaseRenewMs)) : now;
            (_version, _seen, _isKnown) = (result.Version, renewed, true);
        }

        _term = Math.Max(_term, _content.Term);
        IsHeld = !_hasResigned && _content.Term != 0 && _content.Node == node.Options.Node && _content.Incarnation == node.Options.Incarnation;
    }
}
