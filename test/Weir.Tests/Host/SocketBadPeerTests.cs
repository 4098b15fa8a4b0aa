using System.Net.Sockets;
using System.Text;
using Weir.Host.Sockets;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Tests.Host;

public class SocketBadPeerTests
{
    public static TheoryData<string, Status, string> Bad => new()
    {
        { "http", Status.Malformed, "no Weir frame" },
        { "zeros", Status.Malformed, "no Weir frame" },
        { "version", Status.Conflict, "protocol version 2; this side speaks version 1" },
        { "header checksum", Status.Malformed, "header's checksum" },
        { "small body checksum", Status.Malformed, "body's checksum" },
        { "large body checksum", Status.Malformed, "body's checksum" },
        { "negative length", Status.Malformed, "-5 bytes" },
        { "oversize length", Status.Malformed, $"{FrameHeader.MaxBodyBytes + 1} bytes" },
        { "good, then bad", Status.Malformed, "no Weir frame" },
    };

    [Theory]
    [MemberData(nameof(Bad))]
    public async Task A_peer_that_breaks_the_protocol_is_told_and_closed_and_the_others_are_served_on(string what, Status status, string text)
    {
        var log = new RecordingLog();
        await using var server = new EchoServer(log: log);
        using Socket good = await server.ConnectAsync();
        using Socket bad = await server.ConnectAsync();
        await bad.WriteAsync(BadBytes(what));

        // The stream ends after the error frame, so reading to the end proves the close.
        byte[] answer = await bad.ReadAsync();
        byte[] error = what == "good, then bad" ? answer[TestFrames.Bytes(3, 100).Length..] : answer;
        Assert.Equal(FrameKind.Error, TestFrames.Header(error).Kind);
        (Status answered, string answeredText) = ReadError(error);
        Assert.Equal(status, answered);
        Assert.Contains(text, answeredText, StringComparison.Ordinal);
        Assert.Contains(log.Lines, line => line.Contains(bad.LocalEndPoint!.ToString()!, StringComparison.Ordinal) && line.Contains(text, StringComparison.Ordinal));

        byte[] frame = TestFrames.Bytes(2, 1000);
        await good.WriteAsync(frame);
        Assert.Equal(frame, await good.ReadAsync(frame.Length));
        await Until.TrueAsync(() => server.Pool.Rented == 0, "every buffer is back in its pool");
    }

    [Theory]
    [InlineData(10)]
    [InlineData(64)]
    [InlineData(70)]
    [InlineData(60_000)]
    public async Task A_peer_that_leaves_in_the_middle_of_a_frame_leaves_no_buffer_behind(int bytes)
    {
        await using var server = new EchoServer();
        using (Socket socket = await server.ConnectAsync())
        {
            await socket.WriteAsync(TestFrames.Bytes(1, 500_000)[..bytes]);
            socket.Shutdown(SocketShutdown.Send);
            Assert.Empty(await socket.ReadAsync());
        }

        await Until.TrueAsync(() => server.Machine.Downs.Contains("closed by the peer in the middle of a frame"), "the node hears why");
        Assert.Equal(0, server.Pool.Rented);
    }

    [Fact]
    public async Task Bytes_that_trickle_in_one_by_one_are_served()
    {
        await using var server = new EchoServer();
        using Socket socket = await server.ConnectAsync();
        byte[] frame = TestFrames.Bytes(1, 300);
        foreach (byte one in frame)
        {
            await socket.WriteAsync([one]);
        }

        Assert.Equal(frame, await socket.ReadAsync(frame.Length));
    }

    [Fact]
    public async Task A_peer_that_never_speaks_is_closed()
    {
        await using var server = new EchoServer(SocketOptions.Default with { FirstHeaderTimeoutMs = 50 });
        using Socket silent = await server.ConnectAsync();
        using Socket half = await server.ConnectAsync();
        await half.WriteAsync(TestFrames.Bytes(1, 0)[..40]);
        Assert.Empty(await ReadOrResetAsync(silent));
        Assert.Empty(await ReadOrResetAsync(half));
        await Until.TrueAsync(() => server.Machine.Downs.Contains("the peer sent no whole frame header in 50 ms"), "the node hears why");
    }

    [Fact]
    public async Task A_peer_that_stops_inside_a_frame_is_closed_but_one_that_rests_between_frames_is_not()
    {
        await using var server = new EchoServer(SocketOptions.Default with { StallTimeoutMs = 200 });
        using Socket resting = await server.ConnectAsync();
        using Socket stalled = await server.ConnectAsync();
        byte[] frame = TestFrames.Bytes(1, 100);
        await resting.WriteAsync(frame);
        Assert.Equal(frame, await resting.ReadAsync(frame.Length));
        await stalled.WriteAsync(TestFrames.Bytes(2, 100_000)[..50_000]);
        Assert.Equal((Status.DeadlineExceeded, "a frame was begun and not whole 200 ms later"), ReadError(await stalled.ReadAsync()));
        await resting.WriteAsync(frame);
        Assert.Equal(frame, await resting.ReadAsync(frame.Length));
        await Until.TrueAsync(() => server.Pool.Rented == 0, "the half frame's buffer came back");
    }

