using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host.InProcess;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>A link that is gone has no room: an answer to it would be made whole, as nothing of it ever waits, and dropped.</summary>
public class GoneLinkTests
{
    [Fact]
    public async Task A_closed_connection_has_no_room()
    {
        await using var network = new SocketNetwork(SocketOptions.Default, NullLogger.Instance);
        var machine = new AcceptingMachine();
        await using var loop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "server");
        network.Attach(loop);
        string address = network.Listen(new IPEndPoint(IPAddress.Loopback, 0));
        LinkId link;
        await using (var client = new SocketClientSide<ListeningMachine>(_ => new ListeningMachine()))
        {
            client.Network.Send(client.Network.Open(address), TestFrames.Make(client.Pool, 1, 100));
            link = await machine.Came.Task.WaitAsync(ListeningMachine.Patience, TestContext.Current.CancellationToken);
            Assert.True(network.HasRoom(link, 0));
        }

        await Until.TrueAsync(() => !network.HasRoom(link, 0), "a link whose peer has closed has no room");
        Assert.False(network.HasRoom(new LinkId(999), 0));
    }

    [Fact]
    public async Task A_link_that_is_not_connected_has_room_for_its_first_frames_and_no_more()
    {
        await using var network = new SocketNetwork(SocketOptions.Default, NullLogger.Instance);
        LinkId link = network.Open("127.0.0.1:1");
        Assert.True(network.HasRoom(link, 0));
        Assert.False(network.HasRoom(link, SocketOptions.Default.RoomBytes));
    }

    [Fact]
    public async Task In_a_process_it_is_the_same()
    {
        var hub = new InProcessHub();
        var machine = new AcceptingMachine();
        await using InProcessNetwork server = hub.Join("inproc:1");
        await using var loop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "server");
        server.Attach(loop);
        InProcessNetwork client = hub.Join(null);
        await using var clientLoop = new ClientLoop(new ListeningMachine(), new HostTimers(), NullLogger.Instance, "client");
        client.Attach(clientLoop);
        LinkId opened = client.Open("inproc:1");
        Assert.True(client.HasRoom(opened, 0));
        Assert.False(client.HasRoom(opened, 1 << 30));
        client.Send(opened, TestFrames.Make(new FramePool(), 1, 100));
        LinkId link = await machine.Came.Task.WaitAsync(ListeningMachine.Patience, TestContext.Current.CancellationToken);
        Assert.True(server.HasRoom(link, 0));
        await client.DisposeAsync();
        Assert.False(server.HasRoom(link, 0));
    }

    /// <summary>Says over which link the first frame came.</summary>
    private sealed class AcceptingMachine : IMachine
    {
        public TaskCompletionSource<LinkId> Came { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            frame.Release();
            Came.TrySetResult(link);
        }

        public void LinkDown(LinkId link, string reason, Instant now)
        {
        }

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
        }
    }
}
