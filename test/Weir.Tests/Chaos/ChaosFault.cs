using Weir.World;

namespace Weir.Tests.Chaos;

/// <summary>What the servers of a cluster are given: each fault is for one of these.</summary>
internal enum ChaosSetup
{
    /// <summary>Tables in memory; three of the servers keep the register, in folders.</summary>
    Plain,

    /// <summary>The same, with a proxy before each server.</summary>
    Proxied,

    /// <summary>Durable tables: each server has a journal, on a small disk of its own where such can be made.</summary>
    Durable,

    /// <summary>Tables in memory; an etcd of three members keeps the register.</summary>
    Etcd,
}

/// <summary>What a fault takes that not every machine has, and not every user may.</summary>
[Flags]
internal enum ChaosMeans
{
    None = 0,

    /// <summary>The network can cut servers off.</summary>
    Cuts = 1,

    /// <summary>Another process's system calls may be tampered with: root and strace.</summary>
    Tracing = 2,

    /// <summary>Loop devices with file systems of their own: root, mount and mkfs.ext4.</summary>
    SmallDisks = 4,

    /// <summary>Such a device may be slowed down: the block controller of cgroup v1.</summary>
    Throttling = 8,

    /// <summary>The program etcd.</summary>
    Etcd = 16,

    /// <summary>Another process's limits may be changed: root and prlimit.</summary>
    FileLimits = 32,

    /// <summary>A process may be given a wall clock of its own: libfaketime.</summary>
    FakeClocks = 64,
}

/// <summary>Where a fault takes place.</summary>
/// <param name="Cluster">The cluster.</param>
/// <param name="Rng">Draws the victims.</param>
/// <param name="Acknowledged">Tokens acknowledged so far in this round.</param>
internal sealed record ChaosScene(ChaosCluster Cluster, Rng Rng, Func<long> Acknowledged)
{
    /// <summary>Waits, and sees that pushes go on meanwhile: what is away then must not be waited for.</summary>
    /// <param name="forMs">Waits so long at least.</param>
    /// <param name="without">What is away, for people.</param>
    /// <exception cref="InvalidOperationException">They do not go on in the second half of that time, nor for long after it.</exception>
    public async Task GoesOnAsync(int forMs, string without)
    {
        const int Least = 1000, PatienceMs = 20_000, PollMs = 50;
        await Task.Delay(forMs / 2);
        long before = Acknowledged();
        await Task.Delay(forMs / 2);
        for (int waitedMs = 0; Acknowledged() - before < Least; waitedMs += PollMs)
        {
            if (waitedMs > PatienceMs)
            {
                throw new InvalidOperationException($"{Acknowledged() - before:N0} tokens were acknowledged in {PatienceMs} ms without {without}, where pushes must go on");
            }

            await Task.Delay(PollMs);
        }
    }
}

/// <summary>Something that happens to a cluster in one round, and its end.</summary>
/// <param name="Name">What it is called in the report.</param>
/// <param name="Setup">The cluster it is for.</param>
/// <param name="Means">What it takes.</param>
/// <param name="RunAsync">Begins it, waits, and ends it: what is left to mend then is the cluster's own business.</param>
internal sealed record ChaosFault(string Name, ChaosSetup Setup, ChaosMeans Means, Func<ChaosScene, Task> RunAsync)
{
    /// <summary>Whether frames come to servers twice by what it does: that a part came again then says nothing of its acknowledgement.</summary>
    public bool MakesDuplicates { get; init; }

    /// <summary>Milliseconds longer than every timeout that counts silence: servers' 1 s, the manager's lease of .6 s.</summary>
    public const int LongMs = 2500;

    /// <summary>Milliseconds in which a server that was killed is counted gone.</summary>
    public const int ShortMs = 1200;

    /// <summary>All of them, in the order in which rounds take them.</summary>
    public static IReadOnlyList<ChaosFault> All { get; } =
        [.. ServerFaults.All, .. ProcessFaults.All, .. RegisterFaults.All, .. DiskFaults.All, .. FrameFaults.All];

    /// <summary>Waits until a server has stopped by itself because of its disk (promise G13): one that goes on is a fault of Weir, and so is one that does not say why.</summary>
    /// <exception cref="InvalidOperationException">It goes on, or stopped for another reason.</exception>
    public static async Task StopsAsync(ChaosCluster cluster, int server, string why, Action? again = null)
    {
        const int PatienceMs = 20_000, AgainMs = 50;
        ChaosServer victim = cluster.Servers[server];
        for (int waitedMs = 0; waitedMs < PatienceMs && !await victim.EndsAsync(AgainMs); waitedMs += AgainMs)
        {
            again?.Invoke();
        }

        if (!victim.HasExited)
        {
            throw new InvalidOperationException($"{why} of server {server + 1} for {PatienceMs} ms, and it went on (promise G13)");
        }

        await victim.EndedAsync();
        if (!victim.Text.Contains("promise G13", StringComparison.Ordinal))
        {
            throw new InvalidOperationException($"{why} of server {server + 1}, which ended for another reason: {victim.LastWords}");
        }
    }
}