    /// <summary>
    /// Found by reading: a byte now and then kept a frame's buffer for days, and a thousand such peers all the room that there is for frames which are begun.
    /// </summary>
    [Fact]
    public async Task A_peer_that_sends_a_byte_now_and_then_is_told_and_closed()
    {
        const int PauseMs = 10;
        await using var server = new EchoServer(SocketOptions.Default with { StallTimeoutMs = 300 });
        using Socket slow = await server.ConnectAsync();
        byte[] frame = TestFrames.Bytes(2, 100_000);
        await slow.WriteAsync(frame[..1000]);
        Task<byte[]> answer = slow.ReadAsync();
        for (int at = 1000; !answer.IsCompleted; at++)
        {
            Assert.True(at < 5000, "it was let go on");
            try
            {
                await slow.WriteAsync([frame[at]]);
            }
            catch (SocketException)
            {
                // Closed.
            }

            await Task.Delay(PauseMs, TestContext.Current.CancellationToken);
        }

        Assert.Equal(Status.DeadlineExceeded, ReadError(await answer).Status);
        await Until.TrueAsync(() => server.Pool.Rented == 0, "the frame's buffer came back");
    }

    [Fact]
    public async Task A_peer_whose_every_read_ends_inside_the_next_frame_is_not_slow()
    {
        const int Frames = 20, PauseMs = 30;
        await using var server = new EchoServer(SocketOptions.Default with { StallTimeoutMs = 300 });
        using Socket steady = await server.ConnectAsync();
        byte[] frame = TestFrames.Bytes(2, 1000);
        await steady.WriteAsync(frame[..500]);
        for (int i = 0; i < Frames; i++)
        {
            await Task.Delay(PauseMs, TestContext.Current.CancellationToken);
            await steady.WriteAsync([.. frame[500..], .. frame[..500]]);
            Assert.Equal(frame, await steady.ReadAsync(frame.Length));
        }
    }

    [Fact]
    public async Task Who_comes_and_speaks_gets_the_place_of_the_oldest_that_has_said_nothing()
    {
        await using var server = new EchoServer(SocketOptions.Default with { MaxConnections = 3 });
        byte[] frame = TestFrames.Bytes(1, 100);
        using Socket speaks = await server.ConnectAsync();
        await speaks.WriteAsync(frame);
        Assert.Equal(frame, await speaks.ReadAsync(frame.Length));
        using Socket oldest = await server.ConnectAsync();
        using Socket silent = await server.ConnectAsync();
        using Socket comes = await server.ConnectAsync();
        Assert.Empty(await ReadOrResetAsync(oldest));
        foreach (Socket stays in (Socket[])[comes, silent, speaks])
        {
            await stays.WriteAsync(frame);
            Assert.Equal(frame, await stays.ReadAsync(frame.Length));
        }
    }

    [Fact]
    public async Task Connections_beyond_the_limit_are_closed_and_the_others_are_served()
    {
        var log = new RecordingLog();
        await using var server = new EchoServer(SocketOptions.Default with { MaxConnections = 2 }, log: log);
        byte[] frame = TestFrames.Bytes(1, 100);
        var sockets = new List<Socket>();
        for (int i = 0; i < 2; i++)
        {
            Socket socket = await server.ConnectAsync();
            sockets.Add(socket);
            await socket.WriteAsync(frame);
            Assert.Equal(frame, await socket.ReadAsync(frame.Length));
        }

        using (Socket third = await server.ConnectAsync())
        {
            Assert.Empty(await ReadOrResetAsync(third));
        }

        await Until.TrueAsync(() => log.Lines.Any(line => line.Contains("all 2 allowed are in use", StringComparison.Ordinal)), "the log says so");
        await sockets[1].WriteAsync(frame);
        Assert.Equal(frame, await sockets[1].ReadAsync(frame.Length));

        sockets[0].Dispose();
        await Until.TrueAsync(() => server.Network.Connections == 1, "the first has ended");
        using Socket next = await server.ConnectAsync();
        await next.WriteAsync(frame);
        Assert.Equal(frame, await next.ReadAsync(frame.Length));
        sockets[1].Dispose();
    }

    private static byte[] BadBytes(string what)
    {
        switch (what)
        {
            case "http":
                return Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: weir\r\n\r\n");
            case "zeros":
                return new byte[5000];
            case "good, then bad":
                return [.. TestFrames.Bytes(3, 100), .. new byte[100]];
            case "negative length":
                return TestFrames.WithLength(-5);
            case "oversize length":
                return TestFrames.WithLength(FrameHeader.MaxBodyBytes + 1);
            case "version":
                return TestFrames.WithVersion(2);
        }

        byte[] frame = TestFrames.Bytes(1, what == "large body checksum" ? 300_000 : 300);
        int at = what == "header checksum" ? 30 : frame.Length - 1;
        frame[at] = (byte)~frame[at];
        return frame;
    }

    private static (Status Status, string Text) ReadError(byte[] frame)
    {
        var body = new ByteReader(frame.AsSpan(FrameHeader.Size));
        var status = (Status)body.Byte();
        string text = body.Text();
        Assert.True(body.AtEnd);
        return (status, text);
    }

    // A socket that is closed with unread input resets the connection; either way it is closed.
    private static async Task<byte[]> ReadOrResetAsync(Socket socket)
    {
        try
        {
            return await socket.ReadAsync();
        }
        catch (SocketException reset) when (reset.SocketErrorCode == SocketError.ConnectionReset)
        {
            return [];
        }
    }
}
