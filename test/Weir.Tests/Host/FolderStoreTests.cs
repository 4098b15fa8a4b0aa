using Weir.Host.Disk;
using Weir.Tests.Learn;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>Checkpoints in a folder.</summary>
public sealed class FolderStoreTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_is_written_is_read_listed_replaced_and_deleted()
    {
        var store = new FolderStore(_folder["c"]);
        Assert.Empty(await store.ListAsync("", Cancellation));
        Assert.Null(await store.ReadAsync("one/a", Cancellation));
        await store.WriteAsync("one/a", [new byte[] { 1, 2 }, new byte[] { 3 }], Cancellation);
        await store.WriteAsync("two/b", [new byte[] { 9 }], Cancellation);
        await store.WriteAsync("one/a", [new byte[] { 4, 5 }], Cancellation);
        Assert.Equal([4, 5], await store.ReadAsync("one/a", Cancellation));
        Assert.Equal([new StoredObject("one/a", 2)], await store.ListAsync("one", Cancellation));
        Assert.Equal(2, (await store.ListAsync("", Cancellation)).Count);
        await store.DeleteAsync("one/a", Cancellation);
        await store.DeleteAsync("one/a", Cancellation);
        Assert.Equal([new StoredObject("two/b", 1)], await store.ListAsync("", Cancellation));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("../a/b")]
    [InlineData("a/../b")]
    [InlineData("a/..")]
    public async Task A_name_that_leads_out_of_the_folder_is_refused(string name) =>
        await Assert.ThrowsAsync<ArgumentException>(() => new FolderStore(_folder["c"]).WriteAsync(name, [], Cancellation));
}
