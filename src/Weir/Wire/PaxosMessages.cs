using Weir.Keys;

namespace Weir.Wire;

/// <summary>The number of a round of Paxos: higher rounds first, and no two proposers ever use the same one.</summary>
internal readonly record struct Ballot(ulong Round, ulong Proposer) : IComparable<Ballot>
{
    public const int Size = 16;

    /// <summary>What an acceptor promises together with accepting this one: the same proposer's next.</summary>
    public Ballot Next => this with { Round = Round + 1 };

    public int CompareTo(Ballot other) => Round != other.Round ? Round.CompareTo(other.Round) : Proposer.CompareTo(other.Proposer);

    public static bool operator <(Ballot left, Ballot right) => left.CompareTo(right) < 0;

    public static bool operator >(Ballot left, Ballot right) => left.CompareTo(right) > 0;

    public static bool operator <=(Ballot left, Ballot right) => left.CompareTo(right) <= 0;

    public static bool operator >=(Ballot left, Ballot right) => left.CompareTo(right) >= 0;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Round);
        writer.UInt64(Proposer);
    }

    public static Ballot Read(ref ByteReader reader) => new(reader.UInt64(), reader.UInt64());
}

/// <summary>What a cell of the register holds. An empty cell has version 0.</summary>
/// <param name="Version">Rises by one with each swap.</param>
/// <param name="Nonce">The writer's own number: by it a writer that heard no answer finds out whether its swap took place (design R1).</param>
/// <param name="Bytes">The content.</param>
internal readonly record struct CellValue(ulong Version, ulong Nonce, ReadOnlyMemory<byte> Bytes)
{
    public int Size => 16 + Bytes.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Version);
        writer.UInt64(Nonce);
        writer.Raw(Bytes.Span);
    }

    /// <summary>Takes the rest of the bytes.</summary>
    public static CellValue ReadRest(ref ByteReader reader)
    {
        ulong version = reader.UInt64(), nonce = reader.UInt64();
        return new CellValue(version, nonce, reader.Take(reader.Left).ToArray());
    }
}

/// <summary>A proposer asks an acceptor to promise (kind PaxosPrepare, no value) or to accept (kind PaxosAccept).</summary>
internal readonly record struct PaxosBody(byte Cell, Ballot Ballot, CellValue Value, bool HasValue) : IBody
{
    public int Bytes => 8 + Ballot.Size + (HasValue ? Value.Size : 0);

    public void Write(ref ByteWriter writer)
    {
        writer.UInt64(Cell);
        Ballot.Write(ref writer);
        if (HasValue)
        {
            Value.Write(ref writer);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, bool hasValue, out PaxosBody message)
    {
        var reader = new ByteReader(body);
        ulong cell = reader.UInt64();
        var ballot = Ballot.Read(ref reader);
        message = new PaxosBody((byte)cell, ballot, hasValue ? CellValue.ReadRest(ref reader) : default, hasValue);
        return reader.AtEnd && cell <= 1 && ballot.Round > 0;
    }
}

/// <summary>
/// An acceptor's answer, sent once its state is on disk: what it promised, and what it has accepted. It refused to promise where the promised
/// ballot is above the one asked for, and to accept where the accepted ballot is another.
/// </summary>
internal readonly record struct PaxosReplyBody(byte Cell, bool IsAccept, Ballot Asked, Ballot Promised, Ballot Accepted, CellValue Value) : IBody
{
    public bool IsRefusal => IsAccept ? Accepted != Asked : Promised > Asked;

    /// <summary>Bytes before those of the cell.</summary>
    public const int HeadBytes = 8 + (3 * Ballot.Size) + 16;

    public int Bytes => HeadBytes + Value.Bytes.Length;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Cell);
        writer.UInt32(IsAccept ? 1u : 0);
        Asked.Write(ref writer);
        Promised.Write(ref writer);
        Accepted.Write(ref writer);
        Value.Write(ref writer);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out PaxosReplyBody message)
    {
        var reader = new ByteReader(body);
        uint cell = reader.UInt32(), isAccept = reader.UInt32();
        message = new PaxosReplyBody(
            (byte)cell, isAccept == 1, Ballot.Read(ref reader), Ballot.Read(ref reader), Ballot.Read(ref reader), CellValue.ReadRest(ref reader));
        return reader.AtEnd && cell <= 1 && isAccept <= 1;
    }
}
