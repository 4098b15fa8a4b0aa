using Weir.Keys;
using Weir.World;

namespace Weir.Wire;

/// <summary>A message body that knows its size before it is written, so that a frame is written once, in place.</summary>
internal interface IBody
{
    int Bytes { get; }

    void Write(ref ByteWriter writer);
}

/// <summary>Builds whole frames in pooled buffers.</summary>
internal static class Frames
{
    /// <summary>A sealed frame of the given header and body. The caller holds the one reference.</summary>
    public static FrameBuffer Build<TBody>(FramePool pool, FrameHeader header, in TBody body)
        where TBody : IBody
    {
        FrameBuffer frame = pool.Rent(FrameHeader.Size + body.Bytes);
        var writer = new ByteWriter(frame.Span[FrameHeader.Size..]);
        body.Write(ref writer);
        Invariant.That(writer.Position == body.Bytes, "a body writes exactly the bytes it announced");
        header.Seal(frame.Span);
        return frame;
    }
}

/// <summary>No body: requests that need none, and plain acknowledgements.</summary>
internal readonly record struct EmptyBody : IBody
{
    public int Bytes => 0;

    public void Write(ref ByteWriter writer)
    {
    }
}

/// <summary>A status and a sentence: the body of Error, and of acknowledgements that can fail.</summary>
internal readonly record struct StatusBody(Status Status, string Text = "") : IBody
{
    public int Bytes => 1 + ByteWriter.TextBytes(Text);

    public void Write(ref ByteWriter writer)
    {
        writer.Byte((byte)Status);
        writer.Text(Text);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out StatusBody message)
    {
        var reader = new ByteReader(body);
        message = new StatusBody(reader.Status8(), reader.Text());
        return reader.AtEnd;
    }
}
