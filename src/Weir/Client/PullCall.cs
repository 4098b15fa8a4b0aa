using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Client;

/// <summary>One call to pull: its keys in Mix order, the caller's buffer, and what is still missing. Guarded by the client's gate.</summary>
internal sealed class PullCall(PullSender sender, WeirTable table, KeySlices slices, Memory<float> values, PushSession? worker, int delayBound, Instant deadline)
    : TaskCompletionSource<PullResult>(sender.Completions)
{
    private CancellationTokenRegistration _cancellation;
    private bool _sliced = true;
    private List<(int FirstRow, double Value)>? _reduced;

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

    public long MinimumClock { get; set; } = -1;

    public bool Mixed { get; set; }

    /// <summary>What is wanted in place of the rows; of the kind None where they are wanted themselves.</summary>
    public RowReduction Reduction { get; init; }

    /// <summary>Bytes of an item's head on the wire.</summary>
    public int HeadBytes => PullItem.Size + (Reduction.Kind == ReductionKind.None ? 0 : RowReduction.Size);

    public bool IsOver => Task.IsCompleted;

    /// <summary>Requests that wait for the call's window, in order. A window of its own: no call waits for another's rows (design R27).</summary>
    public Queue<PullRequest> Unasked { get; } = sender.RentQueue();

    /// <summary>Bytes asked for and not yet there.</summary>
    public long BytesAsked { get; set; }

    /// <summary>Bytes that a row takes, of keys on its way there or of values on its way back, whichever are more.</summary>
    public int RowBytes { get; } = Math.Max(sizeof(ulong), table.Width * sizeof(float));

    public PullRequest ItemsOfParts(ref ByteWriter writer, List<PushPart> parts, NodeLink node)
    {
        PullRequest request = sender.Rent(node, this);
        for (int i = 0; i < parts.Count; i++)
        {
            PushPart part = parts[i];
            PullItem item = Head((int)part.Stream.Segment, part.To - part.From);
            item.KeyEncoding = KeyEncoding.OfPart;
            item.KeyBytes = i;
            item.Write(ref writer);
            request.Add((int)part.Stream.Segment, part.From, part.To);
        }

        sender.Sent(request);
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
        Committed = Table.IsCommitted,
        Takes = sender.Takes(Table),
        Reduction = Reduction,
    };

    /// <summary>From now on the token ends the call, with what <see cref="PushCall.EndBy"/> says.</summary>
    public void EndBy(CancellationToken cancellation)
    {
        if (cancellation.CanBeCanceled && !IsOver)
        {
            _cancellation = cancellation.UnsafeRegister(static (call, token) => ((PullCall)call!).EndNow(token), this);
        }
    }

    /// <summary>The caller waits no longer.</summary>
    public void Cancel(CancellationToken cancellation)
    {
        TrySetCanceled(cancellation);
        Release();
    }

    public void Fail(Exception failure)
    {
        End(failure);
        Release();
    }

    /// <summary>Ends the task alone: after a defect, what the call holds is not to be touched.</summary>
    public void End(Exception failure)
    {
        _cancellation.Unregister();
        TrySetException(failure);
    }

    /// <summary>Fails it where it is not over.</summary>
    public void TryFail(Exception failure)
    {
        if (!IsOver)
        {
            Fail(failure);
        }
    }

    public void Finish()
    {
        _cancellation.Unregister();
        TrySetResult(new PullResult(Found, MinimumClock));
        Release();
    }

    /// <summary>Copies one piece of an answer to where the caller wants it; absent rows read as the table's initial value.</summary>
    public void Take(int firstRow, in PullReplyItem piece, ReadOnlySpan<byte> foundBits, ReadOnlySpan<float> packed)
    {
        if (Reduction.Kind != ReductionKind.None)
        {
            (_reduced ??= []).Add((firstRow, MemoryMarshal.Read<double>(MemoryMarshal.AsBytes(packed))));
        }
        else if (piece.Found == piece.Rows)
        {
            Slices.ScatterRows(packed, Table.Width, firstRow, firstRow + piece.Rows, Values.Span);
        }
        else
        {
            Scatter(firstRow, piece.Rows, foundBits, packed);
        }

        Found += piece.Found;
        RowsLeft -= piece.Rows;
        if (piece.MinimumClock >= 0)
        {
            MinimumClock = MinimumClock < 0 ? piece.MinimumClock : Math.Min(MinimumClock, piece.MinimumClock);
        }

        // A segment that has closed the asker's own iteration: after a takeover only (R21).
        Mixed |= Group != 0 && Iteration > 0 && piece.ClosedIteration >= Iteration;
    }

    private void Scatter(int firstRow, int rows, ReadOnlySpan<byte> foundBits, ReadOnlySpan<float> packed)
    {
        int width = Table.Width;
        Span<float> into = Values.Span;
        int at = 0;
        for (int row = 0; row < rows; row++)
        {
            bool found = (foundBits[row >> 3] & (1 << (row & 7))) != 0;
            foreach (int position in Slices.PositionsOf(firstRow + row))
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
    }

    /// <summary>The answers over all of its rows, joined. In the rows' order: so it does not depend on who answered first.</summary>
    public double Reduced()
    {
        double joined = Reduction.Nothing;
        foreach ((_, double value) in (_reduced ?? []).OrderBy(part => part.FirstRow))
        {
            joined = Reduction.Join(joined, value);
        }

        return joined;
    }

    private void EndNow(CancellationToken cancellation)
    {
        lock (sender.Gate)
        {
            if (!IsOver)
            {
                Cancel(cancellation);
            }
        }
    }

    private void Release()
    {
        if (_sliced)
        {
            _sliced = false;
            Slices.Dispose();
            sender.Return(Unasked);
        }
    }
}
