using Weir.World;

namespace Weir.Sim;

/// <summary>
/// The disk of one simulated machine: a write takes a drawn time, and one that a crash cuts off may or may not have taken place. It outlives the
/// machine's process; <see cref="Lose"/> is the loss of the disk itself.
/// </summary>
internal sealed class SimDisk(SimScheduler scheduler, Rng rng) : IDisk
{
    private readonly Dictionary<string, byte[]> _records = [];
    private readonly Queue<(string Record, byte[] Content, ulong Ticket)> _writes = new();
    private readonly Queue<DiskResult> _results = new();
    private ulong _life;

    /// <summary>The longest time that a write takes, in microseconds.</summary>
    public long MaxWriteUs { get; set; } = 2_000;

    /// <summary>Writes that have begun and not ended: a crash now cuts them off.</summary>
    public int Pending => _writes.Count;

    /// <summary>The next write that ends fails: nobody knows what is on the disk then.</summary>
    public bool FailsNext { get; set; }

    /// <summary>Called when a write has ended: whoever lives on the machine looks for results.</summary>
    public Action? Ended { get; set; }

    public byte[]? Read(string record) => _records.GetValueOrDefault(record);

    public void Write(string record, ReadOnlyMemory<byte> content, ulong ticket)
    {
        _writes.Enqueue((record, content.ToArray(), ticket));
        if (_writes.Count == 1)
        {
            Begin();
        }
    }

    public bool TryTakeResult(out DiskResult result) => _results.TryDequeue(out result);

    /// <summary>The process dies: of the writes under way a drawn number took place, in order; nobody hears of them.</summary>
    public void Crash()
    {
        _life++;
        int kept = rng.Below(_writes.Count + 1);
        while (_writes.TryDequeue(out (string Record, byte[] Content, ulong Ticket) write) && kept-- > 0)
        {
            _records[write.Record] = write.Content;
        }

        _writes.Clear();
        _results.Clear();
        FailsNext = false;
    }

    /// <summary>The disk is gone with all that was on it.</summary>
    public void Lose()
    {
        Crash();
        _records.Clear();
    }

    // One at a time, in order.
    private void Begin()
    {
        ulong life = _life;
        scheduler.At(scheduler.Now.AfterUs(1 + rng.Below(MaxWriteUs)), () =>
        {
            if (life == _life)
            {
                Finish();
            }
        });
    }

    private void Finish()
    {
        (string record, byte[] content, ulong ticket) = _writes.Dequeue();
        bool isFlushed = !FailsNext;
        FailsNext = false;
        if (isFlushed || rng.Chance(1, 2))
        {
            _records[record] = content;
        }

        _results.Enqueue(new DiskResult(ticket, isFlushed));
        if (_writes.Count > 0)
        {
            Begin();
        }

        Ended?.Invoke();
    }
}
