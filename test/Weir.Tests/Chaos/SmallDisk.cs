using System.Globalization;

namespace Weir.Tests.Chaos;

/// <summary>
/// A file system of its own in a file, on a loop device: it may be full or slow without harm to anybody else. Needs root, <c>mount</c> and
/// <c>mkfs.ext4</c>. One caller at a time.
/// </summary>
internal sealed class SmallDisk : IDisposable
{
    private const long Bytes = 256L << 20;
    private const int BlockBytes = 4096;

    // A flush is two or three writes: it takes a few hundred milliseconds.
    private const int WritesPerSecond = 8;
    private const string Throttles = "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device";

    private readonly string _folder;
    private readonly string _image;
    private readonly string _device;
    private int _ballast;

    /// <summary>Makes the disk and mounts it on a folder, which is made as well.</summary>
    /// <exception cref="InvalidOperationException">It cannot be made here; the message says why.</exception>
    public SmallDisk(string folder)
    {
        (_folder, _image) = (folder, folder + ".image");
        Directory.CreateDirectory(folder);
        using (FileStream image = File.Create(_image))
        {
            image.SetLength(Bytes);
        }

        ChaosNetwork.Run("mkfs.ext4", "-q", "-F", "-m", "0", _image);
        ChaosNetwork.Run("mount", "-o", "loop", _image, folder);
        string device = ChaosNetwork.Run("findmnt", "--noheadings", "--output", "SOURCE", folder).Trim();
        _device = File.ReadAllText($"/sys/block/{Path.GetFileName(device)}/dev").Trim();
    }

    /// <summary>Whether such disks can be slowed down here.</summary>
    public static bool CanThrottle => File.Exists(Throttles);

    /// <summary>Whether such disks can be made here.</summary>
    /// <param name="why">Why not, for people.</param>
    public static bool CanMake(out string why)
    {
        string folder = Directory.CreateTempSubdirectory("weir-disk-").FullName;
        try
        {
            new SmallDisk(Path.Combine(folder, "disk")).Dispose();
            why = "";
            return true;
        }
        catch (Exception refused) when (refused is InvalidOperationException or IOException)
        {
            why = refused.Message;
            return false;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Takes all the room there is but a little.</summary>
    /// <param name="roomBytes">What is left, more or less.</param>
    public void FillBut(long roomBytes)
    {
        string spared = Path.Combine(_folder, "ballast-spared");
        ChaosNetwork.Run("fallocate", "--length", Math.Max(BlockBytes, roomBytes).ToString(CultureInfo.InvariantCulture), spared);
        Fill();
        File.Delete(spared);
    }

    /// <summary>Takes all the room there is. What is freed afterwards is taken by the next call.</summary>
    public void Fill()
    {
        for (long bytes = Bytes; bytes >= BlockBytes;)
        {
            string ballast = Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"ballast-{_ballast++}"));
            if (!ChaosNetwork.TryRun("fallocate", "--length", bytes.ToString(CultureInfo.InvariantCulture), ballast))
            {
                bytes /= 2;
            }
        }
    }

    /// <summary>Gives the room back.</summary>
    public void Clear()
    {
        foreach (string ballast in Directory.EnumerateFiles(_folder, "ballast-*").ToArray())
        {
            File.Delete(ballast);
        }
    }

    /// <summary>Takes all that is on it away.</summary>
    public void Empty()
    {
        foreach (DirectoryInfo folder in new DirectoryInfo(_folder).EnumerateDirectories().ToArray())
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Lets few writes through from now on.</summary>
    public void Throttle() => File.WriteAllText(Throttles, string.Create(CultureInfo.InvariantCulture, $"{_device} {WritesPerSecond}"));

    /// <summary>Lets all writes through again.</summary>
    public void Release() => File.WriteAllText(Throttles, $"{_device} 0");

    public void Dispose()
    {
        if (CanThrottle)
        {
            Release();
        }

        ChaosNetwork.TryRun("umount", _folder);
        File.Delete(_image);
    }
}
