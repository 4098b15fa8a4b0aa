using System.Runtime.InteropServices;
using CsCheck;
using Weir.Host;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

public class FrameReaderTests
{
    // Sizes around the reader's own limits: nothing, a header's worth, its small buffer, its large one, the largest frame.
    private static readonly Gen<int> BodyBytes = Gen.OneOf(
        Gen.Int[0, 300], Gen.Int[4000, 4200], Gen.Int[8000, 9000], Gen.Int[65_000, 66_000], Gen.Const(FrameHeader.MaxBodyBytes));

    [Fact]
    public void However_a_stream_is_cut_every_frame_comes_out_whole_and_in_order() =>
        Gen.Select(BodyBytes.List[1, 12], Gen.OneOf(Gen.Int[1, 70], Gen.Int[1000, 70_000]).List[1, 20]).Sample(
            (bodies, cuts) =>
            {
                byte[] stream = [.. bodies.SelectMany((bytes, i) => TestFrames.Bytes((ulong)i, bytes))];
                var sink = new Sink();
                var reader = new FrameReader(sink, new LinkId(1), new UnfinishedBytes(1 << 30), new TransportTally());
                int at = 0;
                for (int turn = 0; at < stream.Length; turn++)
                {
                    // Small cuts at the start, then larger ones, so that a long stream does not take a million steps.
                    int cut = turn < 200 ? cuts[turn % cuts.Count] : 30_000;
                    int count = Math.Min(Math.Min(cut, stream.Length - at), reader.Free.Length);
                    stream.AsMemory(at, count).CopyTo(reader.Free);
                    at += count;
                    Assert.Null(reader.Advance(count));
                }

                Assert.Equal(bodies, sink.Bodies);
                Assert.Equal(bodies.Select((_, i) => (ulong)i), sink.Requests);
                Assert.False(reader.InFrame);
                Assert.Equal(0, sink.Pool.Rented);
            },
            iter: 60,
            threads: 1);

    [Fact]
    public void One_byte_at_a_time_is_a_stream_too()
    {
        byte[] stream = [.. TestFrames.Bytes(0, 10), .. TestFrames.Bytes(1, 0), .. TestFrames.Bytes(2, 5000)];
        var sink = new Sink();
        Assert.Null(Feed(sink, stream, 1));
        Assert.Equal([10, 0, 5000], sink.Bodies);
    }

    [Fact]
    public void The_rest_of_a_large_frame_is_received_where_the_sink_placed_it()
    {
        byte[] stream = TestFrames.Bytes(1, 500_000);
        var sink = new Sink();
        var reader = new FrameReader(sink, new LinkId(1), new UnfinishedBytes(1 << 30), new TransportTally());
        Assert.Null(Put(reader, stream[..100]));
        Assert.True(MemoryMarshal.TryGetArray(reader.Free, out ArraySegment<byte> free));
        Assert.Same(sink.LastPlaced!.Array, free.Array);
        Assert.Equal((100, stream.Length - 100), (free.Offset, free.Count));
        Assert.Null(Put(reader, stream[100..]));
        Assert.Equal([500_000], sink.Bodies);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(int.MaxValue)]
    [InlineData(FrameHeader.MaxBodyBytes + 1)]
    public void A_length_out_of_range_is_refused_before_a_buffer_is_taken(int bodyLength)
    {
        var sink = new Sink();
        PeerFault? fault = Feed(sink, TestFrames.WithLength(bodyLength), 64);
        Assert.Equal(Status.Malformed, fault?.Status);
        Assert.Contains($"{bodyLength} bytes", fault!.Text, StringComparison.Ordinal);
        Assert.Equal(0, sink.Placed);
    }

    [Fact]
    public void An_unknown_version_is_answered_with_the_version_spoken_here()
    {
        PeerFault? fault = Feed(new Sink(), TestFrames.WithVersion(9), 5);
        Assert.Equal(new PeerFault(Status.Conflict, "a frame has protocol version 9; this side speaks version 1"), fault);
    }

