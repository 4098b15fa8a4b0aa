using Weir.Keys;

namespace Weir.Wire;

/// <summary>
/// AddWorkers: a planned join (design R8) of so many workers, at iteration <paramref name="NotBefore"/> at the earliest. Refused unless the
/// job has <paramref name="Known"/> workers; the nonce makes a retry the same join.
/// </summary>
internal readonly record struct AddWorkersBody(uint Group, int Count, int Known, long NotBefore, ulong Nonce) : IBody
{
    public int Bytes => 28;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Group);
        writer.Int32(Count);
        writer.Int32(Known);
        writer.Int64(NotBefore);
        writer.UInt64(Nonce);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out AddWorkersBody message)
    {
        var reader = new ByteReader(body);
        message = new AddWorkersBody(reader.UInt32(), reader.Int32(), reader.Int32(), reader.Int64(), reader.UInt64());
        return reader.AtEnd && message.Nonce != 0 && message.NotBefore is >= 0 and <= Seq.MaxIteration;
    }
}

/// <summary>RemoveWorker: a planned leave (design R8) of a worker, through iteration <paramref name="NotBefore"/> at the earliest.</summary>
internal readonly record struct RemoveWorkerBody(uint Group, uint Worker, long NotBefore) : IBody
{
    public int Bytes => 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Group);
        writer.UInt32(Worker);
        writer.Int64(NotBefore);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out RemoveWorkerBody message)
    {
        var reader = new ByteReader(body);
        message = new RemoveWorkerBody(reader.UInt32(), reader.UInt32(), reader.Int64());
        return reader.AtEnd && message.NotBefore is >= 0 and <= Seq.MaxIteration;
    }
}

/// <summary>
/// Begun: a host's answer to the announcement of a join or leave (design R8), for the worker of the header's session: the map version that
/// announced it, and the last iteration that the worker has begun.
/// </summary>
internal readonly record struct BegunBody(uint Group, uint Worker, ulong Announced, long Iteration) : IBody
{
    public int Bytes => 24;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Group);
        writer.UInt32(Worker);
        writer.UInt64(Announced);
        writer.Int64(Iteration);
    }

    public static bool TryRead(ReadOnlySpan<byte> body, out BegunBody message)
    {
        var reader = new ByteReader(body);
        message = new BegunBody(reader.UInt32(), reader.UInt32(), reader.UInt64(), reader.Int64());
        return reader.AtEnd && message.Iteration is > 0 and <= Seq.MaxIteration;
    }
}
