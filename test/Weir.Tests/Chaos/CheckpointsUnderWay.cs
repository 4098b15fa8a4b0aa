using Weir.Checkpoints;
using Weir.Cli.Bench;
using Weir.Client;
using Weir.Host;
using Weir.Host.Disk;

namespace Weir.Tests.Chaos;

/// <summary>
/// Checkpoints, one after the other, through a fault. What is under way when servers go may be refused; each that was written must be as it was written, and
/// loaded into another cluster hold every token that was acknowledged before it was begun, and none twice.
/// </summary>
internal sealed class CheckpointsUnderWay : IChaosWorkload
{
    private const int PauseMs = 200;
    private const int RestoreServers = 2;

    private readonly WeirClient _client;
    private readonly TokenPushers _pushers;
    private readonly TableOptions _table;
    private readonly bool _restores;
    private readonly string _folder = Directory.CreateTempSubdirectory("weir-chaos-checkpoints-").FullName;
    private readonly List<(string Name, long[] Acknowledged)> _written = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _run;
    private string _refusal = "none was refused";

    private CheckpointsUnderWay(WeirClient client, TokenPushers pushers, TableOptions table, bool restores)
    {
        (_client, _pushers, _table, _restores) = (client, pushers, table, restores);
        _run = Task.Run(RunAsync);
    }

    public string Name => "checkpoints";

    public long Steps => _written.Count;

    /// <param name="cluster">The cluster.</param>
    /// <param name="pushers">Push the tokens that the checkpoints are to hold.</param>
    /// <param name="table">Their table.</param>
    /// <param name="restores">Whether one of them is loaded at the end, which takes a while.</param>
    public static async Task<CheckpointsUnderWay> StartAsync(ChaosCluster cluster, TokenPushers pushers, TableOptions table, bool restores) =>
        new(await cluster.ConnectAsync("checkpoints"), pushers, table, restores);

    public async Task EndAsync(WeirClient checker, int withinMs)
    {
        await _stop.CancelAsync();
        if (await Task.WhenAny(_run, Task.Delay(withinMs)) != _run)
        {
            throw new TimeoutException($"no checkpoint was written in {withinMs / 1000} s, though the fault is over: {_refusal}; {_client.Core.Describe()}");
        }

        await _run;

        var catalog = new CheckpointCatalog(new FolderStore(_folder));
        foreach ((string name, _) in _written)
        {
            if (await catalog.VerifyAsync(name) is { Count: > 0 } faults)
            {
                throw new InvalidOperationException($"a checkpoint that was written is not sound: {string.Join("; ", faults)}");
            }
        }

        if (_restores)
        {
            await RestoreAsync(_written[_written.Count / 2]);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _client.DisposeAsync();
        await _run.ContinueWith(_ => { }, TaskScheduler.Default);
        _stop.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    private async Task RunAsync()
    {
        var store = new FolderStore(_folder);
        bool isOver = false;
        for (int number = 1; !isOver; number++)
        {
            bool isCalm = _stop.IsCancellationRequested;
            string name = $"c-{number}";
            long[] acknowledged = _pushers.AcknowledgedOfEach;
            try
            {
                await _client.SaveCheckpointAsync(store, name);
                _written.Add((name, acknowledged));

                // The last is of a cluster that the fault is over for.
                isOver = isCalm;
            }
            catch (WeirException refused)
            {
                _refusal = refused.Message;
            }

            await Task.Delay(PauseMs, CancellationToken.None);
        }
    }

    private async Task RestoreAsync((string Name, long[] Acknowledged) checkpoint)
    {
        int segmentBits = _client.Core.State.Map!.SegmentBits;
        await using EmbeddedCluster other = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = RestoreServers, SegmentBits = segmentBits });
        await using WeirClient loader = await other.ConnectAsync();
        await loader.RestoreCheckpointAsync(new FolderStore(_folder), checkpoint.Name);
        TokenVerdict verdict = await TokenLedger.CheckAsync(
            loader, await loader.OpenTableAsync(_table), _pushers.Ledgers, CancellationToken.None, checkpoint.Acknowledged);
        if (!verdict.IsSound)
        {
            throw new InvalidOperationException(
                $"of {verdict.Acknowledged:N0} tokens acknowledged before checkpoint {checkpoint.Name} was begun {verdict.Lost} are not in it, {verdict.Doubled} are twice, {verdict.Foreign} are nobody's");
        }
    }
}
