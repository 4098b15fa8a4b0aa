namespace Weir.Cli.Reports;

/// <summary>What <c>weir bench checkpoint --report</c> writes. The names are an interface: scripts read them.</summary>
/// <param name="Bytes">Bytes of the checkpoint's files.</param>
/// <param name="DiskWriteBytesPerSecond">The disk's own rate: one file written from its beginning to its end, the flush included; the mean of before and after.</param>
/// <param name="DiskReadBytesPerSecond">The same file read; the mean of before and after.</param>
/// <param name="MemoryBytesPerSecond">How fast the machine hands out memory that nobody had before, as much as the loaded rows take; tried before they are loaded.</param>
/// <param name="SaveBytesPerSecond">The checkpoint's bytes by the time until it was written, every flush included.</param>
/// <param name="RestoreBytesPerSecond">Its bytes by the time until the new cluster serves it: all of it is read and verified first, and read again then.</param>
internal sealed record CheckpointReport(
    long Bytes, double DiskWriteBytesPerSecond, double DiskReadBytesPerSecond, double MemoryBytesPerSecond, double SaveBytesPerSecond, double RestoreBytesPerSecond)
{
    /// <summary>What saving reaches of the disk's rate.</summary>
    public double SaveShare => SaveBytesPerSecond / DiskWriteBytesPerSecond;

    /// <summary>What restoring reaches of it.</summary>
    public double RestoreShare => RestoreBytesPerSecond / DiskReadBytesPerSecond;
}
