using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host.Etcd;
using Weir.Tests.Chaos;

namespace Weir.Tests.Register;

/// <summary>
/// An etcd cluster of processes of its own on free ports of this machine, with its files in a temporary directory. Where the machine has no etcd, tests skip.
/// </summary>
internal sealed class EtcdCluster : IAsyncDisposable
{
    private const int StartMs = 60_000;

    /// <summary>Most tests are not about time, and the machine may be busy with others.</summary>
    private static readonly EtcdOptions Patient = new() { DeadlineMs = 25_000, AttemptMs = 10_000 };

    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(2) };

    private readonly string _folder = Directory.CreateTempSubdirectory("weir-etcd-").FullName;
    private readonly int[] _clientPorts;
    private readonly int[] _peerPorts;
    private readonly Process?[] _processes;
    private readonly ConcurrentQueue<string> _lastLines = new();
    private readonly IPAddress _host;
    private int _prefixes;

    private EtcdCluster(int members, IPAddress host)
    {
        _host = host;
        int[] ports = FreePorts(2 * members);
        (_clientPorts, _peerPorts, _processes) = (ports[..members], ports[members..], new Process?[members]);
    }

    /// <summary>Whether the machine has the program; Debian has it in the package etcd-server.</summary>
    public static bool IsInstalled { get; } = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, "etcd")));

    public int Members => _processes.Length;

    /// <summary>Skips the test that runs where there is no etcd.</summary>
    public static void SkipIfMissing() => Assert.SkipUnless(IsInstalled, "no program etcd in PATH: install Debian's package etcd-server to run this test");

    /// <summary>Starts one; returns once it has a leader.</summary>
    /// <param name="members">How many.</param>
    /// <param name="host">An address of this machine that all of them listen on; null for the loopback.</param>
    public static async Task<EtcdCluster> StartAsync(int members, IPAddress? host = null)
    {
        EtcdCluster cluster = new(members, host ?? IPAddress.Loopback);
        for (int i = 0; i < members; i++)
        {
            cluster.Start(i);
        }

        try
        {
            await cluster.LeaderAsync();
            return cluster;
        }
        catch
        {
            await cluster.DisposeAsync();
            throw;
        }
    }

    /// <summary>The address of a register in it that nobody used before, with the given member first.</summary>
    public string NewAddress() => Address($"/weir/test-{Interlocked.Increment(ref _prefixes)}");

    /// <summary>The address of a register with the given member first.</summary>
    public string Address(string prefix, int first = 0) =>
        $"etcd://{string.Join(',', Enumerable.Range(first, Members).Select(i => $"{_host}:{_clientPorts[i % Members]}"))}{prefix}";

    public Uri Url(int member) => new(Client(member));

    public static EtcdRegister Register(string address, Action? wake = null, EtcdOptions? options = null, ILogger? log = null)
    {
        Assert.True(EtcdAddress.TryParse(address, out EtcdAddress? parsed, out string? fault), fault);
        return new EtcdRegister(parsed, options ?? Patient, log ?? NullLogger.Instance, wake ?? (() => { }));
    }

    public void Start(int member)
    {
        ProcessStartInfo start = new("etcd")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                "--name", $"m{member}",
                "--data-dir", Path.Combine(_folder, $"m{member}"),
                "--listen-client-urls", Client(member),
                "--advertise-client-urls", Client(member),
                "--listen-peer-urls", Peer(member),
                "--initial-advertise-peer-urls", Peer(member),
                "--initial-cluster", string.Join(',', Enumerable.Range(0, Members).Select(i => $"m{i}={Peer(i)}")),
                "--heartbeat-interval", "50",
                "--election-timeout", "500",
            },
        };
        Process process = Process.Start(start)!;
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _processes[member] = process;
    }

    /// <summary>kill -9, and its files stay.</summary>
    public void Kill(int member)
    {
        using Process process = _processes[member]!;
        _processes[member] = null;
        process.Kill();
        process.WaitForExit();
    }

    /// <summary>Stops a member in whatever it does.</summary>
    public void Pause(int member) => ProcessSignals.Stop(_processes[member]!);

    /// <summary>Lets it go on as if no time had passed.</summary>
    public void Resume(int member) => ProcessSignals.Continue(_processes[member]!);

    /// <summary>Waits until the members that run agree on a leader, which one of them is.</summary>
    public async Task<int> LeaderAsync()
    {
        var since = Stopwatch.StartNew();
        while (since.ElapsedMilliseconds < StartMs)
        {
            for (int member = 0; member < Members; member++)
            {
                if (_processes[member] is { HasExited: true })
                {
                    throw new InvalidOperationException($"etcd ended by itself: {string.Join('\n', _lastLines)}");
                }

                if (_processes[member] is not null && await IsLeaderAsync(member))
                {
                    return member;
                }
            }

            await Task.Delay(50);
        }

        throw new TimeoutException($"etcd with {Members} members had no leader within {StartMs} ms: {string.Join('\n', _lastLines)}");
    }

    public async ValueTask DisposeAsync()
    {
        for (int member = 0; member < Members; member++)
        {
            if (_processes[member] is not null)
            {
                Kill(member);
            }
        }

        await Task.CompletedTask;
        Directory.Delete(_folder, recursive: true);
    }

    public static int[] FreePorts(int count)
    {
        TcpListener[] listeners = [.. Enumerable.Range(0, count).Select(_ => new TcpListener(IPAddress.Loopback, 0))];
        foreach (TcpListener listener in listeners)
        {
            listener.Start();
        }

        int[] ports = [.. listeners.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        foreach (TcpListener listener in listeners)
        {
            listener.Dispose();
        }

        return ports;
    }

    private void Keep(string? line)
    {
        _lastLines.Enqueue(line ?? "");
        if (_lastLines.Count > 20)
        {
            _lastLines.TryDequeue(out _);
        }
    }

    private async Task<bool> IsLeaderAsync(int member)
    {
        try
        {
            using HttpResponseMessage answer = await Http.PostAsJsonAsync(new Uri(Url(member), "/v3/maintenance/status"), new { });
            using JsonDocument status = JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
            return status.RootElement.TryGetProperty("leader", out JsonElement leader)
                && leader.GetString() == status.RootElement.GetProperty("header").GetProperty("member_id").GetString();
        }
        catch (Exception fault) when (fault is HttpRequestException or TaskCanceledException or JsonException or KeyNotFoundException)
        {
            return false;
        }
    }

    private string Client(int member) => $"http://{_host}:{_clientPorts[member]}";

    private string Peer(int member) => $"http://{_host}:{_peerPorts[member]}";
}
