using System.Text;
using Weir.Host.Disk;
using Weir.Tests.Learn;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>What a journal's folder promises (design R23, G13): whole blocks in order, a torn end cut, anything else said.</summary>
public sealed class JournalFolderTests : IDisposable
{
    private readonly ScratchFolder _scratch = new();

    private string Folder => _scratch["journal"];

    public void Dispose() => _scratch.Dispose();

    [Fact]
    public void Blocks_are_there_in_order_after_each_start_and_each_append_is_answered_in_order()
    {
        for (int start = 0; start < 3; start++)
        {
            using JournalFolder journal = Open(out SemaphoreSlim ended);
            Assert.Equal(start > 0, journal.HasPast);
            Assert.Equal(5UL, journal.Node);
            Assert.Equal(Enumerable.Range(0, start * 20).Select(i => $"block {i}"), Read(journal));
            for (int i = start * 20; i < (start + 1) * 20; i++)
            {
                journal.Append(Bytes($"block {i}"), (ulong)i);
            }

            Assert.Equal(Enumerable.Range(start * 20, 20).Select(i => new DiskResult((ulong)i, true)), Results(journal, ended, 20));
            Assert.InRange(Directory.EnumerateFiles(Folder, "journal-*").Sum(f => new FileInfo(f).Length) - journal.Bytes, 0, 56);
        }
    }

    [Fact]
    public void An_end_that_is_cut_off_anywhere_leaves_the_whole_blocks_before_it()
    {
        Write("first", "second", "third");
        string file = Directory.EnumerateFiles(Folder, "journal-*").Single();
        byte[] whole = File.ReadAllBytes(file);
        int[] ends = [56, 56 + 24 + 8, 56 + (2 * (24 + 8)), whole.Length];
        for (int length = 0; length <= whole.Length; length++)
        {
            File.WriteAllBytes(file, whole.AsSpan(0, length));
            using (JournalFolder journal = Open(out _))
            {
                Assert.Equal(Enumerable.Range(1, 3).Count(i => ends[i] <= length), Read(journal).Count);
            }
        }
    }

    [Fact]
    public void Damage_before_the_end_is_named_with_its_file_and_place_and_nothing_is_passed_over()
    {
        Write("first", "second", "third");
        string file = Directory.EnumerateFiles(Folder, "journal-*").Single();
        byte[] whole = File.ReadAllBytes(file);
        for (int at = 0; at < 56 + (2 * (24 + 8)); at++)
        {
            byte[] flipped = [.. whole];
            flipped[at] ^= 0x10;
            File.WriteAllBytes(file, flipped);
            string said = Assert.Throws<IOException>(() => Open(out _)).Message;
            Assert.Contains(file, said);
            Assert.Contains(at < 56 ? "byte 0" : at < 56 + 32 ? "byte 56" : "byte 88", said);
        }

        // An older file's end is no end.
        File.WriteAllBytes(file, whole);
        Write("fourth");
        File.WriteAllBytes(file, whole.AsSpan(0, whole.Length - 1));
        Assert.Contains("damaged", Assert.Throws<IOException>(() => Open(out _)).Message);
    }

    [Fact]
    public void A_file_that_is_missing_and_files_of_another_server_or_cluster_are_refused()
    {
        Write("first");
        Write("second");
        Write("third");
        string[] files = [.. Directory.EnumerateFiles(Folder, "journal-*").Order()];
        File.Move(files[1], _scratch["kept"]);
        Assert.Contains("missing", Assert.Throws<IOException>(() => Open(out _)).Message);
        File.Move(_scratch["kept"], files[1]);
        Assert.Contains("not of cluster 8", Assert.Throws<IOException>(() => JournalFolder.Open(Folder, 8, 5, () => { })).Message);
        using (JournalFolder other = JournalFolder.Open(_scratch["other"], 7, 6, () => { }))
        {
            Assert.Contains("in use", Assert.Throws<IOException>(() => JournalFolder.Open(_scratch["other"], 7, 6, () => { })).Message);
        }

        File.WriteAllText(Path.Combine(_scratch["other"], "owner"), "journal 5 of node 6 of cluster 7\n");
        File.Copy(files[0], Path.Combine(_scratch["other"], Path.GetFileName(files[0])));
        Assert.Contains("files were mixed", Assert.Throws<IOException>(() => JournalFolder.Open(_scratch["other"], 7, 6, () => { })).Message);
        File.Delete(Path.Combine(Folder, "owner"));
        Assert.Contains("says whose", Assert.Throws<IOException>(() => Open(out _)).Message);
    }

    [Fact]
    public void Parts_that_are_not_needed_go_and_what_follows_them_stays()
    {
        using (JournalFolder journal = Open(out SemaphoreSlim ended))
        {
            journal.Append(Bytes("old"), 1);
            ulong part = journal.BeginPart();
            journal.Append(Bytes("new"), 2);
            Results(journal, ended, 2);
            journal.DropPartsBefore(part);
            journal.Append(Bytes("newest"), 3);
            Results(journal, ended, 1);
        }

        using JournalFolder again = Open(out _);
        Assert.Equal(["new", "newest"], Read(again));
    }

    [Fact]
    public void After_a_failure_every_append_fails()
    {
        using JournalFolder journal = Open(out SemaphoreSlim ended);
        journal.Append(Bytes("stands"), 1);
        Assert.Equal([new DiskResult(1, true)], Results(journal, ended, 1));
        Directory.Delete(Folder, recursive: true);
        journal.BeginPart();
        journal.Append(Bytes("nowhere to go"), 2);
        Assert.Equal([new DiskResult(2, false)], Results(journal, ended, 1));
        Directory.CreateDirectory(Folder);
        journal.Append(Bytes("the folder is back"), 3);
        Assert.Equal([new DiskResult(3, false)], Results(journal, ended, 1));
    }

    private void Write(params string[] blocks)
    {
        using JournalFolder journal = Open(out SemaphoreSlim ended);
        for (int i = 0; i < blocks.Length; i++)
        {
            journal.Append(Bytes(blocks[i]), (ulong)i);
        }

        Results(journal, ended, blocks.Length);
    }

    private JournalFolder Open(out SemaphoreSlim ended)
    {
        var semaphore = ended = new SemaphoreSlim(0);
        return JournalFolder.Open(Folder, 7, 5, () => semaphore.Release());
    }

    private static List<string> Read(JournalFolder journal)
    {
        List<string> blocks = [];
        while (journal.TryRead(out ReadOnlyMemory<byte> block))
        {
            blocks.Add(Encoding.UTF8.GetString(block.Span).Trim());
        }

        return blocks;
    }

    // Blocks have a multiple of 8 bytes, as groups of records have.
    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text.PadRight((text.Length + 7) & ~7));

    private static List<DiskResult> Results(JournalFolder journal, SemaphoreSlim ended, int count)
    {
        List<DiskResult> results = [];
        while (results.Count < count)
        {
            if (journal.TryTakeResult(out DiskResult result))
            {
                results.Add(result);
            }
            else
            {
                Assert.True(ended.Wait(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken), "the journal goes on");
            }
        }

        return results;
    }
}
