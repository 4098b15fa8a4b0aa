using System.CommandLine;
using Microsoft.Extensions.Logging;
using Weir.Cli.Processes;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Host;
using Weir.Host.Etcd;

namespace Weir.Cli.Commands;

/// <summary><c>weir up</c>: a cluster of processes on this machine, until Ctrl+C.</summary>
internal static class UpCommand
{
    private const int MostServers = 100;

    public static Command Create(ToolConsole console)
    {
        Option<long> servers = CheckedOption.Whole("--servers", "Server processes to start. Default 3: with a replica each, any one may be lost.", 3, 1, MostServers);
        Option<long> replicas = ServeCommand.ReplicasOption("How many servers hold each segment beside the one that leads it, so that as many may die. Default 0: single copies.");
        Option<long?> peers = CheckedOption.WholeOrNone(
            "--register-peers", "Servers that keep the cluster's map, 1, 3 or 5; a majority of them must live. Default 3 with --replicas and three servers or more, else 1.", 1, 5);
        Option<string?> register = CheckedOption.Etcd("--register", "An etcd that keeps the cluster's map instead, under a prefix that no cluster used before. Default: the servers keep it themselves.");
        Option<int?> segments = TrainOptions.SegmentsOption("Slices of the key space, a power of two from 64 to 131072. Default: the smallest number that gives a server 100.");
        Option<Transport> transport = TransportOption.Create("What the servers are reached by: tcp on the loopback, or unix for sockets in a folder of this user's own. Default tcp.");
        Option<string?> journal = CheckedOption.Text(
            "--journal", "A folder for the servers' journals and the cluster's map, for durable tables; over TCP. Start again with the same folder and the cluster goes on where all its servers stopped. Default: none.", "DIR");
        Option<string?> plugIns = ServeCommand.PlugInsOption();
        Option<long?> functionBudget = ServeCommand.FunctionBudgetOption();
        Option<string?> report = CheckedOption.Text("--report", "Write the servers' ids, processes and addresses as JSON once all serve. Default: no file.", "FILE.json");
        var command = new Command("up", "Starts a cluster of server processes on this machine, says how to reach it, and stops it at Ctrl+C. What it held is then gone, but for durable tables where there is a --journal.")
        {
            servers, replicas, peers, register, segments, transport, journal, plugIns, functionBudget, report,
        };
        command.Validators.Add(result =>
        {
            if (result.IsGiven(peers) && result.IsGiven(register))
            {
                result.AddError("--register-peers and --register contradict each other: either servers keep the cluster's map, or an etcd does");
            }

            if (result.IsGiven(journal) && result.GetResult(transport) is { Implicit: false })
            {
                result.AddError("--journal and --transport contradict each other: a cluster that is to be found again has TCP addresses");
            }

            if (result.GetResult(peers)?.Tokens is [{ Value: "2" or "4" } even, ..])
            {
                result.AddError($"--register-peers is {even.Value}; it must be 1, 3 or 5: an even number outlives no more deaths than the odd one below it");
            }
        });
        command.SetAction((parsed, cancellation) =>
        {
            int count = (int)parsed.GetValue(servers), copies = (int)parsed.GetValue(replicas);
            var set = new ServerSet(
                count,
                parsed.GetValue(segments) ?? ServeOptions.SegmentBitsFor(count),
                parsed.GetValue(transport),
                copies,
                parsed.GetValue(register) is null ? (int)(parsed.GetValue(peers) ?? ServerSet.PeersFor(count, copies)) : 0,
                parsed.GetValue(register),
                parsed.GetValue(journal))
            {
                PlugIns = parsed.GetValue(plugIns),
                FunctionBudgetMs = parsed.GetValue(functionBudget),
            };

            // What is wrong with them is said once, and not by each server.
            _ = ServeCommand.FunctionsOf(set.PlugIns);
            return RunAsync(set, parsed.GetValue(report), console, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(ServerSet set, string? reportPath, ToolConsole console, CancellationToken cancellation)
    {
        if (set.RegisterPeers > set.Servers || set.Replicas >= set.Servers)
        {
            string what = set.Replicas >= set.Servers ? $"--replicas {set.Replicas}" : $"--register-peers {set.RegisterPeers}";
            console.Complain($"{what} needs more than the {set.Servers} servers of --servers");
            return ExitCode.Usage;
        }

        JsonFile.Check(reportPath);
        using var loggers = new StandardErrorLog(console.Error, LogLevel.Warning);
        if (EtcdAddress.TryParse(set.EtcdRegister, out EtcdAddress? etcd, out _) && await EtcdPrefix.IsUsedAsync(etcd, loggers.CreateLogger("Weir.Server"), cancellation))
        {
            // Its servers would be joined where they live, and taken for dead where they do not, with all they held.
            throw new ToolException(
                $"{set.EtcdRegister} has the map of a cluster already. If that runs, `weir add --cluster ADDRESS` adds servers to it; if it is gone for good, take another prefix, or `etcdctl del --prefix {etcd.Prefix}/`");
        }

        await using ServerProcesses cluster = await ServerProcesses.StartAsync(set, console, loggers, cancellation);
        await using (WeirClient client = await cluster.ConnectAsync(Filters.None, cancellation))
        {
            ClusterStatus status = await client.GetStatusAsync(cancellation);
            ServeReport[] running = [.. cluster.Servers.Select(server =>
                new ServeReport(status.Servers.FirstOrDefault(s => s.Address == server.Address)?.Id ?? "", server.Pid, server.Address))];
            if (reportPath is not null)
            {
                JsonFile.Write(reportPath, new UpReport(running, [.. cluster.Register]), ReportJson.Default.UpReport);
            }

            foreach (ServeReport server in running)
            {
                console.Say($"server {server.Id} is process {server.Pid} at {server.Address}");
            }
        }

        string copies = set.Replicas == 0 ? "single copies" : set.Replicas == 1 ? "one replica of each segment" : $"{set.Replicas} replicas of each segment";
        console.Say($"{set.Servers} servers, {copies}, the map kept by {set.EtcdRegister ?? $"{set.RegisterPeers}"}. To train on them: weir train --cluster {string.Join(',', cluster.Addresses)}");
        console.Say("Ctrl+C stops them.");
        try
        {
            throw new ToolException(await cluster.Died.WaitAsync(cancellation));
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            return ExitCode.Done;
        }
    }
}
