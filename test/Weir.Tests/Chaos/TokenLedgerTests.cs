using Weir.Cli.Bench;
using Weir.Client;
using Weir.Host;

namespace Weir.Tests.Chaos;

/// <summary>The checker of the chaos suite and of <c>weir bench failover</c> finds what it is there to find.</summary>
public sealed class TokenLedgerTests
{
    private static readonly float[] Ones = [1, 1, 1, 1];

    [Fact]
    public async Task What_was_acknowledged_is_there_once_and_what_was_not_may_be()
    {
        TokenVerdict verdict = await CheckAsync(async (client, table, keys) => await client.PushAsync(table, keys, Ones));
        Assert.Equal(new TokenVerdict(3, 0, 0, 0), verdict);
        Assert.True(verdict.IsSound);
    }

    [Fact]
    public async Task A_token_that_is_not_there_was_lost() =>
        Assert.Equal(new TokenVerdict(3, 1, 0, 0), await CheckAsync(async (client, table, keys) => await client.PushAsync(table, keys.AsMemory(1), Ones.AsMemory(1))));

    [Fact]
    public async Task A_token_that_was_not_acknowledged_may_be_missing() =>
        Assert.Equal(new TokenVerdict(3, 0, 0, 0), await CheckAsync(async (client, table, keys) => await client.PushAsync(table, keys.AsMemory(0, 3), Ones.AsMemory(1))));

    [Fact]
    public async Task A_token_that_was_applied_twice_counts_whether_it_was_acknowledged_or_not() =>
        Assert.Equal(new TokenVerdict(3, 0, 2, 0), await CheckAsync(async (client, table, keys) =>
        {
            await client.PushAsync(table, keys, Ones);
            await client.PushAsync(table, keys.AsMemory(2), Ones.AsMemory(2));
        }));

    [Fact]
    public async Task A_row_that_nobody_pushed_is_foreign_and_so_is_half_a_token() =>
        Assert.Equal(new TokenVerdict(3, 1, 0, 2), await CheckAsync(async (client, table, keys) =>
        {
            await client.PushAsync(table, keys, new float[] { 0.5f, 1, 1, 1 });
            await client.PushAsync(table, new ulong[] { 12345 }, new float[] { 1 });
        }));

    /// <summary>A checkpoint holds what was acknowledged before it was begun; what came after may be in it.</summary>
    [Fact]
    public async Task Of_a_table_of_an_earlier_moment_the_first_acknowledged_are_asked_for()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded();
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "tokens" });
        var ledger = new TokenLedger();
        ulong[] keys = new ulong[4];
        int first = ledger.Draw(keys);
        ledger.Acknowledge(first + 2, 2);
        ledger.Acknowledge(first, 2);
        await client.PushAsync(table, keys.AsMemory(2), Ones.AsMemory(2));
        Assert.Equal(new TokenVerdict(2, 0, 0, 0), await TokenLedger.CheckAsync(client, table, [ledger], CancellationToken.None, [2]));
        Assert.Equal(new TokenVerdict(3, 1, 0, 0), await TokenLedger.CheckAsync(client, table, [ledger], CancellationToken.None, [3]));
    }

    /// <summary>Four tokens of an owner, of which all but the last are acknowledged.</summary>
    private static async Task<TokenVerdict> CheckAsync(Func<WeirClient, WeirTable, ulong[], Task> push)
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded();
        await using WeirClient client = await cluster.ConnectAsync();
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "tokens" });
        var ledger = new TokenLedger(owner: 3);
        ulong[] keys = new ulong[4];
        ledger.Acknowledge(ledger.Draw(keys), 3);
        await push(client, table, keys);
        return await TokenLedger.CheckAsync(client, table, [ledger], CancellationToken.None);
    }
}
