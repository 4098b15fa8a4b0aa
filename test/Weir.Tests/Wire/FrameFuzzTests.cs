using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Wire;

/// <summary>
/// A million mutated frames through every reader: none throws, reads past the end of its bytes, or allocates more than a bound that follows
/// from the frame's length. A failure names its seed and the frame.
/// </summary>
public class FrameFuzzTests
{
    private const int FramesASeed = 300_000;

    // Decoded objects are larger than their bytes (a name of one byte becomes a string of 24), lists grow by doubling, and sound maps are
    // looked through with sets: at most 16 bytes for each that came, and a little for the first list.
    private const int AllocationFactor = 16;
    private const int AllocationFloor = 1024;

    [Fact]
    public void Every_kind_has_a_sound_sample_that_its_reader_takes()
    {
        List<byte[]> samples = FrameSamples.All(FrameSamples.Names.Default);
        BodyReaders readers = new();
        HashSet<FrameKind> kinds = [];
        foreach (byte[] sample in samples)
        {
            Assert.Equal(HeaderFault.None, FrameHeader.TryRead(sample, out FrameHeader header));
            Assert.True(header.BodyIsWhole(sample.AsSpan(FrameHeader.Size)));
            Assert.True(readers.TryRead(header.Kind, sample.AsSpan(FrameHeader.Size)), $"{header.Kind}: {Convert.ToHexString(sample)}");
            kinds.Add(header.Kind);
        }

        Assert.Equal(Enum.GetValues<FrameKind>(), kinds.Order());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void No_mutated_frame_throws_or_reads_past_its_end_or_allocates_beyond_its_bound(ulong seed)
    {
        using GuardedBytes guarded = new(1 << 16);
        FrameMutator mutator = new(FrameSamples.All(FrameSamples.Names.Default), new Rng(seed));
        BodyReaders readers = new();
        int sound = 0, refused = 0;
        for (int i = 0; i < FramesASeed; i++)
        {
            Span<byte> frame = guarded.AtEnd(mutator.Next());
            long allocated;
            bool read;
            try
            {
                // What the runtime does once on this thread, such as compiling a method anew, is not the frame's: it is measured again then.
                read = ReadMeasured(frame, readers, out allocated);
                if (allocated > AllocationFloor + (AllocationFactor * frame.Length))
                {
                    ReadMeasured(frame, readers, out allocated);
                }
            }
            catch (Exception exception)
            {
                Assert.Fail($"seed {seed}, frame {i}: {Convert.ToHexString(frame)}: {exception}");
                return;
            }

            if (allocated > AllocationFloor + (AllocationFactor * frame.Length))
            {
                Assert.Fail($"seed {seed}, frame {i}: {allocated} bytes allocated for a frame of {frame.Length}: {Convert.ToHexString(frame)}");
            }

            sound += read ? 1 : 0;
            refused += read ? 0 : 1;
        }

        // Both sides of every check are met: a mutator that only made noise, or nothing, would prove little.
        Assert.InRange(sound, FramesASeed / 10, FramesASeed);
        Assert.InRange(refused, FramesASeed / 10, FramesASeed);
    }

    [Fact]
    public void Every_sound_frame_is_refused_at_every_shorter_length()
    {
        BodyReaders readers = new();
        foreach (byte[] sample in FrameSamples.All(FrameSamples.Names.Default))
        {
            FrameHeader.TryRead(sample, out FrameHeader header);
            for (int length = 0; length < sample.Length; length++)
            {
                ReadOnlySpan<byte> cut = sample.AsSpan(0, length);
                Assert.Equal(length < FrameHeader.Size ? HeaderFault.BadLength : HeaderFault.None, FrameHeader.TryRead(cut, out _));
                if (length >= FrameHeader.Size)
                {
                    Assert.False(header.BodyIsWhole(cut[FrameHeader.Size..]));
                    bool anyLength = header.Kind is FrameKind.RegisterRead or FrameKind.RegisterSwap or FrameKind.RegisterReply
                        or FrameKind.PaxosAccept or FrameKind.PaxosReply or FrameKind.CopySlice
                        or FrameKind.CheckpointSlice or FrameKind.RestoreRows or FrameKind.BeginRestore;
                    Assert.True(anyLength || !readers.TryRead(header.Kind, cut[FrameHeader.Size..]), $"{header.Kind} cut to {length} bytes");
                }
            }
        }
    }

    [Fact]
    public void A_flipped_bit_anywhere_in_a_frame_is_found()
    {
        foreach (byte[] sample in FrameSamples.All(FrameSamples.Names.Default))
        {
            for (int bit = 0; bit < sample.Length * 8; bit++)
            {
                sample[bit / 8] ^= (byte)(1 << (bit % 8));
                bool passes = FrameHeader.TryRead(sample, out FrameHeader header) == HeaderFault.None && header.BodyIsWhole(sample.AsSpan(FrameHeader.Size));
                Assert.False(passes, $"bit {bit} of a {header.Kind}");
                sample[bit / 8] ^= (byte)(1 << (bit % 8));
            }
        }
    }

    [Fact]
    public void A_short_map_that_names_many_segments_allocates_nothing_for_them()
    {
        byte[] bytes = MapEncoding.Encode(FrameSamples.Map(FrameSamples.Names.Default));
        bytes[12] = ClusterMap.MaxSegmentBits;
        MapEncoding.TryDecode(bytes, out _);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.False(MapEncoding.TryDecode(bytes, out _));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, AllocationFactor * bytes.Length);
    }

    [Fact]
    public void A_status_that_does_not_fit_a_byte_is_no_success()
    {
        byte[] body = FrameSamples.Frame(FrameKind.AdminReply, new AdminReplyBody(Weir.Keys.Status.Acked, 0, 0, ""), FrameSamples.Names.Default)[FrameHeader.Size..];
        Assert.True(AdminReplyBody.TryRead(body, out _));
        body[1] = 1;
        Assert.False(AdminReplyBody.TryRead(body, out _));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(65_533)]
    [InlineData(65_534)]
    [InlineData(65_535)]
    [InlineData(70_000)]
    public void A_reply_with_a_long_text_is_read_as_it_was_written(int length)
    {
        PartReply[] written = [new() { N = 1, Status = Weir.Keys.Status.Failed, Text = new string('x', length) }, new() { N = 2, Text = "" }];
        byte[] frame = FrameSamples.Frame(FrameKind.PushReply, new PushReplyBody(written), FrameSamples.Names.Default);
        List<PartReply> read = [];
        Assert.True(PushReplyBody.TryRead(frame.AsSpan(FrameHeader.Size), read));
        Assert.Equal(Math.Min(length, ushort.MaxValue), read[0].Text.Length);
        Assert.Equal(2ul, read[1].N);
    }

    private static bool ReadMeasured(ReadOnlySpan<byte> frame, BodyReaders readers, out long allocated)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        bool read = Read(frame, readers);
        allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        return read;
    }

    private static bool Read(ReadOnlySpan<byte> frame, BodyReaders readers)
    {
        HeaderFault fault = FrameHeader.TryRead(frame, out FrameHeader header);
        if (frame.Length < FrameHeader.Size)
        {
            return false;
        }

        // The body is read whatever the header's checksum says: a peer can make a right one.
        ReadOnlySpan<byte> body = frame[FrameHeader.Size..];
        bool whole = fault == HeaderFault.None && header.BodyIsWhole(body);
        return readers.TryRead((FrameKind)frame[5], body) || whole;
    }
}
