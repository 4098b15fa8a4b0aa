using System.Net;
using System.Net.Sockets;
using Weir.Client;
using Weir.Host;
using Weir.Keys;
using Weir.Register;
using Weir.Tests.Learn;

namespace Weir.Tests.Host;

/// <summary>Servers and clients that are not what they should be, against real servers: each is told why, and the others are served on.</summary>
public sealed class HostilePeersTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>Found by reading: acceptors passed such a server over, which then asked whether they ran.</summary>
    [Theory]
    [InlineData(false, "an acceptor of the register refused this node: ")]
    [InlineData(true, "refused this node: ")]
    public async Task A_server_with_another_clusters_number_is_told_whose_acceptors_and_members_it_asked(bool joins, string expected)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        string address = FreeAddress();
        await using WeirServer server = await WeirHost.ServeAsync(
            new ServeOptions
            {
                Listen = address,
                SegmentBits = 6,
                Register = new RegisterOptions { Acceptors = [address], Cluster = 0x4D, Folder = _folder["acceptor"], Start = AcceptorStart.First },
            },
            cancellation: stop);
        WeirException refused = await Assert.ThrowsAsync<WeirException>(() => WeirHost.ServeAsync(
            new ServeOptions { Join = joins ? address : null, JoinMs = 1000, Register = new RegisterOptions { Acceptors = [address], Cluster = 0x4E } }, cancellation: stop));
        Assert.Equal(Status.Conflict, refused.Status);
        Assert.Contains(expected, refused.Message);
        Assert.EndsWith("cluster 4d, the frame names 4e", refused.Message);
        await ServesOnAsync(server, members: 1);
    }

    [Fact]
    public async Task A_second_server_under_the_id_of_one_that_lives_is_told_where_that_is()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirServer first = await WeirHost.ServeAsync(new ServeOptions { SegmentBits = 6 }, cancellation: stop);
        var options = new ServeOptions { Join = first.Address, Node = 0xABC, JoinMs = 1000 };
        await using WeirServer second = await WeirHost.ServeAsync(options, cancellation: stop);
        WeirException refused = await Assert.ThrowsAsync<WeirException>(() => WeirHost.ServeAsync(options, cancellation: stop));
        Assert.Equal(Status.Conflict, refused.Status);
        Assert.Contains($"server 0000000000000abc is a member at {second.Address} and alive", refused.Message);
        await ServesOnAsync(first, members: 2);
    }

    [Fact]
    public async Task A_client_whose_server_speaks_another_version_of_the_protocol_says_both_versions()
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        using var server = new TcpListener(IPAddress.Loopback, 0);
        server.Start();
        Task answering = AnswerAsync();
        WeirException failed = await Assert.ThrowsAsync<WeirException>(() => WeirHost.ConnectAsync([server.LocalEndpoint.ToString()!], new ClientOptions { ConnectMs = 1000 }, cancellation: stop));
        Assert.Contains("protocol version 2; this side speaks version 1", failed.Message);
        server.Stop();
        await answering;

        async Task AnswerAsync()
        {
            byte[] frame = TestFrames.WithVersion(2);
            try
            {
                while (true)
                {
                    using Socket socket = await server.AcceptSocketAsync(stop);
                    await socket.ReadAsync(1);
                    await socket.WriteAsync(frame);
                    await socket.ReadAsync();
                }
            }
            catch (Exception end) when (end is SocketException or ObjectDisposedException)
            {
                // The test is over, or the client reset the connection.
            }
        }
    }

    private static async Task ServesOnAsync(WeirServer server, int members)
    {
        CancellationToken stop = TestContext.Current.CancellationToken;
        await using WeirClient client = await WeirHost.ConnectAsync([server.Address], cancellation: stop);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t" }, stop);
        ulong[] keys = [.. Enumerable.Range(0, 200).Select(i => (ulong)i)];
        float[] read = new float[keys.Length];
        await client.PushAsync(table, keys, keys.Select(_ => 1f).ToArray(), stop);
        await client.PullAsync(table, keys, read, stop);
        Assert.All(read, value => Assert.Equal(1, value));
        Assert.Equal(members, (await client.GetStatusAsync(stop)).Servers.Count);
    }

    private static string FreeAddress()
    {
        using var free = new TcpListener(IPAddress.Loopback, 0);
        free.Start();
        return free.LocalEndpoint.ToString()!;
    }
}
