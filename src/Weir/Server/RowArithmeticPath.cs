using System.Numerics;
using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Placement;
using Weir.Store;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// Arithmetic with whole rows at the server that has them (papers PS-1, PS-9): equal keys of all tables lie in one segment, so one server has both operands. A change
/// comes out as rows to be assigned: the log has those, and a replica or a journal needs nothing of the table that they were computed from. Not thread-safe.
/// </summary>
internal sealed class RowArithmeticPath(NodeState node)
{
    /// <summary>Floats of the rows of one part or item: those of the largest frame. All parts of a frame have no more together, and items are answered so far in one turn (R25).</summary>
    public const int MostFloats = FrameHeader.MaxBodyBytes / sizeof(float);

    private float[] _own = [];
    private float[] _source = [];
    private float[] _before = [];
    private ulong[] _keys = [];

    /// <summary>What the rows of the keys become. Rows that stay what they are, absent ones among them, are left out.</summary>
    /// <returns>Acked, or why it cannot be computed: Failed counts as done.</returns>
    public Status Compute(
        Segment segment, TableSegment rows, scoped in PartHeader part, scoped ReadOnlySpan<byte> bytes, ReadOnlySpan<ulong> keys, out ReadOnlySpan<ulong> changed, out ReadOnlySpan<float> values, out string text)
    {
        changed = default;
        values = default;
        int width = rows.Table.Width;
        if (part.ValueEncoding != ValueEncoding.Raw || !RowArithmetic.TryRead(bytes, width, out RowArithmetic arithmetic) || (long)keys.Length * width > MostFloats)
        {
            text = $"a part of table {rows.Table.Name} does arithmetic with columns that its rows do not have, or with more than {MostFloats} floats";
            return Status.Malformed;
        }

        if (RefusesArithmetic(rows.Table, out text))
        {
            return Status.Failed;
        }

        Status status = Source(rows.Table, arithmetic.ReadsSource ? arithmetic.Source : rows.Table.Id, out MapTable source, out text);
        if (status != Status.Acked)
        {
            return status;
        }

        int floats = keys.Length * width;
        Span<float> own = Room(ref _own, floats), other = Room(ref _source, floats);
        rows.Rows.Read(keys, own, rows.Table.InitialValue);
        if (arithmetic.ReadsSource)
        {
            node.TableSegment(segment, source).Rows.Read(keys, other, source.InitialValue);
        }

        if (_keys.Length < keys.Length)
        {
            _keys = new ulong[BitOperations.RoundUpToPowerOf2((uint)keys.Length)];
        }

        int kept = 0;
        Span<float> before = Room(ref _before, arithmetic.Columns);
        for (int row = 0; row < keys.Length; row++)
        {
            Span<float> y = own.Slice((row * width) + arithmetic.FirstColumn, arithmetic.Columns);
            y.CopyTo(before);
            Change(arithmetic, y, other.Slice((row * width) + arithmetic.FirstColumn, arithmetic.Columns));
            if (!ValueEncodings.AllFinite(y))
            {
                text = $"a result of arithmetic with rows of table {rows.Table.Name} is not a finite number; nothing of this part was applied";
                return Status.Failed;
            }

            // Bit for bit: -0 is another value than 0.
            if (!MemoryMarshal.Cast<float, uint>(y).SequenceEqual(MemoryMarshal.Cast<float, uint>(before)))
            {
                own.Slice(row * width, width).CopyTo(own[(kept * width)..]);
                _keys[kept++] = keys[row];
            }
        }

        changed = _keys.AsSpan(0, kept);
        values = own[..(kept * width)];
        return Status.Acked;
    }

