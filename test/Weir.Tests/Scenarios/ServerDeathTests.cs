namespace Weir.Tests.Scenarios;

/// <summary>The token runs with replicas and the death of a server in each; what is lost is repaired meanwhile (design R9 to R18).</summary>
public class ServerDeathTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void No_acknowledged_push_is_lost_or_applied_twice_when_a_server_dies(int replicas)
    {
        for (ulong seed = 1; seed <= (ulong)SeededClusterTests.Seeds / 2; seed++)
        {
            SeededClusterTests.Run(seed, replicas).Dispose();
        }
    }
}
