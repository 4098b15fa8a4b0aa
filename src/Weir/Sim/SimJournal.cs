using Weir.World;

namespace Weir.Sim;

/// <summary>
/// The journal of one simulated machine: a flush takes a drawn time, and of what a crash cuts off a drawn number of blocks stands, in order. It
/// outlives the machine's process; <see cref="Lose"/> is the loss of the disk itself.
/// </summary>
internal sealed class SimJournal(SimScheduler scheduler, Rng rng) : IJournal
{
    private readonly List<(ulong Part, byte[] Block)> _blocks = [];
    private readonly Queue<(ulong Part, byte[] Block, ulong Ticket)> _appends = new();
    private readonly Queue<DiskResult> _results = new();
    private ulong _life;
    private ulong _part = 1;
    private int _read;
    private int _past;
    private long _waiting;
    private bool _hasFailed;

    /// <summary>The longest time that a flush takes, in microseconds.</summary>
    public long MaxFlushUs { get; set; } = 2_000;

    /// <summary>Flushes that have begun or wait and have not ended: a crash now cuts them off.</summary>
    public int Pending => _appends.Count;

    /// <summary>The shortest, in microseconds.</summary>
    public long MinFlushUs { get; set; }

    /// <summary>Flushes fail from now on: what they were to write may stand or not.</summary>
    public bool Fails { get; set; }

    /// <summary>Called when a flush has ended: whoever lives on the machine looks for results.</summary>
    public Action? Ended { get; set; }

    /// <inheritdoc/>
    public ulong Number { get; private set; } = 1;

    /// <inheritdoc/>
    public bool HasPast { get; private set; }

    /// <inheritdoc/>
    public long Bytes => _blocks.Sum(b => (long)b.Block.Length) + _waiting;

    /// <inheritdoc/>
    public bool TryRead(out ReadOnlyMemory<byte> block)
    {
        block = _read < _past ? _blocks[_read].Block : default;
        return _read++ < _past;
    }

    /// <inheritdoc/>
    public void Append(ReadOnlyMemory<byte> block, ulong ticket)
    {
        _appends.Enqueue((_part, block.ToArray(), ticket));
        _waiting += block.Length;
        if (_appends.Count == 1)
        {
            Begin();
        }
    }

    /// <inheritdoc/>
    public bool TryTakeResult(out DiskResult result) => _results.TryDequeue(out result);

    /// <inheritdoc/>
    public ulong BeginPart() => ++_part;

    /// <inheritdoc/>
    public void DropPartsBefore(ulong part) => _blocks.RemoveAll(b => b.Part < part);

    /// <summary>The process dies: of the blocks under way a drawn number stands, in order; nobody hears of them. What stands is the past of the next.</summary>
    public void Crash()
    {
        _life++;
        int kept = rng.Below(_appends.Count + 1);
        while (_appends.TryDequeue(out (ulong Part, byte[] Block, ulong Ticket) append) && kept-- > 0)
        {
            _blocks.Add((append.Part, append.Block));
        }

        _appends.Clear();
        _results.Clear();
        (_waiting, _read, _past, _hasFailed, Fails, HasPast) = (0, 0, _blocks.Count, false, false, true);
        _part++;
    }

    /// <summary>The disk is gone with all that was on it.</summary>
    public void Lose()
    {
        Crash();
        _blocks.Clear();
        (_past, HasPast, Number) = (0, false, Number + 1);
    }

    // One at a time, in order.
    private void Begin()
    {
        ulong life = _life;
        scheduler.At(scheduler.Now.AfterUs(1 + MinFlushUs + rng.Below(MaxFlushUs - MinFlushUs)), () =>
        {
            if (life == _life)
            {
                Finish();
            }
        });
    }

    private void Finish()
    {
        (ulong part, byte[] block, ulong ticket) = _appends.Dequeue();
        _hasFailed |= Fails;
        _waiting -= block.Length;
        if (!_hasFailed || rng.Chance(1, 2))
        {
            _blocks.Add((part, block));
        }

        _results.Enqueue(new DiskResult(ticket, !_hasFailed));
        if (_appends.Count > 0)
        {
            Begin();
        }

        Ended?.Invoke();
    }
}
