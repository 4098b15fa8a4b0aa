using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Weir.Functions;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Server;

/// <summary>
/// Runs functions of users over the rows of a part (papers PS-9). What comes of one is rows to be assigned, which is what the log has (docs/decisions/0105): nobody below needs the function, and it may compute anything.
/// The rows are changed in a buffer, so that of a part that fails nothing is applied. Not thread-safe.
/// </summary>
internal sealed class FunctionPath(NodeState node)
{
    /// <summary>Floats of a run of rows, if a row has no more: some tens of microseconds of a simple function's time, so that the budget is looked at often, and a look costs nothing.</summary>
    public const int RunFloats = 4096;

    /// <summary>Characters of an exception's message that a reply repeats.</summary>
    private const int MostMessage = 500;

    // The names as they were at the start: asking for one is code of the user's.
    private readonly Named[] _functions = [.. node.Options.Functions.Select(Named.Of)];
    private readonly IFunctionTimer _timer = node.Options.FunctionTimer;
    private float[] _rows = [];
    private float[] _before = [];
    private ulong[] _keys = [];
    private long _sinceTickUs;

    /// <summary>The functions since the last tick have used the budget of one: others come again after the next, which sends what a node that is busy for long has to send so that it does not count as gone.</summary>
    public bool HasUsedBudget => _sinceTickUs >= BudgetUs;

    private long BudgetUs => node.Limits.FunctionBudgetMs * 1000;

    public void Tick() => _sinceTickUs = 0;

    /// <summary>What the rows of the keys become. Rows that stay what they are, absent ones among them, are left out.</summary>
    /// <returns>Acked, or why nothing of it is applied: Failed counts as done.</returns>
    public Status Compute(
        TableSegment rows, scoped in PartHeader part, ReadOnlySpan<byte> bytes, ReadOnlySpan<ulong> keys, scoped in LastWord lastWord, out ReadOnlySpan<ulong> changed, out ReadOnlySpan<float> values, out string text)
    {
        changed = default;
        values = default;
        int width = rows.Table.Width;
        long floats = (long)keys.Length * width;
        if (part.ValueEncoding != ValueEncoding.Raw || floats > RowArithmeticPath.MostFloats || !FunctionRequest.TryRead(bytes, floats, out FunctionRequest request))
        {
            text = $"a part of table {rows.Table.Name} calls a function with a name, an argument or values that make no sense, or for more than {RowArithmeticPath.MostFloats} floats";
            return Status.Malformed;
        }

        if (Find(request.Name) is not { } function)
        {
            text = Missing(request.Name);
            return Status.Failed;
        }

        if (rows.Table.Rule.HoldsBits)
        {
            text = $"table {rows.Table.Name} has rule {rows.Table.Rule.Kind}, which keeps bits in place of floats: no function is called for its rows";
            return Status.Failed;
        }

        if (!ValueEncodings.AllFinite(request.Values))
        {
            text = $"a value given to function {function.Name} for table {rows.Table.Name} is not a finite number; nothing of this part was applied";
            return Status.Failed;
        }

        Span<float> own = Room(ref _rows, (int)floats), before = Room(ref _before, (int)floats);
        rows.Rows.Read(keys, own, rows.Table.InitialValue);
        own.CopyTo(before);
        if (Run(function, rows.Table.Name, width, keys, own, request, lastWord) is { } fault)
        {
            text = $"{fault}; nothing of this part was applied";
            return Status.Failed;
        }

        if (!ValueEncodings.AllFinite(own))
        {
            text = $"function {function.Name} made a row of table {rows.Table.Name} that is not of finite numbers; nothing of this part was applied";
            return Status.Failed;
        }

        int kept = Keep(keys, own, before, width);
        changed = _keys.AsSpan(0, kept);
        values = own[..(kept * width)];
        text = "";
        return Status.Acked;
    }

    /// <summary>Hands the rows to the function, run by run; gives what is wrong, or null.</summary>
    private string? Run(Named function, string table, int width, ReadOnlySpan<ulong> keys, Span<float> own, in FunctionRequest request, in LastWord lastWord)
    {
        int runRows = Math.Max(1, RunFloats / width);
        string? fault = null;
        _timer.Begin(function.Name, table, lastWord);
        for (int from = 0; from < keys.Length && fault is null; from += runRows)
        {
            int count = Math.Min(runRows, keys.Length - from);
            try
            {
                function.Function.Apply(new FunctionCall
                {
                    Table = table,
                    Width = width,
                    Keys = keys.Slice(from, count),
                    Rows = own.Slice(from * width, count * width),
                    Values = request.Values.IsEmpty ? default : request.Values.Slice(from * width, count * width),
                    Argument = request.Argument,
                });
            }
            catch (Exception thrown)
            {
                // Whatever it is: it came out of code that is not the server's, and fails the call alone.
                fault = $"function {function.Name} threw {Describe(thrown)}";
            }

            if (fault is null && from + runRows < keys.Length && _timer.Microseconds > BudgetUs)
            {
                fault = $"function {function.Name} used up its budget of {node.Limits.FunctionBudgetMs} ms after {from + count} of {keys.Length} rows of table {table}: call it for fewer keys at a time, or start the servers with a larger budget";
            }
        }

        _sinceTickUs += _timer.Microseconds;
        _timer.End();
        return fault;
    }

    /// <summary>An exception's type and message. The message is code of the user's too, and may throw or be null.</summary>
    private static string Describe(Exception thrown)
    {
        string message;
        try
        {
            message = thrown.Message ?? "";
        }
        catch (Exception another)
        {
            message = $"(its message threw {another.GetType().Name})";
        }

        return $"{thrown.GetType().Name}: {(message.Length > MostMessage ? message[..MostMessage] + "..." : message)}";
    }

    /// <summary>Moves the rows that changed to the front; gives how many there are.</summary>
    private int Keep(ReadOnlySpan<ulong> keys, Span<float> own, ReadOnlySpan<float> before, int width)
    {
        if (_keys.Length < keys.Length)
        {
            _keys = new ulong[BitOperations.RoundUpToPowerOf2((uint)keys.Length)];
        }

        int kept = 0;
        for (int row = 0; row < keys.Length; row++)
        {
            // Bit for bit: -0 is another value than 0.
            ReadOnlySpan<float> after = own.Slice(row * width, width);
            if (!MemoryMarshal.Cast<float, uint>(after).SequenceEqual(MemoryMarshal.Cast<float, uint>(before.Slice(row * width, width))))
            {
                after.CopyTo(own[(kept * width)..]);
                _keys[kept++] = keys[row];
            }
        }

        return kept;
    }

    private Named? Find(ReadOnlySpan<byte> name)
    {
        foreach (Named function in _functions)
        {
            if (name.SequenceEqual(function.Encoded))
            {
                return function;
            }
        }

        return null;
    }

    private string Missing(ReadOnlySpan<byte> name)
    {
        string has = _functions.Length == 0 ? "none" : string.Join(", ", _functions.Select(f => f.Name));
        return $"server {node.Options.Address} has no function {Encoding.UTF8.GetString(name)}; it has {has}. Its assembly belongs into the plug-in folder of every server (weir serve --plug-ins FOLDER), which reads it at its start";
    }

    /// <summary>A function under its name.</summary>
    private sealed record Named(byte[] Encoded, string Name, IServerFunction Function)
    {
        public static Named Of(IServerFunction function)
        {
            string name = function.Name;
            return new Named(Encoding.UTF8.GetBytes(name), name, function);
        }
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
