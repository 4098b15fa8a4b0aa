using Weir.Checkpoints;
using Weir.Client;
using Weir.Host;
using Weir.Host.Disk;
using Weir.Host.S3;
using Weir.Keys;
using Weir.Sim;
using Weir.Tests.Learn;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>What every store of checkpoints does: a folder, and a prefix of a bucket.</summary>
public sealed class CheckpointStoreTests : IAsyncLifetime
{
    private const string Folder = "folder", S3 = "s3";

    private readonly ScratchFolder _folder = new();
    private S3Server? _server;

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => default;

    public async ValueTask DisposeAsync()
    {
        _folder.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }

    [Theory]
    [InlineData(Folder)]
    [InlineData(S3)]
    public async Task What_is_written_is_read_listed_replaced_and_deleted(string kind)
    {
        ICheckpointStore store = await OpenAsync(kind, "c");
        Assert.Empty(await store.ListAsync("", Cancellation));
        Assert.Null(await store.ReadAsync("one/a", new byte[1], Cancellation));
        await store.WriteAsync("one/a", [new byte[] { 1, 2 }, new byte[] { 3 }], Cancellation);
        await store.WriteAsync("two/b", [new byte[] { 9 }], Cancellation);
        await store.WriteAsync("one-more/b", [], Cancellation);
        await store.WriteAsync("one/a", [new byte[] { 4, 5 }], Cancellation);
        Assert.Equal([4, 5], await ReadAsync(store, "one/a"));
        Assert.Empty(await ReadAsync(store, "one-more/b"));

        // Of one that is longer than there is room for the beginning is read, and how long it is.
        byte[] little = [0];
        Assert.Equal(2, await store.ReadAsync("one/a", little, Cancellation));
        Assert.Equal([4], little);
        Assert.Equal([new StoredObject("one/a", 2)], await store.ListAsync("one", Cancellation));
        Assert.Equal(3, (await store.ListAsync("", Cancellation)).Count);
        await store.DeleteAsync("one/a", Cancellation);
        await store.DeleteAsync("one/a", Cancellation);
        await store.DeleteAsync("one-more/b", Cancellation);
        Assert.Equal([new StoredObject("two/b", 1)], await store.ListAsync("", Cancellation));
    }

    [Theory]
    [InlineData(Folder)]
    [InlineData(S3)]
    public async Task A_large_object_in_uneven_pieces_is_read_as_it_was_written(string kind)
    {
        ICheckpointStore store = await OpenAsync(kind, "c");
        byte[] bytes = new byte[(5 << 20) + 3];
        new Random(1).NextBytes(bytes);
        List<ReadOnlyMemory<byte>> pieces = [default];
        for (int at = 0, length = 1; at < bytes.Length; at += length, length = (length * 3) + 1)
        {
            pieces.Add(bytes.AsMemory(at, Math.Min(length, bytes.Length - at)));
            pieces.Add(default);
        }

        await store.WriteAsync("one/a", pieces, Cancellation);
        Assert.Equal(bytes, await ReadAsync(store, "one/a"));
        Assert.Equal([new StoredObject("one/a", bytes.Length)], await store.ListAsync("", Cancellation));
    }

    /// <summary>Two stores of one bucket do not see each other, be one prefix the beginning of the other's.</summary>
    [Theory]
    [InlineData(Folder)]
    [InlineData(S3)]
    public async Task Places_beside_each_other_are_apart(string kind)
    {
        ICheckpointStore store = await OpenAsync(kind, "place"), other = await OpenAsync(kind, "place2"), within = await OpenAsync(kind, "place/below");
        await store.WriteAsync("one/a", [new byte[] { 1 }], Cancellation);
        await other.WriteAsync("two/a", [new byte[] { 2 }], Cancellation);
        await within.WriteAsync("three/a", [new byte[] { 3 }], Cancellation);
        Assert.Equal([new StoredObject("one/a", 1)], (await store.ListAsync("", Cancellation)).Where(o => o.Name.StartsWith("one/", StringComparison.Ordinal)));
        Assert.DoesNotContain(await store.ListAsync("", Cancellation), o => o.Name == "two/a" || o.Name == "three/a");
        Assert.Null(await store.ReadAsync("two/a", new byte[1], Cancellation));
    }

