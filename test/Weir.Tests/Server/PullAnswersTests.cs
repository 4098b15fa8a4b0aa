using Weir.Keys;
using Weir.Server;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>A pull may ask for far more than its link takes at once: here 4 MiB, where the link takes two frames a turn.</summary>
public class PullAnswersTests
{
    private const int Rows = 64;
    private const int Width = 16_384;
    private const long RoomBytes = 2 * FramePool.MaxFrameBytes;

    [Fact]
    public void An_answer_stops_where_its_link_has_no_room_and_goes_on_when_it_has()
    {
        using NodeHarness node = Filled();
        Pull(node);
        List<int> rows = Answered(node);
        int turns = 1;
        for (; node.Node.UnfinishedAnswers > 0; turns++)
        {
            Assert.True(turns < Rows, "each turn brings the answer on");
            node.LinkHasRoom();
            rows.AddRange(Answered(node));
        }

        Assert.Equal(Enumerable.Range(0, Rows), rows);
        Assert.True(turns > 2, $"4 MiB at 2 MiB a turn took {turns} turns");
    }

    [Fact]
    public void Without_word_of_room_an_answer_goes_on_at_the_next_tick()
    {
        using NodeHarness node = Filled();
        Pull(node);
        node.Tick();
        Assert.NotEmpty(Answered(node));
    }

    [Fact]
    public void While_a_link_has_no_room_every_pull_of_it_waits_and_a_push_does_not()
    {
        using NodeHarness node = Filled();
        node.Room = 0;
        Assert.Null(node.Pull(1));
        node.Receive(FrameKind.Push, new WideRow(node.Table, Rows, 1), node.OpenSession());
        Assert.Equal(Status.Acked, PushReply(node).Status);
        node.Room = RoomBytes;
        node.Tick();
        Assert.Equal(Status.Acked, node.Pulled()!.Value.Status);
    }

    [Fact]
    public void A_retry_of_what_is_being_answered_adds_nothing()
    {
        using NodeHarness node = Filled();
        Pull(node);
        Pull(node, again: true);
        Assert.Empty(Answered(node));
        Assert.Equal(1, node.Node.UnfinishedAnswers);
    }

    [Fact]
    public void The_rest_of_an_answer_goes_with_its_link()
    {
        using NodeHarness node = Filled();
        Pull(node);
        node.LinkDown();
        Assert.Equal(0, node.Node.UnfinishedAnswers);
        node.Tick();
        Assert.Empty(Answered(node));
    }

    [Fact]
    public void The_rest_of_an_answer_goes_with_its_deadline()
    {
        using NodeHarness node = Filled();
        Pull(node, deadlineUs: 5_000);
        node.Now = node.Now.AfterMs(5);
        node.Tick();
        Assert.Empty(Answered(node));
        Assert.Equal(0, node.Node.UnfinishedAnswers);
    }

    [Fact]
    public void Unfinished_answers_are_bounded_and_one_too_many_is_told_what_to_ask_for_again()
    {
        using NodeHarness node = Filled(new ServerLimits { WaitingPulls = 1 });
        Pull(node);
        Pull(node);
        Assert.Equal(1, node.Node.UnfinishedAnswers);
        List<int> rows = Answered(node);
        List<int> refused = [.. Pieces(node).Where(p => p.Status == Status.Busy).Select(p => p.Item)];
        Assert.Equal(Enumerable.Range(0, Rows), rows.Concat(refused));
        Assert.NotEmpty(refused);
    }

    [Fact]
    public void The_rest_of_an_answer_is_of_the_map_of_then()
    {
        using NodeHarness node = Filled();
        Pull(node);
        node.Admin(FrameKind.DropTable, new NumberBody(node.Table));
        node.Tick();
        Assert.All(Pieces(node), piece => Assert.Equal(Status.UnknownTable, piece.Status));
        Assert.Equal(0, node.Node.UnfinishedAnswers);
    }

    private static NodeHarness Filled(ServerLimits? limits = null)
    {
        var node = new NodeHarness(limits) { Room = RoomBytes };
        node.OpenTable(width: Width);
        ulong session = node.OpenSession();
        Dictionary<int, ulong> n = [];
        for (ulong key = 0; key < Rows; key++)
        {
            int segment = Mix.Segment(key, 6);
            n[segment] = n.GetValueOrDefault(segment) + 1;
            node.Receive(FrameKind.Push, new WideRow(node.Table, key, n[segment]), session);
            Assert.Equal(Status.Acked, PushReply(node).Status);
        }

        return node;
    }

    private static PartReply PushReply(NodeHarness node)
    {
        List<PartReply> replies = [];
        Assert.True(PushReplyBody.TryRead(node.Body(FrameKind.PushReply), replies));
        return Assert.Single(replies);
    }

    private static void Pull(NodeHarness node, bool again = false, uint deadlineUs = 0) =>
        node.Receive(FrameKind.Pull, new AllRows(node.Table), again: again, deadlineUs: deadlineUs);

    private static List<int> Answered(NodeHarness node)
    {
        List<int> rows = [];
        foreach (PullReplyItem piece in Pieces(node).Where(p => p.Status == Status.Acked))
        {
            Assert.Equal((1, 1), (piece.Rows, piece.Found));
            rows.Add(piece.Item);
        }

        return rows;
    }

    private static List<PullReplyItem> Pieces(NodeHarness node)
    {
        List<PullReplyItem> pieces = [];
        foreach (byte[] body in node.Bodies(FrameKind.PullReply))
        {
            var reader = new ByteReader(body);
            int count = reader.Count(PullReplyItem.Size);
            reader.UInt32();
            for (int i = 0; i < count; i++)
            {
                Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out _, out _));
                pieces.Add(piece);
            }
        }

        return pieces;
    }

    private readonly record struct WideRow(uint Table, ulong Key, ulong N) : IBody
    {
        public int Bytes => 8 + PartHeader.Size + 8 + (Width * sizeof(float));

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(1);
            writer.Int32(0);
            new PartHeader
            {
                Table = Table,
                Segment = (uint)Mix.Segment(Key, 6),
                N = N,
                Seq = new Seq(1, (uint)Key, 0),
                Rows = 1,
                KeyBytes = sizeof(ulong),
                ValueBytes = Width * sizeof(float),
            }.Write(ref writer);
            writer.UInt64(Key);
            writer.Raw(new byte[Width * sizeof(float)]);
        }
    }

    private readonly record struct AllRows(uint Table) : IBody
    {
        public int Bytes => 8 + (Rows * (PullItem.Size + 8));

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(0);
            writer.Int32(Rows);
            for (ulong key = 0; key < Rows; key++)
            {
                new NodeHarness.OneItem(Table, key, 0, 0, PullItem.NoBound).WriteItem(ref writer);
            }
        }
    }
}
