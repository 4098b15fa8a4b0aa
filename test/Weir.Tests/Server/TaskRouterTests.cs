using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Server;

/// <summary>What the manager knows of who runs tasks (papers PS-10).</summary>
public sealed class TaskRouterTests : IDisposable
{
    private static readonly LinkId Link = new(2), Other = new(3);

    private readonly NodeState _node = new(
        new ServerOptions { Node = 1, Incarnation = 1, Cluster = FrameSamples.Cluster, Address = "a", SegmentBits = FrameSamples.SegmentBits },
        new Outbox(new FuzzNetwork(Link)) { Pool = new FramePool() });

    public void Dispose() => _node.Dispose();

    [Fact]
    public void A_name_is_one_process_s_until_that_is_silent_or_gone()
    {
        TaskRouter router = new(_node);
        Instant now = default;
        Assert.Null(router.Serve(Link, new ServeTasksBody(7, "node"), now));
        Assert.Null(router.Serve(Link, new ServeTasksBody(7, "node"), now.AfterMs(500)));
        Assert.Contains("another process runs tasks as node", router.Serve(Other, new ServeTasksBody(8, "node"), now.AfterMs(600)));
        Assert.Null(router.Serve(Other, new ServeTasksBody(8, "other"), now.AfterMs(600)));
        router.LinkDown(Link);
        Assert.Null(router.Serve(Other, new ServeTasksBody(8, "node"), now.AfterMs(700)));
        Assert.Null(router.Serve(Link, new ServeTasksBody(7, "node"), now.AfterMs(800 + _node.Limits.ProcessTimeoutMs)));
    }
}