    /// <summary>The chaos suite found it: a client that was told Conflict failed 97 pushes that only had to be sent again.</summary>
    [Fact]
    public void A_version_damaged_on_the_way_is_damage_and_no_other_version()
    {
        byte[] frame = TestFrames.Bytes(1, 10);
        frame[4] ^= 2;
        Assert.Equal(Status.Malformed, Feed(new Sink(), frame, frame.Length)?.Status);
    }

    [Fact]
    public void Another_protocol_is_refused_at_its_first_byte() =>
        Assert.Equal(Status.Malformed, Feed(new Sink(), "G"u8.ToArray(), 1)?.Status);

    [Fact]
    public void Any_flipped_bit_is_found_and_no_buffer_is_lost() =>
        Gen.Select(Gen.OneOf(Gen.Int[0, 200], Gen.Int[4090, 9000]), Gen.Int[0, int.MaxValue], Gen.Int[0, 7]).Sample(
            (bodyBytes, at, bit) =>
            {
                byte[] frame = TestFrames.Bytes(5, bodyBytes);
                frame[at % frame.Length] ^= (byte)(1 << bit);
                var sink = new Sink();
                Assert.NotNull(Feed(sink, frame, 3000));
                Assert.Empty(sink.Bodies);
                Assert.Equal(0, sink.Pool.Rented);
            },
            iter: 2000);

    [Fact]
    public void Frames_begun_and_not_ended_are_bounded_over_all_connections()
    {
        var sink = new Sink();
        var unfinished = new UnfinishedBytes(3 << 20);
        byte[] begun = TestFrames.Bytes(1, FrameHeader.MaxBodyBytes)[..100];
        var readers = Enumerable.Range(0, 4)
            .Select(i => new FrameReader(sink, new LinkId(i), unfinished, new TransportTally()))
            .ToArray();
        PeerFault?[] faults = [.. readers.Select(reader => Put(reader, begun))];
        Assert.Equal([null, null, null, Status.Busy], faults.Select(fault => fault?.Status));

        readers[0].GiveUp();
        var next = new FrameReader(sink, new LinkId(9), unfinished, new TransportTally());
        Assert.Null(Put(next, begun));
        foreach (FrameReader reader in readers.Append(next))
        {
            reader.GiveUp();
        }

        Assert.Equal(0, sink.Pool.Rented);
    }

    private static PeerFault? Put(FrameReader reader, byte[] bytes)
    {
        bytes.CopyTo(reader.Free);
        return reader.Advance(bytes.Length);
    }

    private static PeerFault? Feed(Sink sink, byte[] stream, int step)
    {
        var reader = new FrameReader(sink, new LinkId(1), new UnfinishedBytes(1 << 30), new TransportTally());
        for (int at = 0; at < stream.Length;)
        {
            int count = Math.Min(Math.Min(step, stream.Length - at), reader.Free.Length);
            stream.AsMemory(at, count).CopyTo(reader.Free);
            at += count;
            if (reader.Advance(count) is { } fault)
            {
                reader.GiveUp();
                return fault;
            }
        }

        // A flipped bit may have made the frame longer: then it never ends, which is refused, too.
        bool inFrame = reader.InFrame;
        reader.GiveUp();
        return inFrame ? new PeerFault(Status.Malformed, "not whole") : null;
    }

    private sealed class Sink : IFrameSink
    {
        public FramePool Pool { get; } = new();

        public List<int> Bodies { get; } = [];

        public List<ulong> Requests { get; } = [];

        public int Placed { get; private set; }

        public FrameBuffer? LastPlaced { get; private set; }

        public FrameBuffer Place(in FrameHeader header)
        {
            Placed++;
            LastPlaced = Pool.Rent(FrameHeader.Size + header.BodyLength);
            return LastPlaced;
        }

        public void Receive(LinkId link, FrameBuffer frame)
        {
            Requests.Add(TestFrames.RequestId(frame));
            Bodies.Add(frame.Length - FrameHeader.Size);
            frame.Release();
        }

        public void EndReceive()
        {
        }

        public void LinkHasRoom(LinkId link)
        {
        }

        public void LinkDown(LinkId link, string reason) => Assert.Fail(reason);

        public ValueTask RoomAsync() => ValueTask.CompletedTask;
    }
}
