using Weir.Host.Loops;
using Weir.Wire;
using Weir.World;

namespace Weir.Host.Sockets;

/// <summary>
/// Cuts a stream of bytes into frames: the caller fills <see cref="Free"/> and says with <see cref="Advance"/> how much came. Small frames
/// are parsed out of a receive buffer, many to a read; the rest of a large one is received straight into the buffer that the sink placed.
/// Knows no socket. Not thread-safe: one connection's reader.
/// </summary>
internal sealed class FrameReader(IFrameSink sink, LinkId link, UnfinishedBytes unfinished, TransportTally tally)
{
    // An idle connection holds little; one whose reads fill the buffer gets a large one for good.
    private const int IdleBufferBytes = 4 << 10;
    private const int BusyBufferBytes = 64 << 10;

    // A missing rest of at least this is received in place: copying less is cheaper than another read.
    private const int DirectBytes = 4 << 10;

    private byte[] _buffer = GC.AllocateUninitializedArray<byte>(IdleBufferBytes);
    private int _start;
    private int _end;
    private FrameHeader _header;
    private FrameBuffer? _placed;
    private int _placedBytes;
    private volatile bool _headerSeen;

    /// <summary>Where the next bytes go; never empty.</summary>
    public Memory<byte> Free => _placed is { } frame ? frame.Memory[_placedBytes..] : _buffer.AsMemory(_end);

    /// <summary>Whether a first whole and right header has come; known before its frame is given to the sink. Any thread may ask.</summary>
    public bool HeaderSeen => _headerSeen;

    /// <summary>Whole frames given to the sink so far.</summary>
    public long Frames { get; private set; }

    /// <summary>Whether the stream stands inside a frame.</summary>
    public bool InFrame => _placed is not null || _end > _start;

    /// <summary>Takes the bytes that were put into <see cref="Free"/> and gives the sink every frame that is whole now.</summary>
    /// <returns>Null, or what the peer did wrong: nothing after it can be trusted.</returns>
    public PeerFault? Advance(int count)
    {
        if (_placed is not null)
        {
            _placedBytes += count;
            return _placedBytes < _placed.Length ? null : EndPlaced();
        }

        _end += count;
        int before = _start;
        int frames = 0;
        try
        {
            while (true)
            {
                PeerFault? fault = NextFrame(out bool delivered);
                if (!delivered)
                {
                    return fault;
                }

                frames++;
            }
        }
        finally
        {
            Frames += frames;
            if (frames > 0)
            {
                tally.Received(frames, _start - before);
                sink.EndReceive();
            }

            MakeRoom();
        }
    }

    /// <summary>Gives back a frame that will not be whole any more.</summary>
    public void GiveUp()
    {
        if (_placed is { } frame)
        {
            _placed = null;
            unfinished.GiveBack(frame.Capacity);
            frame.Release();
        }
    }

    private PeerFault? NextFrame(out bool delivered)
    {
        delivered = false;
        ReadOnlySpan<byte> rest = _buffer.AsSpan(_start, _end - _start);
        if (rest.Length < FrameHeader.Size)
        {
            return PeerFault.Early(rest);
        }

        HeaderFault headerFault = FrameHeader.TryRead(rest, out _header);
        if (headerFault != HeaderFault.None)
        {
            return PeerFault.Of(headerFault, rest);
        }

        _headerSeen = true;
        int frameBytes = FrameHeader.Size + _header.BodyLength;
        if (rest.Length < frameBytes)
        {
            bool direct = frameBytes - rest.Length >= DirectBytes || frameBytes > _buffer.Length;
            return direct ? BeginPlaced(rest, frameBytes) : null;
        }

        if (!_header.BodyIsWhole(rest[FrameHeader.Size..frameBytes]))
        {
            return PeerFault.BadBody;
        }

        FrameBuffer frame = Place(frameBytes);
        rest[..frameBytes].CopyTo(frame.Span);
        _start += frameBytes;
        delivered = true;
        sink.Receive(link, frame);
        return null;
    }

    private PeerFault? BeginPlaced(ReadOnlySpan<byte> begun, int frameBytes)
    {
        FrameBuffer frame = Place(frameBytes);
        if (!unfinished.TryTake(frame.Capacity))
        {
            frame.Release();
            return PeerFault.TooMuchUnfinished(unfinished.LimitBytes);
        }

        begun.CopyTo(frame.Span);
        _placed = frame;
        _placedBytes = begun.Length;
        _end = _start;
        return null;
    }

    private PeerFault? EndPlaced()
    {
        FrameBuffer frame = _placed!;
        _placed = null;
        unfinished.GiveBack(frame.Capacity);
        if (!_header.BodyIsWhole(frame.Span[FrameHeader.Size..]))
        {
            frame.Release();
            return PeerFault.BadBody;
        }

        Frames++;
        tally.Received(1, frame.Length);
        sink.Receive(link, frame);
        sink.EndReceive();
        return null;
    }

    private FrameBuffer Place(int frameBytes)
    {
        FrameBuffer frame = sink.Place(in _header);
        Invariant.That(frame.Length == frameBytes, "a sink places a buffer of the frame's length");
        return frame;
    }

    private void MakeRoom()
    {
        bool filled = _end == _buffer.Length && _buffer.Length < BusyBufferBytes;
        byte[] to = filled ? GC.AllocateUninitializedArray<byte>(BusyBufferBytes) : _buffer;
        if (_start > 0 || filled)
        {
            _buffer.AsSpan(_start, _end - _start).CopyTo(to);
            (_buffer, _start, _end) = (to, 0, _end - _start);
        }
    }
}
