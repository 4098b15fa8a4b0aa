using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Weir.Cli.Bench;

/// <summary>A Redis of this machine's own, in memory alone, and one sorted set in it: what rankings are compared with. It ends with <see cref="DisposeAsync"/>.</summary>
internal sealed class RedisProcess : IAsyncDisposable
{
    private const string Key = "ranking";
    private const int StartMs = 5000;

    private readonly Process _process;
    private readonly IPEndPoint _address;

    private RedisProcess(Process process, IPEndPoint address) => (_process, _address) = (process, address);

    /// <summary>The operating system's number of the process.</summary>
    public int Id => _process.Id;

    /// <summary>Starts redis-server where the path has one; null where it has none.</summary>
    /// <exception cref="ToolException">It does not answer.</exception>
    public static async Task<RedisProcess?> StartAsync(CancellationToken cancellation)
    {
        string? file = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Select(folder => Path.Combine(folder, "redis-server")).FirstOrDefault(File.Exists);
        if (file is null)
        {
            return null;
        }

        using var probe = new TcpListener(IPAddress.Loopback, 0);
        probe.Start();
        var address = (IPEndPoint)probe.LocalEndpoint;
        probe.Stop();
        var start = new ProcessStartInfo(file, ["--port", address.Port.ToString(CultureInfo.InvariantCulture), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no"]) { RedirectStandardOutput = true };
        var redis = new RedisProcess(Process.Start(start) ?? throw new ToolException($"cannot start {file}"), address);
        redis._process.BeginOutputReadLine();
        long began = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                using TcpClient client = await redis.ConnectAsync(cancellation);
                return redis;
            }
            catch (SocketException) when (Stopwatch.GetElapsedTime(began).TotalMilliseconds < StartMs)
            {
                await Task.Delay(50, cancellation);
            }
            catch (SocketException silent)
            {
                await redis.DisposeAsync();
                throw new ToolException($"{file} did not answer on {address} within {StartMs / 1000} s: {silent.Message}", silent);
            }
        }
    }

    /// <summary>A connection of its own.</summary>
    public async Task<TcpClient> ConnectAsync(CancellationToken cancellation)
    {
        var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(_address, cancellation);
        return client;
    }

    /// <summary>A ZINCRBY by 1 of each member, as the protocol writes it, one after another.</summary>
    public static byte[] Increments(ReadOnlySpan<ulong> members)
    {
        var text = new StringBuilder();
        foreach (ulong member in members)
        {
            string name = member.ToString(CultureInfo.InvariantCulture);
            text.Append(CultureInfo.InvariantCulture, $"*4\r\n$7\r\nZINCRBY\r\n${Key.Length}\r\n{Key}\r\n$1\r\n1\r\n${name.Length}\r\n{name}\r\n");
        }

        return Encoding.ASCII.GetBytes(text.ToString());
    }

    /// <summary>The members with the highest scores.</summary>
    public static byte[] Highest(int count)
    {
        string last = (count - 1).ToString(CultureInfo.InvariantCulture);
        return Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"*5\r\n$9\r\nZREVRANGE\r\n${Key.Length}\r\n{Key}\r\n$1\r\n0\r\n${last.Length}\r\n{last}\r\n$10\r\nWITHSCORES\r\n"));
    }

    /// <summary>Sends commands and reads as many lines as their answers have: two for each string, one more for a list.</summary>
    /// <exception cref="ToolException">An answer is an error, or the connection ends.</exception>
    public static async Task AskAsync(TcpClient client, ReadOnlyMemory<byte> commands, int lines, byte[] buffer, CancellationToken cancellation)
    {
        NetworkStream stream = client.GetStream();

        // Read while it is written: neither side waits for the other with full buffers.
        Task writing = stream.WriteAsync(commands, cancellation).AsTask();
        bool isLineBegun = false;
        while (lines > 0)
        {
            int read = await stream.ReadAsync(buffer, cancellation);
            if (read == 0)
            {
                throw new ToolException("redis-server closed the connection");
            }

            lines -= buffer.AsSpan(0, read).Count((byte)'\n');
            if (!isLineBegun && buffer[0] == (byte)'-')
            {
                throw new ToolException($"redis-server answered {Encoding.ASCII.GetString(buffer, 0, Math.Min(read, 200)).Split('\r')[0]}");
            }

            isLineBegun = true;
        }

        await writing;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
    }
}
