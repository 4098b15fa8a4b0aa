using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>Parts and items whose keys are packed, kept, named, and no longer kept.</summary>
public class KeyListTests
{
    private const int Segment = 6;
    private static readonly ulong[] Keys = FrameSamples.SpreadKeys(Segment, 12);

    private static float[] Ones => [.. Enumerable.Repeat(1f, Keys.Length)];

    private static SamplePart Kept(uint table, ulong n, ulong[]? keys = null) =>
        new(table, Segment, n, new Seq(0, (uint)n, 0), PartOperation.Update, keys ?? Keys, Ones) { Packs = true, Keep = true };

    private static SamplePart Named(uint table, ulong n, ulong[]? keys = null) => Kept(table, n, keys) with { Keep = false, Names = true };

    [Fact]
    public void A_part_that_names_kept_keys_is_applied_to_them()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal([Status.Acked, Status.Acked, Status.Acked], Push(node, session, Kept(table, 1), Named(table, 2), Named(table, 3)));
        Assert.All(Keys, key => Assert.Equal(3, node.Pull(key)!.Value.Value));
        Assert.Equal((2, 0), node.Node.KeyListReferences);
    }

    [Fact]
    public void A_part_that_names_keys_nobody_keeps_is_asked_for_them_and_changes_nothing()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal([Status.SendKeys, Status.Gap, Status.Gap], Push(node, session, Named(table, 1), Kept(table, 2), Named(table, 3)));
        Assert.All(Keys, key => Assert.Equal(0, node.Pull(key)!.Value.Value));
        Assert.Equal([Status.Acked, Status.Acked, Status.Acked], Push(node, session, Kept(table, 1), Kept(table, 2), Named(table, 3)));
        Assert.All(Keys, key => Assert.Equal(3, node.Pull(key)!.Value.Value));
    }

    [Fact]
    public void A_list_belongs_to_its_table_and_goes_with_it()
    {
        using var node = new NodeHarness();
        uint first = node.OpenTable("a");
        uint second = node.OpenTable("b");
        ulong session = node.OpenSession();
        Push(node, session, Kept(first, 1));
        Assert.Equal([Status.SendKeys], Push(node, session, Named(second, 1)));
        node.Admin(FrameKind.DropTable, new NumberBody(first));
        Assert.Equal(0, node.Node.KeyListBytes);
    }

    [Fact]
    public void The_list_least_recently_used_goes_when_the_room_is_taken_and_is_asked_for_then()
    {
        ulong[] other = [.. FrameSamples.SpreadKeys(Segment, 2 * Keys.Length)[Keys.Length..]];
        ulong[] third = [.. FrameSamples.SpreadKeys(Segment, 3 * Keys.Length)[(2 * Keys.Length)..]];
        using var node = new NodeHarness(new ServerLimits { KeyListBytes = 600 });
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        Push(node, session, Kept(table, 1), Kept(table, 2, other), Named(table, 3), Kept(table, 4, third));
        Assert.InRange(node.Node.KeyListBytes, 1, 600);
        Assert.Equal([Status.SendKeys], Push(node, session, Named(table, 5, other)));
        Assert.Equal([Status.Acked, Status.Acked], Push(node, session, Named(table, 5), Named(table, 6, third)));
        Assert.Equal(1, node.Pull(other[0])!.Value.Value);
    }

    [Fact]
    public void A_list_larger_than_the_room_and_one_of_few_keys_are_not_kept()
    {
        using var node = new NodeHarness(new ServerLimits { KeyListBytes = 200 });
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        Assert.Equal([Status.Acked], Push(node, session, Kept(table, 1)));
        SamplePart few = Kept(table, 2) with { Keys = Keys[..7], Values = Ones[..7] };
        Assert.Equal([Status.Acked], Push(node, session, few));
        Assert.Equal(0, node.Node.KeyListBytes);
    }

    /// <summary>131,000 keys whose hashes follow each other take one byte: what they make a node keep must follow from their bytes.</summary>
    [Fact]
    public void A_list_that_came_in_less_than_a_byte_a_key_is_not_kept()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        node.Receive(FrameKind.Pull, new TinyPull(table, 131_000, KeepKeys: true));
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
        Assert.Equal(0, node.Node.KeyListBytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int rows = 130_000; rows < 130_008; rows++)
        {
            node.Receive(FrameKind.Pull, new TinyPull(table, rows, KeepKeys: true));
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 8 * 8_000);
        Assert.Equal(0, node.Node.KeyListBytes);
    }

    [Fact]
    public void A_turn_is_full_once_its_frames_name_as_many_keys_as_one_holds_raw()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        node.Take(FrameKind.Pull, new TinyPull(table, 100_000, KeepKeys: false));
        Assert.False(node.Node.TurnIsFull);
        node.Take(FrameKind.Pull, new TinyPull(table, 100_000, KeepKeys: false));
        Assert.True(node.Node.TurnIsFull);
        node.Node.EndTurn();
        Assert.False(node.Node.TurnIsFull);
    }

    /// <summary>Each item that names a part has the node read as many keys as the part has, in 56 bytes.</summary>
    [Theory]
    [InlineData(true, 0, 1)]
    [InlineData(true, 1)]
    [InlineData(false, 0, 0)]
    [InlineData(false, 1, 0)]
    public void Items_name_parts_in_their_order_and_none_twice(bool isSound, params int[] named)
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        SampleItem[] items = [.. named.Select(part => new SampleItem(table, Segment, 0, PullItem.NoBound, 0, null, part))];
        node.Receive(FrameKind.PushPull, new DataBody([Kept(table, 1), Kept(table, 2)], items), session);
        Assert.Equal(isSound, node.Find(FrameKind.PullReply) is not null);
        Assert.Equal(!isSound, node.Find(FrameKind.Error) is not null);
        Assert.Equal(isSound ? 2 : 0, node.Pull(Keys[0])!.Value.Value);
    }

    [Fact]
    public void An_item_that_names_a_part_has_as_many_rows()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        byte[] body = Body(new DataBody([Kept(table, 1)], [new SampleItem(table, Segment, 0, PullItem.NoBound, 0, null)]));
        Assert.Equal(Keys.Length, body[^(PullItem.Size - 24)]);
        body[^(PullItem.Size - 24)] = 1;
        node.Receive(FrameKind.PushPull, new RawBody(body), session);
        Assert.Equal(FrameKind.Error, (FrameKind)node.Find(FrameKind.Error)!.Span[5]);
        Assert.Equal(0, node.Pull(Keys[0])!.Value.Value);
    }

    [Fact]
    public void A_reference_with_another_number_of_rows_is_asked_for_its_keys()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        Push(node, session, Kept(table, 1));
        byte[] body = Body(new DataBody([Named(table, 2) with { Operation = PartOperation.Delete, Values = [] }], []));
        body[DataRequestReader.CountsSize + 32] = 11;
        node.Receive(FrameKind.Push, new RawBody(body), session);
        Assert.Equal([Status.SendKeys], Outcomes(node));
    }

    [Fact]
    public void An_item_names_the_keys_that_a_part_left_and_the_answer_leaves_out_its_zeros()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable(width: 2);
        ulong session = node.OpenSession();
        float[] values = FrameSamples.Sparse(24);
        Push(node, session, Kept(table, 1) with { Values = values });
        var item = new SampleItem(table, Segment, 0, PullItem.NoBound, 0, Keys) { Names = true };
        (ValueEncoding encoding, float[] read) = Pull(node, item);
        Assert.Equal(ValueEncoding.Raw, encoding);
        Assert.Equal(values, read);
        (encoding, read) = Pull(node, item with { Takes = ValueFilters.ZeroBitmap });
        Assert.Equal(ValueEncoding.ZeroBitmap, encoding);
        Assert.Equal(values, read);
    }

    [Fact]
    public void An_item_that_names_keys_nobody_keeps_is_asked_for_them_and_keeps_them_itself()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        SampleItem item = new(table, Segment, 0, PullItem.NoBound, 0, Keys);
        node.Receive(FrameKind.Pull, new DataBody([], [item with { Names = true }]));
        Assert.Equal(Status.SendKeys, node.Pulled()!.Value.Status);
        node.Receive(FrameKind.Pull, new DataBody([], [item with { Packs = true, Keep = true }]));
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
        node.Receive(FrameKind.Pull, new DataBody([], [item with { Names = true }]));
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
    }

    [Fact]
    public void A_PushPull_reads_the_keys_of_its_part_however_they_are_written()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable();
        ulong session = node.OpenSession();
        SampleItem ofPart = new(table, Segment, 0, PullItem.NoBound, 0, null);
        node.Receive(FrameKind.PushPull, new DataBody([Kept(table, 1)], [ofPart]), session);
        Assert.Equal([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], Values(node).Values);
        node.Receive(FrameKind.PushPull, new DataBody([Named(table, 2)], [ofPart]), session);
        Assert.Equal([2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2], Values(node).Values);
    }

    [Fact]
    public void A_held_part_holds_the_keys_and_not_their_name()
    {
        using var node = new NodeHarness(new ServerLimits { KeyListBytes = 400 });
        uint group = node.OpenJob(1);
        uint table = node.OpenTable(aggregate: true, group: group);
        ulong session = node.SessionOf(group, 0);
        SamplePart kept = Kept(table, 1) with { Seq = new Seq(1, 1, 0) };
        Assert.Equal([Status.Held, Status.Held], Push(node, session, kept, Named(table, 2) with { Seq = new Seq(1, 2, 0) }));
        ulong[] other = FrameSamples.KeysOf(Segment, Keys.Length);
        node.Receive(FrameKind.Pull, new DataBody([], [new SampleItem(table, Segment, 0, PullItem.NoBound, 0, other) { Keep = true }]));
        node.Receive(FrameKind.Sent, new SentBody(group, 0, 1, 0, 63, [new SentEntry(table, Segment, 2)]), session);
        Assert.All(Keys, key => Assert.Equal(2, node.Pull(key)!.Value.Value));
    }

    [Fact]
    public void Rows_that_would_not_fit_a_frame_as_they_are_are_refused_however_short_they_are_written()
    {
        using var node = new NodeHarness();
        uint table = node.OpenTable(width: 1000);
        ulong session = node.OpenSession();
        ulong[] keys = FrameSamples.KeysOf(Segment, 200);
        SamplePart part = Kept(table, 1, keys) with { Values = new float[200 * 1000] };
        Assert.Equal([Status.Acked], Push(node, session, part));
        Assert.Equal([Status.Acked, Status.Malformed], Push(node, session, part with { N = 2, Seq = new Seq(0, 2, 0) }, part with { N = 3, Seq = new Seq(0, 3, 0) }));

        var deletes = new SamplePart(table, Segment, 1, new Seq(0, 9, 0), PartOperation.Delete, FrameSamples.KeysOf(Segment, 100_000), []) { Packs = true };
        node.Receive(FrameKind.Push, new DataBody([deletes, deletes with { N = 2 }], []), session);
        Assert.True(StatusBody.TryRead(node.Body(FrameKind.Error), out StatusBody error));
        Assert.Equal(Status.Malformed, error.Status);
    }

    private static Status[] Push(NodeHarness node, ulong session, params SamplePart[] parts)
    {
        node.Receive(FrameKind.Push, new DataBody(parts, []), session);
        return Outcomes(node);
    }

    private static Status[] Outcomes(NodeHarness node)
    {
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(node.Body(FrameKind.PushReply), replies));
        return [.. replies.Select(r => r.Status)];
    }

    private static (ValueEncoding Encoding, float[] Values) Pull(NodeHarness node, SampleItem item)
    {
        node.Receive(FrameKind.Pull, new DataBody([], [item]));
        return Values(node);
    }

    private static (ValueEncoding Encoding, float[] Values) Values(NodeHarness node)
    {
        var reader = new ByteReader(node.Body(FrameKind.PullReply).AsSpan(PullReplyItem.CountSize));
        Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out _, out ReadOnlySpan<byte> bytes));
        Assert.Equal((Status.Acked, Keys.Length), (piece.Status, piece.Found));
        if (piece.ValueEncoding == ValueEncoding.Raw)
        {
            return (piece.ValueEncoding, MemoryMarshal.Cast<byte, float>(bytes).ToArray());
        }

        float[] values = new float[24];
        Assert.True(ValueEncodings.TryRead(piece.ValueEncoding, bytes, values));
        return (piece.ValueEncoding, values);
    }

    /// <summary>A pull of keys whose hashes follow each other: however many, they take one byte.</summary>
    private readonly record struct TinyPull(uint Table, int Rows, bool KeepKeys) : IBody
    {
        public int Bytes => DataRequestReader.CountsSize + PullItem.Size + sizeof(ulong);

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(0);
            writer.Int32(1);
            new PullItem
            {
                Table = Table,
                Segment = Segment,
                DelayBound = PullItem.NoBound,
                Rows = Rows,
                KeyEncoding = KeyEncoding.PackedDelta,
                KeyBytes = 1,
                KeepKeys = KeepKeys,
            }.Write(ref writer);
            writer.UInt64(0);
        }
    }

    private static byte[] Body(DataBody data)
    {
        byte[] body = new byte[data.Bytes];
        var writer = new ByteWriter(body);
        data.Write(ref writer);
        return body;
    }
}
