using Weir.Client;
using Weir.Keys;
using Weir.Sim;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Client;

/// <summary>What a client takes of the answers to its pulls.</summary>
public class PullCallTests
{
    /// <summary>Two keys of one segment, of which the answer says that one is there.</summary>
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 1000).Select(i => (ulong)i).Where(k => Mix.Segment(k, 6) == 3).Take(2)];

    [Theory]
    [InlineData(0b01, true)]
    [InlineData(0b10, true)]
    [InlineData(0b11, false)]
    [InlineData(0b00, false)]
    [InlineData(0b101, false)]
    [InlineData(0b100, false)]
    public void An_answer_whose_bits_are_not_as_many_as_its_rows_is_passed_over(ulong foundBits, bool isTaken)
    {
        using var cluster = new SimCluster(1, servers: 1);
        cluster.Run(async () =>
        {
            WeirClient client = await cluster.ConnectAsync("a");
            WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" });
            cluster.Network.Faults = new SimFaults { LossPerMille = 1000 };
            Task pull = client.PullAsync(table, Keys, new float[2]);
            Answer(cluster, client, foundBits);
            await cluster.Scheduler.Delay(1, CancellationToken.None);
            Assert.Equal(isTaken, pull.IsCompletedSuccessfully);
            cluster.Network.Faults = SimFaults.None;
            await pull;
        }, limitMs: 20_000);
    }

    private static void Answer(SimCluster cluster, WeirClient client, ulong foundBits)
    {
        FrameBuffer frame = cluster.Pool.Rent(FrameHeader.Size + PullReplyItem.CountSize + PullReplyItem.Size + 16);
        frame.Span.Clear();
        var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
        writer.Int32(1);
        writer.Int32(0);
        new PullReplyItem { Item = 0, FirstRow = 0, Rows = 2, Found = 1, ValueBytes = 4, Text = "" }.WriteHead(ref writer);
        writer.UInt64(foundBits);
        writer.UInt64(0);

        // The request was the last one begun.
        client.State.Header(FrameKind.PullReply, client.State.NextRequest() - 1).Seal(frame.Span);
        client.Core.Receive(client.State.Links[0].Link, frame, cluster.Scheduler.Now);
    }
}
