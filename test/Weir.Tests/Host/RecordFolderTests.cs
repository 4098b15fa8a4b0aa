using System.Text;
using Weir.Host.Disk;
using Weir.Register;
using Weir.Tests.Learn;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

public class RecordFolderTests
{
    [Fact]
    public void A_record_is_there_after_a_restart_and_each_write_is_answered_in_order()
    {
        using var scratch = new ScratchFolder();
        string folder = scratch["acceptor"];
        using (RecordFolder disk = Open(folder, isFirstStart: true, out SemaphoreSlim ended))
        {
            for (ulong ticket = 1; ticket <= 50; ticket++)
            {
                disk.Write($"record-{ticket % 2}", Encoding.UTF8.GetBytes($"content {ticket}"), ticket);
            }

            Assert.Equal(Enumerable.Range(1, 50).Select(t => new DiskResult((ulong)t, true)), Results(disk, ended, 50));
        }

        using RecordFolder again = Open(folder, isFirstStart: false, out _);
        Assert.Equal("content 49", Encoding.UTF8.GetString(again.Read("record-1")!));
        Assert.Equal("content 50", Encoding.UTF8.GetString(again.Read("record-0")!));
        Assert.Null(again.Read("record-2"));
    }

    [Fact]
    public void A_folder_belongs_to_one_acceptor_of_one_cluster_and_to_one_process()
    {
        using var scratch = new ScratchFolder();
        string folder = scratch["acceptor"];
        Assert.Contains("there is no folder", Assert.Throws<IOException>(() => Open(folder, false, out _)).Message);
        using (Open(folder, isFirstStart: true, out _))
        {
            Assert.Contains("in use", Assert.Throws<IOException>(() => Open(folder, false, out _)).Message);
        }

        Assert.Contains("started before", Assert.Throws<IOException>(() => Open(folder, true, out _)).Message);
        Assert.Contains(
            "belongs to acceptor 1 of cluster 7, not to acceptor 2 of cluster 7", Assert.Throws<IOException>(() => RecordFolder.Open(folder, 7, 2, 3, AcceptorStart.Again, () => { })).Message);
        Assert.Contains("not to acceptor 1 of cluster 8", Assert.Throws<IOException>(() => RecordFolder.Open(folder, 8, 1, 3, AcceptorStart.Again, () => { })).Message);
        Open(folder, isFirstStart: false, out _).Dispose();
    }

    [Fact]
    public void After_a_write_that_failed_every_other_fails_too()
    {
        using var scratch = new ScratchFolder();
        string folder = scratch["acceptor"];
        using RecordFolder disk = Open(folder, isFirstStart: true, out SemaphoreSlim ended);
        Directory.CreateDirectory(Path.Combine(folder, "record.new"));
        disk.Write("record", new byte[] { 1 }, 1);
        Assert.Equal([new DiskResult(1, false)], Results(disk, ended, 1));
        Directory.Delete(Path.Combine(folder, "record.new"));
        disk.Write("record", new byte[] { 1 }, 2);
        Assert.Equal([new DiskResult(2, false)], Results(disk, ended, 1));
    }

    /// <summary>R2: the folder is there and its records are not: nobody knows what was promised.</summary>
    [Fact]
    public void An_acceptor_whose_records_are_gone_is_silent()
    {
        using var scratch = new ScratchFolder();
        string folder = scratch["acceptor"];
        using (RecordFolder disk = Open(folder, isFirstStart: true, out SemaphoreSlim ended))
        {
            var acceptor = new Acceptor(disk, 7, 1, isFirstStart: true);
            List<PaxosReplyBody> replies = [];
            acceptor.Receive(new PaxosBody(1, new Ballot(3, 4), default, HasValue: false), isAccept: false, replies.Add);
            while (replies.Count == 0)
            {
                Assert.True(ended.Wait(10_000));
                acceptor.Advance();
            }
        }

        using (RecordFolder disk = Open(folder, isFirstStart: false, out _))
        {
            Assert.False(new Acceptor(disk, 7, 1, isFirstStart: false).IsSilent);
        }

        File.Delete(Path.Combine(folder, "register-map"));
        using RecordFolder emptied = Open(folder, isFirstStart: false, out _);
        Assert.True(new Acceptor(emptied, 7, 1, isFirstStart: false).IsSilent);
    }

    private static RecordFolder Open(string folder, bool isFirstStart, out SemaphoreSlim ended)
    {
        var signal = new SemaphoreSlim(0);
        ended = signal;
        return RecordFolder.Open(folder, 7, 1, 3, isFirstStart ? AcceptorStart.First : AcceptorStart.Again, () => signal.Release());
    }

    private static List<DiskResult> Results(RecordFolder disk, SemaphoreSlim ended, int count)
    {
        List<DiskResult> results = [];
        while (results.Count < count)
        {
            Assert.True(ended.Wait(10_000), "a write ends");
            while (disk.TryTakeResult(out DiskResult result))
            {
                results.Add(result);
            }
        }

        return results;
    }
}
