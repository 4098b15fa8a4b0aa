using Weir.Keys;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>Values in fewer bytes as a node takes and gives them.</summary>
public class RoundedValuesTests
{
    private const int Segment = 6;
    private static readonly ulong[] Keys = FrameSamples.SpreadKeys(Segment, 40);
    private static readonly float[] Values = [.. Enumerable.Range(0, 80).Select(i => i + 0.37f)];

    [Theory]
    [InlineData((int)ValueFilters.BFloat16)]
    [InlineData((int)ValueFilters.Int8)]
    public void An_answer_is_rounded_where_the_item_takes_that_and_alike_for_the_same_iteration(int takes)
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable(width: 2);
        ulong session = node.OpenSession();
        node.Receive(FrameKind.Push, new DataBody([new SamplePart(table, Segment, 1, new Seq(0, 1, 0), PartOperation.Update, Keys, Values)], []), session);
        var item = new SampleItem(table, Segment, 3, PullItem.NoBound, 0, Keys);
        (ValueEncoding raw, byte[] exact) = Pull(node, item);
        Assert.Equal(ValueEncoding.Raw, raw);
        (ValueEncoding encoding, byte[] first) = Pull(node, item with { Takes = (ValueFilters)takes });
        Assert.Equal((ValueFilters)takes == ValueFilters.Int8 ? ValueEncoding.Int8 : ValueEncoding.BFloat16, encoding);
        Assert.InRange(first.Length, 80, exact.Length / 2);
        Assert.Equal(first, Pull(node, item with { Takes = (ValueFilters)takes }).Bytes);
        Assert.NotEqual(first, Pull(node, item with { Takes = (ValueFilters)takes, Iteration = 4 }).Bytes);
    }

    [Fact]
    public void A_peer_that_will_use_an_encoding_the_node_does_not_know_is_refused_by_name()
    {
        using var node = new NodeHarness();
        node.Receive(FrameKind.Hello, new HelloBody(9, 9, 1, 1, KnownEncodings.All, ""));
        Assert.True(HelloBody.TryRead(node.Body(FrameKind.HelloReply), out HelloBody reply));
        Assert.Equal(KnownEncodings.All, reply.Encodings);
        node.Receive(FrameKind.Hello, new HelloBody(9, 9, 1, 1, KnownEncodings.Int8 | (KnownEncodings)64, ""));
        Assert.True(StatusBody.TryRead(node.Body(FrameKind.Error), out StatusBody error));
        Assert.Equal(Status.Conflict, error.Status);
        Assert.Contains("does not know the encodings 64", error.Text);
    }

    private static (ValueEncoding Encoding, byte[] Bytes) Pull(NodeHarness node, SampleItem item)
    {
        node.Receive(FrameKind.Pull, new DataBody([], [item]));
        var reader = new ByteReader(node.Body(FrameKind.PullReply).AsSpan(PullReplyItem.CountSize));
        Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out _, out ReadOnlySpan<byte> bytes));
        return (piece.ValueEncoding, bytes.ToArray());
    }
}
