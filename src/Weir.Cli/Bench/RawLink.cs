using System.Buffers.Binary;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Weir.Cli.Commands;
using Weir.Cli.Processes;

namespace Weir.Cli.Bench;

/// <summary>
/// What the machine's sockets do with no work on the bytes: requests of the same size to a process that throws them away, and an 8-byte
/// ping. One caller at a time.
/// </summary>
internal sealed class RawLink : IAsyncDisposable
{
    // So many pings tell the median; more would only let the server's caches grow cold between two rounds.
    private const int PingsOfRound = 2000;

    private readonly ToolProcess _process;
    private readonly ListenAddresses _listen;
    private Socket? _socket;
    private readonly byte[] _piece = new byte[RawSink.PieceBytes];
    private readonly byte[] _answer = new byte[RawSink.HeaderBytes];

    private RawLink(ToolProcess process, ListenAddresses listen) => (_process, _listen) = (process, listen);

    /// <summary>The hidden command that the process at the other end runs.</summary>
    public const string SinkName = "bench-sink";

    /// <summary>Starts the other process and connects to it.</summary>
    /// <exception cref="ToolException">It did not start; the message is its own.</exception>
    public static async Task<RawLink> StartAsync(Transport transport, Action<string> log, CancellationToken cancellation)
    {
        var listen = new ListenAddresses(transport);
        var link = new RawLink(ToolProcess.Start(log, SinkName, listen.Next()), listen);
        try
        {
            string? line = await link._process.Output.ReadLineAsync(cancellation);
            if (line is null || !line.StartsWith(ServeCommand.ServingAt, StringComparison.Ordinal))
            {
                throw new ToolException(link._process.Complaint ?? "the process that measures the bare socket ended before it listened");
            }

            link._socket = RawSink.NewSocket(line[ServeCommand.ServingAt.Length..], out EndPoint endPoint);
            link._socket.Connect(endPoint);
            return link;
        }
        catch
        {
            await link.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends requests for a time, so many under way at once, and waits until all are answered. Blocks.</summary>
    /// <param name="bytes">Bytes of a request.</param>
    /// <param name="window">Requests under way at a time.</param>
    /// <param name="seconds">For how long to begin new ones.</param>
    /// <param name="times">Gets the round. The times are from answer to answer: only how many there are is looked at.</param>
    /// <param name="cancellation">Ends it between two requests.</param>
    public void Flood(long bytes, int window, double seconds, RequestTimes times, CancellationToken cancellation)
    {
        List<long> ticks = [];
        int underWay = 0;
        long begin = Stopwatch.GetTimestamp(), last = begin;
        do
        {
            cancellation.ThrowIfCancellationRequested();
            Send(bytes);
            if (++underWay == window)
            {
                underWay--;
                Answered();
            }
        }
        while (Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds);

        for (; underWay > 0; underWay--)
        {
            Answered();
        }

        times.AddRound(ticks, Stopwatch.GetElapsedTime(begin));

        void Answered()
        {
            Receive();
            long now = Stopwatch.GetTimestamp();
            ticks.Add(now - last);
            last = now;
        }
    }

    /// <summary>Pings with 8 bytes each way, one at a time. Blocks.</summary>
    public void Ping(double seconds, RequestTimes times, CancellationToken cancellation)
    {
        List<long> ticks = [];
        long begin = Stopwatch.GetTimestamp();
        do
        {
            cancellation.ThrowIfCancellationRequested();
            long sent = Stopwatch.GetTimestamp();
            Send(0);
            Receive();
            ticks.Add(Stopwatch.GetTimestamp() - sent);
        }
        while (ticks.Count < PingsOfRound && Stopwatch.GetElapsedTime(begin).TotalSeconds < seconds);
        times.AddRound(ticks, Stopwatch.GetElapsedTime(begin));
    }

    public async ValueTask DisposeAsync()
    {
        _socket?.Dispose();
        await _process.DisposeAsync();
        _listen.Dispose();
    }

    private void Send(long bytes)
    {
        BinaryPrimitives.WriteInt64LittleEndian(_piece, bytes);
        for (long left = RawSink.HeaderBytes + bytes; left > 0;)
        {
            left -= _socket!.Send(_piece.AsSpan(0, (int)Math.Min(left, _piece.Length)));
        }
    }

    private void Receive()
    {
        if (!RawSink.TryFill(_socket!, _answer))
        {
            throw new ToolException("the process that measures the bare socket died");
        }
    }
}
