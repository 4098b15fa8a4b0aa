using Weir.Keys;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>A well-behaved peer that talks to a node in whole frames, one turn each.</summary>
internal sealed class FuzzPeer(ServerNode node, FramePool pool, FuzzNetwork network, LinkId link)
{
    private static readonly Instant Now = new(0);

    private FrameSamples.Names _names = FrameSamples.Names.Default with { MapVersion = 1 };

    /// <summary>Sends a frame, ends the turn, and gives the frames that came back to this peer.</summary>
    public List<byte[]> Send(byte[] bytes)
    {
        network.Replies.Clear();
        FrameBuffer frame = pool.Rent(bytes.Length);
        bytes.CopyTo(frame.Span);
        node.Receive(link, frame, Now);
        node.EndTurn();
        return network.Replies;
    }

    /// <summary>A plain table, a job of two workers on one host, an aggregating table, and a session of its own.</summary>
    public FrameSamples.Names OpenEverything()
    {
        uint plain = (uint)Change(FrameKind.OpenTable, new OpenTableBody("weights", FrameSamples.Width, UpdateRule.Add, 0.5f, false, 0, KeyLifetime.Default)).First;
        uint group = (uint)Change(FrameKind.OpenJob, new OpenJobBody("job", 2, 1, false, 5)).First;
        Change(FrameKind.JoinProcess, new JoinProcessBody(20, 21, group, "host 20"));
        uint aggregating = (uint)Change(
            FrameKind.OpenTable, new OpenTableBody("sums", FrameSamples.Width, UpdateRule.Sgd(0.1f), 0, true, group, KeyLifetime.Default)).First;
        ulong own = Change(FrameKind.OpenSession, new OpenSessionBody(40, 41, 0, 0, 0)).First;
        ulong worker = node.Map!.Job(group)!.Workers[0].Session;
        return new FrameSamples.Names(plain, aggregating, group, own, worker, node.Map.Version);
    }

    /// <summary>
    /// Opens a table of its own, pushes two rows to it and reads them back; false where the node heads no segment any more, or decides no map.
    /// </summary>
    public bool PushesAndPulls(string table)
    {
        if (node.ManagerTerm is null)
        {
            // The register has accepted what another proposer wrote, as from any node.
            return false;
        }

        if (node.Map!.Generation != 1)
        {
            // A mutated map that was swapped in says that the cluster was restored since: what names the first generation is refused.
            return false;
        }

        _names = _names with { MapVersion = node.Map.Version };
        uint id = (uint)Change(FrameKind.OpenTable, new OpenTableBody(table, FrameSamples.Width, UpdateRule.Add, 0, false, 0, KeyLifetime.Default)).First;
        ulong session = Change(FrameKind.OpenSession, new OpenSessionBody(0xABCDEF, 1, 0, 0, 0)).First;
        // Nodes that joined, or a map swapped in by a peer, may have taken segments: the node serves by itself those that it alone holds.
        int segment = Enumerable.Range(0, node.Map.Segments).FirstOrDefault(s => node.Map.Head(s)?.Node == 1 && node.Map.Chains[s].Members.Length == 1, -1);
        if (segment < 0)
        {
            return false;
        }

        SamplePart part = FrameSamples.Part(id, segment, 1, 0, 2);
        byte[] pushed = Assert.Single(Send(FrameSamples.Frame(FrameKind.Push, new DataBody([part], []), _names, session)));
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(pushed.AsSpan(FrameHeader.Size), replies));
        Assert.Equal(Status.Acked, Assert.Single(replies).Status);

        var item = new SampleItem(id, segment, 0, PullItem.NoBound, 0, FrameSamples.KeysOf(segment, 3));
        byte[] pulled = Assert.Single(Send(FrameSamples.Frame(FrameKind.Pull, new DataBody([], [item]), _names)));
        var reader = new ByteReader(pulled.AsSpan(FrameHeader.Size));
        Assert.Equal(1u, reader.UInt32());
        reader.UInt32();
        Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem head, out ReadOnlySpan<byte> found, out ReadOnlySpan<byte> values));
        Assert.Equal(Status.Acked, head.Status);
        Assert.Equal(0b011, found[0]);
        Assert.Equal(part.Values, System.Runtime.InteropServices.MemoryMarshal.Cast<byte, float>(values).ToArray());
        return true;
    }

    public AdminReplyBody Change<TBody>(FrameKind kind, in TBody body)
        where TBody : IBody
    {
        List<byte[]> replies = Send(FrameSamples.Frame(kind, body, _names));
        byte[] frame = replies.Last(r => FrameHeader.TryRead(r, out FrameHeader h) == HeaderFault.None && h.Kind == FrameKind.AdminReply);
        Assert.True(AdminReplyBody.TryRead(frame.AsSpan(FrameHeader.Size), out AdminReplyBody reply));
        Assert.True(reply.Status == Status.Acked, $"{kind}: {reply.Status}: {reply.Text}");
        return reply;
    }
}
