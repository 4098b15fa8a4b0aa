using System.Net;
using System.Net.Sockets;

namespace Weir.Tests.Register;

/// <summary>Stands before a member of etcd and passes everything on, but for answers that it is told to lose.</summary>
internal sealed class LossyMember : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly int _target;
    private Func<Task>? _losing;

    public LossyMember(Uri target)
    {
        _target = target.Port;
        _listener.Start();
        _ = Task.Run(AcceptAsync);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>The next answer is not passed on: the function runs once it is there, and the connection ends.</summary>
    public void LoseNextAnswer(Func<Task> meanwhile) => Volatile.Write(ref _losing, meanwhile);

    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                TcpClient client = await _listener.AcceptTcpClientAsync();
                _ = Task.Run(() => ServeAsync(client));
            }
        }
        catch (Exception fault) when (fault is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        using (client)
        using (TcpClient member = new())
        {
            try
            {
                await member.ConnectAsync(IPAddress.Loopback, _target);
                await Task.WhenAny(client.GetStream().CopyToAsync(member.GetStream()), AnswerAsync(member.GetStream(), client.GetStream()));
            }
            catch (Exception fault) when (fault is IOException or SocketException)
            {
                // One side has gone, and the other goes with it.
            }
        }
    }

    private async Task AnswerAsync(NetworkStream from, NetworkStream to)
    {
        byte[] some = new byte[1 << 16];
        while (await from.ReadAsync(some) is var count and > 0)
        {
            if (Interlocked.Exchange(ref _losing, null) is { } meanwhile)
            {
                await meanwhile();
                return;
            }

            await to.WriteAsync(some.AsMemory(0, count));
        }
    }
}

/// <summary>Answers every request alike, as something that is no etcd, or one that is set up otherwise.</summary>
internal sealed class CannedMember : IDisposable
{
    private readonly HttpListener _listener = new();
    private int _requests;

    public CannedMember(int status, string body)
    {
        Port = EtcdCluster.FreePorts(1)[0];
        _listener.Prefixes.Add($"http://127.0.0.1:{Port}/");
        _listener.Start();
        _ = Task.Run(() => AnswerAsync(status, body));
    }

    public int Port { get; }

    public int Requests => Volatile.Read(ref _requests);

    public void Dispose() => ((IDisposable)_listener).Dispose();

    private async Task AnswerAsync(int status, string body)
    {
        try
        {
            while (true)
            {
                HttpListenerContext context = await _listener.GetContextAsync();
                Interlocked.Increment(ref _requests);
                context.Response.StatusCode = status;
                context.Response.Close(System.Text.Encoding.UTF8.GetBytes(body), willBlock: false);
            }
        }
        catch (Exception fault) when (fault is HttpListenerException or ObjectDisposedException or InvalidOperationException)
        {
            // The test is over.
        }
    }
}
