using Weir.Client;
using Weir.Host;
using Weir.Tests.Register;

namespace Weir.Tests.Host;

/// <summary>Servers over real sockets whose map is kept by a real etcd.</summary>
public class EtcdServersTests
{
    [Fact]
    public async Task Servers_that_know_an_etcd_alone_are_one_cluster_which_outlives_the_manager_and_etcds_leader()
    {
        EtcdCluster.SkipIfMissing();
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using EtcdCluster etcd = await EtcdCluster.StartAsync(3);
        string register = etcd.NewAddress();
        Task<WeirServer> Start() => WeirHost.ServeAsync(
            new ServeOptions { SegmentBits = 6, Replicas = 1, NodeTimeoutMs = 2000, JoinMs = 60_000, EtcdRegister = register }, cancellation: stop);
        List<WeirServer> servers = [.. await Task.WhenAll(Start(), Start(), Start())];
        try
        {
            await using WeirClient client = await WeirHost.ConnectAsync([.. servers.Select(s => s.Address)], new ClientOptions { DeadlineMs = 60_000 }, cancellation: stop);
            ClusterStatus status = await client.GetStatusAsync(stop);
            Assert.Equal(servers.Select(s => s.Id).Order(), status.Servers.Select(s => s.Id).Order());
            await client.OpenTableAsync(new TableOptions { Name = "before" }, stop);

            etcd.Kill(await etcd.LeaderAsync());
            await client.OpenTableAsync(new TableOptions { Name = "without a third of etcd" }, stop);

            // Whoever decides the map is one of these two: its successor goes on from what stands in etcd.
            for (int gone = 0; gone < 2; gone++)
            {
                await servers[0].DisposeAsync();
                servers.RemoveAt(0);
                servers.Add(await Start());
                await client.OpenTableAsync(new TableOptions { Name = $"after {gone + 1}" }, stop);
            }
        }
        finally
        {
            foreach (WeirServer server in servers)
            {
                await server.DisposeAsync();
            }
        }
    }

    [Fact]
    public async Task An_etcd_that_is_written_wrongly_or_contradicts_acceptors_is_refused_and_one_that_is_not_there_is_said()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        ArgumentException fault = await Assert.ThrowsAsync<ArgumentException>(() => WeirHost.ServeAsync(
            new ServeOptions { EtcdRegister = "etcd://10.0.0.1:2379", Register = new RegisterOptions { Acceptors = ["10.0.0.1:4000"], Cluster = 7 } }, cancellation: stop));
        Assert.Contains("Register and EtcdRegister are both given", fault.Message);
        Assert.Contains("each cluster needs a prefix of its own", fault.Message);

        string nobody = $"etcd://127.0.0.1:{EtcdCluster.FreePorts(1)[0]}/weir/nobody";
        WeirException unreachable = await Assert.ThrowsAsync<WeirException>(() => WeirHost.ServeAsync(new ServeOptions { EtcdRegister = nobody, JoinMs = 300 }, cancellation: stop));
        Assert.Contains($"no member of the cluster at {nobody} within 0.3 s: is etcd reached from here", unreachable.Message);
    }
}
