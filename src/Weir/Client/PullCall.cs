using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>One call to pull: its keys in Mix order, the caller's buffer, and what is still missing. Guarded by the client's gate.</summary>
internal sealed class PullCall(PullSender sender, WeirTable table, KeySlices slices, Memory<float> values, PushSession? worker, int delayBound, Instant deadline)
{
    private bool _sliced = true;

    public WeirTable Table { get; } = table;

    public KeySlices Slices { get; } = slices;

    public Memory<float> Values { get; } = values;

    /// <summary>The worker's iteration when the call was made: the t of the bound.</summary>
    public long Iteration { get; } = worker?.Iteration ?? 0;

    public uint Group { get; } = worker?.Group ?? 0;

    public int DelayBound { get; } = delayBound;

    public Instant Deadline { get; } = deadline;

    /// <summary>The push half of a PushPull: what is asked again must read behind it.</summary>
    public PushCall? Push { get; set; }

    public int RowsLeft { get; set; } = slices.Rows;

    public int Found { get; set; }

    public long MinimumClock { get; set; } = long.MaxValue;

    public bool Mixed { get; set; }

    public bool IsOver => Done.Task.IsCompleted;

    public TaskCompletionSource<PullResult> Done { get; } = new(sender.Completions);

    public PullRequest ItemsOfParts(ref ByteWriter writer, List<(int Segment, int From, int To)> parts, NodeLink node)
    {
        var request = new PullRequest(sender.NextId(), node, this, parts);
        for (int i = 0; i < parts.Count; i++)
        {
            PullItem item = Head(parts[i].Segment, parts[i].To - parts[i].From);
            item.KeyEncoding = KeyEncoding.OfPart;
            item.KeyBytes = i;
            item.Write(ref writer);
        }

        sender.Add(request);
        return request;
    }

    public PullItem Head(int segment, int rows) => new()
    {
        Table = Table.Id,
        Segment = (uint)segment,
        Iteration = Iteration,
        DelayBound = DelayBound,
        Group = Group,
        Rows = rows,
        KeyBytes = rows * sizeof(ulong),
    };

    public void Fail(Exception failure)
    {
        Done.TrySetException(failure);
        Release();
    }

    public void Finish()
    {
        Done.TrySetResult(new PullResult(Found, MinimumClock == long.MaxValue ? -1 : MinimumClock));
        Release();
    }

    /// <summary>Copies one piece of an answer to where the caller wants it; absent rows read as the table's initial value.</summary>
    public void Take(int firstRow, in PullReplyItem piece, ReadOnlySpan<byte> foundBits, ReadOnlySpan<byte> valueBytes)
    {
        int width = Table.Width;
        ReadOnlySpan<float> packed = MemoryMarshal.Cast<byte, float>(valueBytes);
        Span<float> into = Values.Span;
        int at = 0;
        for (int row = 0; row < piece.Rows; row++)
        {
            bool found = (foundBits[row >> 3] & (1 << (row & 7))) != 0;
            foreach (int position in Slices.Positions(firstRow + row))
            {
                Span<float> target = into.Slice(position * width, width);
                if (found)
                {
                    packed.Slice(at, width).CopyTo(target);
                }
                else
                {
                    target.Fill(Table.InitialValue);
                }
            }

            at += found ? width : 0;
        }

        Found += piece.Found;
        RowsLeft -= piece.Rows;
        if (piece.MinimumClock >= 0)
        {
            MinimumClock = Math.Min(MinimumClock, piece.MinimumClock);
        }

        // A segment that has closed the asker's own iteration: after a takeover only (R21).
        Mixed |= Group != 0 && Iteration > 0 && piece.ClosedIteration >= Iteration;
    }

    private void Release()
    {
        if (_sliced)
        {
            _sliced = false;
            Slices.Dispose();
        }
    }
}

/// <summary>One pull frame: its items and how far each is answered.</summary>
internal sealed class PullRequest(ulong id, NodeLink node, PullCall call, List<(int Segment, int From, int To)> items)
{
    public ulong Id { get; } = id;

    public NodeLink Node { get; } = node;

    public PullCall Call { get; } = call;

    public List<(int Segment, int From, int To)> Items { get; } = items;

    /// <summary>Rows of each item that have come.</summary>
    public int[] Taken { get; } = new int[items.Count];

    /// <summary>Items given to another request after a refusal.</summary>
    public bool[] Moved { get; } = new bool[items.Count];

    public Instant RetryAt { get; set; } = Instant.Never;

    public Instant SentAt { get; private set; }

    public bool IsAnswered => Enumerable.Range(0, Items.Count).All(i => Moved[i] || Taken[i] == Items[i].To - Items[i].From);

    public bool IsUntouched => Array.TrueForAll(Taken, t => t == 0) && Array.TrueForAll(Moved, m => !m);

    public void SentNow(Instant now) => SentAt = now;
}
