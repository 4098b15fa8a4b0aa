namespace Weir.Functions;

/// <summary>
/// A function of a user's own that the servers run where the rows lie: an update rule that Weir does not have, or any other change of rows (papers PS-9). The operator gives it to every server, as an object or
/// in an assembly of the plug-in folder; a client only names it (<c>WeirClient.CallAsync</c>, <c>Worker.CallAsync</c>), and can send none.
/// <para>
/// A call is a push: it is applied once, in the order of its session, and acknowledged when all copies have it. The server that leads a segment runs the function; the others, journals and checkpoints take the rows
/// that came of it. So it need not compute the same everywhere, and a server that only follows never calls it. What it does besides changing the rows it was given is its own affair, and may happen more often than once:
/// a server that dies, or has no room, leaves a call to be run again.
/// </para>
/// <para>
/// It runs on the server's own loop, which does nothing else meanwhile: it must not wait for anything. One that throws, or makes a row that is not of finite numbers, fails the call with its message, and nothing of the rows of
/// that segment is changed. So does one that uses up its budget of time, which is looked at between runs of rows. One that does not come back from a run ends its server.
/// </para>
/// </summary>
public interface IServerFunction
{
    /// <summary>What clients call it by: 1 to 256 bytes of UTF-8, always the same, and no other function's of the server.</summary>
    string Name { get; }

    /// <summary>
    /// Changes a run of rows. Which rows of a call come in one run is chance: each row must be changed by what is known of it alone. A server calls an instance from one thread at a time; one that was given to several servers of a
    /// process is called by them at the same time.
    /// </summary>
    /// <param name="run">The rows, and what was sent with them. It is of no use after the return.</param>
    void Apply(FunctionCall run);
}

/// <summary>A run of rows that a function is to change, at least one: some of those of a call that lie in one segment.</summary>
public readonly ref struct FunctionCall
{
    /// <summary>The table's name.</summary>
    public required string Table { get; init; }

    /// <summary>Floats a row.</summary>
    public required int Width { get; init; }

    /// <summary>The rows' keys, each once, in the order of their hash.</summary>
    public required ReadOnlySpan<ulong> Keys { get; init; }

    /// <summary><see cref="Width"/> floats for each key, to be changed in place; an absent row reads as the table's initial value. A row that is left as it is, bit for bit, is not written: an absent one stays absent.</summary>
    public required Span<float> Rows { get; init; }

    /// <summary><see cref="Width"/> finite floats for each key, as the caller gave them; those of a key that it named several times are summed. Empty where it gave none.</summary>
    public required ReadOnlySpan<float> Values { get; init; }

    /// <summary>What the caller gave to the whole call, up to 16,384 bytes: parameters, in whatever form the function reads.</summary>
    public required ReadOnlySpan<byte> Argument { get; init; }

    /// <summary>Whether the caller gave values.</summary>
    public bool HasValues => !Values.IsEmpty;

    /// <summary>The floats of a row.</summary>
    /// <param name="row">0 to the number of keys - 1.</param>
    public Span<float> Row(int row) => Rows.Slice(row * Width, Width);

    /// <summary>The values that the caller gave to a row.</summary>
    /// <param name="row">0 to the number of keys - 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The caller gave none.</exception>
    public ReadOnlySpan<float> Value(int row) => Values.Slice(row * Width, Width);
}
