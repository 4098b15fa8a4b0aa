using System.IO.Pipes;
using Microsoft.Win32.SafeHandles;
using Weir.Host.Disk;
using Weir.Tests.Learn;
using Weir.Tests.Repo;

namespace Weir.Tests.Host;

/// <summary>A flush that failed is never taken for one that did not (promise G13).</summary>
public class DurableFilesTests
{
    /// <summary>
    /// Found by the chaos suite (a journal's flush fails): the runtime passes over every error of fsync, so that a journal went on acknowledging what was on no disk.
    /// </summary>
    [Fact]
    public void A_flush_that_the_system_refuses_is_an_error()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "what cannot be flushed here is a pipe, which Windows flushes");
        using var scratch = new ScratchFolder();
        using (SafeFileHandle file = File.OpenHandle(scratch["file"], FileMode.Create, FileAccess.Write))
        {
            RandomAccess.Write(file, new byte[10], 0);
            DurableFiles.Flush(file);
        }

        using var pipe = new AnonymousPipeServerStream(PipeDirection.Out);
        using var unflushable = new SafeFileHandle(pipe.SafePipeHandle.DangerousGetHandle(), ownsHandle: false);
        Assert.Contains("cannot be flushed", Assert.Throws<IOException>(() => DurableFiles.Flush(unflushable)).Message);
    }

    [Fact]
    public void Nothing_in_the_host_is_flushed_in_another_way() =>
        Assert.All(
            Repository.Sources("src/Weir.Host").Where(source => !source.File.EndsWith("/DurableFiles.cs", StringComparison.Ordinal)),
            source => Assert.DoesNotMatch(@"\bFlushToDisk\b|\bFlush\((flushToDisk|true)", source.Code));
}