    /// <summary>One number over the rows of the keys, absent ones among them.</summary>
    public Status Reduce(Segment segment, TableSegment rows, in RowReduction reduction, ReadOnlySpan<ulong> keys, out double value, out string text)
    {
        int width = rows.Table.Width;
        value = reduction.Nothing;
        if (!RowReduction.AreColumns(reduction.FirstColumn, reduction.Columns, width) || (long)keys.Length * width > MostFloats)
        {
            text = $"a reduction of table {rows.Table.Name} names columns that its rows do not have, or more than {MostFloats} floats";
            return Status.Malformed;
        }

        if (RefusesArithmetic(rows.Table, out text))
        {
            return Status.Failed;
        }

        bool isDot = reduction.Kind == ReductionKind.Dot;
        Status status = Source(rows.Table, isDot ? reduction.Other : rows.Table.Id, out MapTable other, out text);
        if (status != Status.Acked)
        {
            return status;
        }

        Span<float> own = Room(ref _own, keys.Length * width), second = Room(ref _source, keys.Length * width);
        rows.Rows.Read(keys, own, rows.Table.InitialValue);
        if (isDot)
        {
            node.TableSegment(segment, other).Rows.Read(keys, second, other.InitialValue);
        }

        for (int row = 0; row < keys.Length; row++)
        {
            int at = (row * width) + reduction.FirstColumn;
            ReadOnlySpan<float> x = own.Slice(at, reduction.Columns);
            value = reduction.Join(value, reduction.Kind switch
            {
                ReductionKind.Sum => RowKernels.Sum(x),
                ReductionKind.SumOfMagnitudes => RowKernels.SumOfMagnitudes(x),
                ReductionKind.SumOfSquares => RowKernels.Dot(x, x),
                ReductionKind.Maximum => RowKernels.Maximum(x),
                ReductionKind.MaximumMagnitude => RowKernels.MaximumMagnitude(x),
                _ => RowKernels.Dot(x, second.Slice(at, reduction.Columns)),
            });
        }

        return Status.Acked;
    }

    private static void Change(in RowArithmetic arithmetic, Span<float> y, ReadOnlySpan<float> x)
    {
        switch (arithmetic.Kind)
        {
            case ArithmeticKind.Multiply:
                RowKernels.Multiply(y, x);
                break;
            case ArithmeticKind.Fill:
                y.Fill(arithmetic.Factor);
                break;
            case ArithmeticKind.Linear when arithmetic is { ReadsSource: true, Own: 0 }:
                // Whatever stood there, a number or not.
                x.CopyTo(y);
                RowKernels.Scale(y, arithmetic.Factor);
                break;
            case ArithmeticKind.Linear when arithmetic.ReadsSource:
                RowKernels.Linear(y, x, arithmetic.Factor, arithmetic.Own);
                break;
            default:
                RowKernels.Scale(y, arithmetic.Own);
                break;
        }
    }

    /// <summary>Rows of bits are no numbers. It counts as done: a client does not ask for it, whatever its other parts may be.</summary>
    private static bool RefusesArithmetic(MapTable table, out string text)
    {
        text = table.Rule.HoldsBits ? $"table {table.Name} has rule {table.Rule.Kind}, which keeps bits in place of floats: nobody does arithmetic with its rows" : "";
        return table.Rule.HoldsBits;
    }

    /// <summary>The table of the second operand.</summary>
    private Status Source(MapTable table, uint id, out MapTable source, out string text)
    {
        source = table;
        text = "";
        if (id == table.Id)
        {
            return Status.Acked;
        }

        if (node.Map!.Table(id) is not { } other)
        {
            // Counts as done: the other parts of the call may stand already.
            text = $"the other table of an operation on table {table.Name}, number {id}, does not exist: it was dropped";
            return Status.Failed;
        }

        source = other;
        if (RefusesArithmetic(other, out text))
        {
            return Status.Failed;
        }

        text = other.IsLost ? other.LossText : other.Width == table.Width ? "" : $"table {other.Name} has rows of {other.Width} floats and table {table.Name} of {table.Width}: they are no operands of one operation";
        return other.IsLost || other.Width != table.Width ? Status.Failed : Status.Acked;
    }

    private static Span<float> Room(ref float[] buffer, int floats)
    {
        if (buffer.Length < floats)
        {
            buffer = new float[BitOperations.RoundUpToPowerOf2((uint)floats)];
        }

        return buffer.AsSpan(0, floats);
    }
}
