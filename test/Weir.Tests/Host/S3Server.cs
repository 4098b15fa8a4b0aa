using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Amazon.Runtime;
using Weir.Host.S3;
using Weir.Tests.Register;
using Weir.Tests.Repo;

namespace Weir.Tests.Host;

/// <summary>A store that speaks Amazon's protocol, a process of its own on a free loopback port with its objects in a temporary folder. Where the machine has none, tests skip.</summary>
internal sealed class S3Server : IAsyncDisposable
{
    public const string Bucket = "weir-tests";

    private const string Key = "S3RVER";
    private const int StartMs = 60_000;

    private static readonly HttpClient Http = new() { Timeout = TimeSpan.FromSeconds(2) };

    private readonly string _folder = Directory.CreateTempSubdirectory("weir-s3-").FullName;
    private readonly ConcurrentQueue<string> _lines = new();
    private readonly Process _process;

    private S3Server()
    {
        int port = EtcdCluster.FreePorts(1)[0];
        Endpoint = new Uri($"http://127.0.0.1:{port}");
        var start = new ProcessStartInfo("node")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            ArgumentList =
            {
                Program, "--directory", _folder, "--address", "127.0.0.1", "--port", port.ToString(CultureInfo.InvariantCulture),
                "--no-vhost-buckets", "--configure-bucket", Bucket,
            },
        };
        _process = Process.Start(start)!;
        _process.OutputDataReceived += (_, line) => _lines.Enqueue(line.Data ?? "");
        _process.ErrorDataReceived += (_, line) => _lines.Enqueue(line.Data ?? "");
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    /// <summary>Whether the machine has node, and the checkout the package s3rver.</summary>
    public static bool IsInstalled { get; } = File.Exists(Program)
        && (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator).Any(folder => File.Exists(Path.Combine(folder, "node")));

    public Uri Endpoint { get; }

    /// <summary>What a process finds it by.</summary>
    public IReadOnlyDictionary<string, string> Variables => new Dictionary<string, string>
    {
        ["AWS_ENDPOINT_URL_S3"] = Endpoint.ToString(),
        ["AWS_ACCESS_KEY_ID"] = Key,
        ["AWS_SECRET_ACCESS_KEY"] = Key,
        ["AWS_EC2_METADATA_DISABLED"] = "true",
    };

    private static string Program => Repository.FullPath("artifacts/npm/node_modules/s3rver/bin/s3rver.js");

    /// <summary>Skips the test that runs where there is none.</summary>
    public static void SkipIfMissing() =>
        Assert.SkipUnless(IsInstalled, "no store of objects: `npm install --prefix artifacts/npm s3rver@3.7.1` at the root of the repository has this test run");

    public static async Task<S3Server> StartAsync()
    {
        var server = new S3Server();
        var since = Stopwatch.StartNew();
        while (!await server.AnswersAsync())
        {
            if (server._process.HasExited || since.ElapsedMilliseconds > StartMs)
            {
                string lines = string.Join('\n', server._lines);
                await server.DisposeAsync();
                throw new InvalidOperationException($"the store did not come to answer: {lines}");
            }

            await Task.Delay(50);
        }

        return server;
    }

    /// <summary>A prefix in it.</summary>
    public S3Store Store(string prefix, string bucket = Bucket, string key = Key) =>
        new($"s3://{bucket}/{prefix}", new S3Options { Endpoint = Endpoint }, new BasicAWSCredentials(key, Key));

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
            await _process.WaitForExitAsync();
        }

        _process.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task<bool> AnswersAsync()
    {
        try
        {
            using HttpResponseMessage answer = await Http.GetAsync(Endpoint);
            return true;
        }
        catch (Exception fault) when (fault is HttpRequestException or TaskCanceledException)
        {
            return false;
        }
    }
}