    [Theory]
    [InlineData("a")]
    [InlineData("../a/b")]
    [InlineData("a/../b")]
    [InlineData("a/..")]
    [InlineData("/a")]
    public async Task A_name_that_leads_out_of_the_place_is_refused(string name)
    {
        await Assert.ThrowsAsync<ArgumentException>(() => new FolderStore(_folder["c"]).WriteAsync(name, [], Cancellation));
        using var store = new S3Store("s3://bucket/c");
        await Assert.ThrowsAsync<ArgumentException>(() => store.WriteAsync(name, [], Cancellation));
        await Assert.ThrowsAsync<ArgumentException>(() => store.ReadAsync(name, default, Cancellation));
        await Assert.ThrowsAsync<ArgumentException>(() => store.DeleteAsync(name, Cancellation));
    }

    /// <summary>
    /// Of a real cluster into another one with another number of servers, in more than one object, as long as they get; a damaged one is named and
    /// nothing is loaded.
    /// </summary>
    [Theory]
    [InlineData(Folder)]
    [InlineData(S3)]
    public async Task A_cluster_is_written_verified_and_loaded_on_other_servers(string kind)
    {
        ICheckpointStore store = await OpenAsync(kind, "c");
        const int Width = 256;
        ulong[] keys = [.. Enumerable.Range(0, 20_000).Select(i => (ulong)i * 77)];
        float[] values = [.. Enumerable.Range(0, keys.Length * Width).Select(i => i + 0.5f)], read = new float[values.Length];
        var declared = new TableOptions { Name = "t", Width = Width, Rule = UpdateRule.Adagrad(0.1f) };
        await using (EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2, SegmentBits = 7 }))
        {
            await using WeirClient client = await cluster.ConnectAsync(cancellation: Cancellation);
            WeirTable table = await client.OpenTableAsync(declared, Cancellation);
            await client.PushAsync(table, keys, values, Cancellation);
            await client.PullAsync(table, keys, values, Cancellation);
            CheckpointSummary written = await client.SaveCheckpointAsync(store, "first", Cancellation);
            Assert.Equal(keys.Length, written.Rows);
            Assert.InRange(written.Bytes, 39 << 20, 42 << 20);
            await client.SaveCheckpointAsync(store, "second", Cancellation);
        }

        var catalog = new CheckpointCatalog(store);
        Assert.Equal(["first", "second"], (await catalog.ListAsync(Cancellation)).Select(c => c.Name));
        await catalog.KeepAsync(1, Cancellation);
        Assert.Equal(["second"], (await catalog.ListAsync(Cancellation)).Select(c => c.Name));
        Assert.Empty(await catalog.VerifyAsync("second", Cancellation));
        await using EmbeddedCluster other = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 3, SegmentBits = 7 });
        await using WeirClient loader = await other.ConnectAsync(cancellation: Cancellation);
        byte[] sound = await ReadAsync(store, "second/blocks-00001"), damaged = [.. sound];
        damaged[damaged.Length / 2] ^= 1;
        await store.WriteAsync("second/blocks-00001", [damaged], Cancellation);
        WeirException refused = await Assert.ThrowsAsync<WeirException>(() => loader.RestoreCheckpointAsync(store, "second", cancellation: Cancellation));
        Assert.Contains("second/blocks-00001 is damaged", refused.Message, StringComparison.Ordinal);
        Assert.Equal(1, (await loader.GetStatusAsync(Cancellation)).Generation);
        await store.WriteAsync("second/blocks-00001", [sound], Cancellation);
        await loader.RestoreCheckpointAsync(store, "second", cancellation: Cancellation);
        await loader.PullAsync(await loader.OpenTableAsync(declared, Cancellation), keys, read, Cancellation);
        Assert.Equal(values, read);
    }

    /// <summary>
    /// Wherever in the writing its store fails - at any file, at the manifest, or behind it - a checkpoint ends with what the store said. Nothing is left of it
    /// that would fill a full disk further, an older one stays, pushes go on, and so does the next checkpoint.
    /// </summary>
    [Fact]
    public async Task A_checkpoint_whose_disk_is_full_says_so_and_leaves_nothing_behind()
    {
        const int Width = 256, Files = 2;
        ulong[] keys = [.. Enumerable.Range(0, 34_000).Select(i => (ulong)i * 77)];
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded(new EmbeddedOptions { Servers = 2, SegmentBits = 7 });
        await using WeirClient client = await cluster.ConnectAsync(cancellation: Cancellation);
        WeirTable table = await client.OpenTableAsync(new TableOptions { Name = "t", Width = Width }, Cancellation);
        await client.PushAsync(table, keys, new float[keys.Length * Width], Cancellation);
        var store = new FailingStore();
        await client.SaveCheckpointAsync(store, "older", Cancellation);
        Assert.Equal(Files + 1, store.Writes);
        for (int write = 1; write <= Files + 2; write++)
        {
            store.FailAt(Math.Min(write, Files + 1), keepsWhatItWrote: write > Files + 1);
            Assert.Same(store.Failure, await Assert.ThrowsAsync<IOException>(() => client.SaveCheckpointAsync(store, "failed", Cancellation)));
            Assert.All(await store.ListAsync("", Cancellation), left => Assert.StartsWith("older/", left.Name, StringComparison.Ordinal));
            Assert.Empty(await new CheckpointCatalog(store).VerifyAsync("older", Cancellation));
            await client.PushAsync(table, keys.AsMemory(0, 1), new float[Width], Cancellation);
        }

        Assert.Null((await client.ReadMapAsync(10_000, Cancellation)).Checkpoint);
        store.FailAt(0);
        await client.SaveCheckpointAsync(store, "next", Cancellation);
        Assert.Empty(await new CheckpointCatalog(store).VerifyAsync("next", Cancellation));
    }

    /// <summary>Before anything of the older one was touched there is nothing to take away.</summary>
    [Fact]
    public async Task A_checkpoint_that_could_not_be_begun_leaves_the_older_one_of_its_name()
    {
        await using EmbeddedCluster cluster = WeirHost.StartEmbedded();
        await using WeirClient client = await cluster.ConnectAsync(cancellation: Cancellation);
        await using WeirClient hasty = await cluster.ConnectAsync(new ClientOptions { DeadlineMs = 100 }, Cancellation);
        await client.OpenTableAsync(new TableOptions { Name = "t" }, Cancellation);
        var store = new FailingStore();
        await client.SaveCheckpointAsync(store, "c", Cancellation);
        await using WeirClient other = await cluster.ConnectAsync(cancellation: Cancellation);
        var held = new TaskCompletionSource();
        Task<CheckpointSummary> open = other.SaveCheckpointAsync(new MemoryCheckpoints { Delay = () => held.Task }, "held", Cancellation);
        while ((await client.ReadMapAsync(10_000, Cancellation)).Checkpoint is null)
        {
            // It is yet to be opened.
        }

        await Assert.ThrowsAsync<WeirException>(() => hasty.SaveCheckpointAsync(store, "c", Cancellation));
        held.SetResult();
        await open;
        Assert.Empty(await new CheckpointCatalog(store).VerifyAsync("c", Cancellation));
    }

    private static async Task<byte[]> ReadAsync(ICheckpointStore store, string name)
    {
        byte[] room = new byte[34 << 20];
        long? length = await store.ReadAsync(name, room, Cancellation);
        Assert.NotNull(length);
        return room[..(int)length];
    }

    private async Task<ICheckpointStore> OpenAsync(string kind, string place)
    {
        if (kind == Folder)
        {
            return new FolderStore(_folder[place]);
        }

        S3Server.SkipIfMissing();
        return (_server ??= await S3Server.StartAsync()).Store(place);
    }

    /// <summary>A store in memory whose disk is full at a write of the test's choice.</summary>
    private sealed class FailingStore : ICheckpointStore
    {
        private readonly MemoryCheckpoints _store = new();
        private int _failing;
        private bool _keeps;

        public IOException Failure { get; } = new("No space left on device : 'blocks'");

        /// <summary>Writes so far, or since it was told where to fail.</summary>
        public int Writes { get; private set; }

        /// <param name="write">The write that fails, from 1; 0 for none.</param>
        /// <param name="keepsWhatItWrote">The object is there all the same: nobody knows, after a failure.</param>
        public void FailAt(int write, bool keepsWhatItWrote = false) => (Writes, _failing, _keeps) = (0, write, keepsWhatItWrote);

        public Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
        {
            lock (_store)
            {
                bool fails = ++Writes == _failing;
                Task written = fails && !_keeps ? Task.CompletedTask : _store.WriteAsync(name, pieces, cancellation);
                return fails ? Task.FromException(Failure) : written;
            }
        }

        public Task<long?> ReadAsync(string name, Memory<byte> into, CancellationToken cancellation) => _store.ReadAsync(name, into, cancellation);

        public Task<IReadOnlyList<StoredObject>> ListAsync(string checkpoint, CancellationToken cancellation) => _store.ListAsync(checkpoint, cancellation);

        public Task DeleteAsync(string name, CancellationToken cancellation) => _store.DeleteAsync(name, cancellation);
    }
}
