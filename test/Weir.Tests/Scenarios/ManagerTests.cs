using System.Globalization;

namespace Weir.Tests.Scenarios;

/// <summary>The manager dies and another takes over (design section 4).</summary>
public class ManagerTests
{
    /// <summary>How many seeds a run tries: 60, or as many as WEIR_SEEDS says.</summary>
    private static ulong Seeds =>
        ulong.TryParse(Environment.GetEnvironmentVariable("WEIR_SEEDS"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong seeds) ? Math.Max(60, seeds) : 60;

    [Fact]
    public void Managers_follow_each_other_without_two_in_a_term_while_their_nodes_and_the_acceptors_fail()
    {
        Dictionary<string, int> hits = [];
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            using var run = new ManagerRun(seed, hits);
            try
            {
                run.Run();
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"seed {seed}: {failure.Message}\n{run.Describe()}", failure);
            }
        }

        // A batch that never hit these has not tested them.
        foreach (string hit in (string[])["the manager's node was killed", "an acceptor's node was killed", "the manager's node stood still",
            "the manager's node was cut off", "a majority of the acceptors was away", "a node that was counted gone came back", "a process died",
            "an iteration ended while the register was away", "more than one term", "more than three terms"])
        {
            Assert.True(hits.GetValueOrDefault(hit) > 0, $"no seed hit: {hit}");
        }
    }
}
