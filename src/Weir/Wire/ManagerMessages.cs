using Weir.Keys;

namespace Weir.Wire;

/// <summary>What the manager asks a node to do: a hint that it repeats until the map shows it done (design R17, R10).</summary>
internal enum StepKind : byte
{
    /// <summary>Copy the segment from its tail.</summary>
    Copy = 1,

    /// <summary>Accept nothing more as its head, so that the chain may be reordered.</summary>
    Seal = 2,
}

/// <summary>A step for one segment.</summary>
internal readonly record struct Step(uint Segment, StepKind Kind)
{
    public const int Size = 8;
}

/// <summary>The body of Step.</summary>
internal readonly struct StepBody(IReadOnlyList<Step> steps) : IBody
{
    public int Bytes => 8 + (steps.Count * Step.Size);

    public void Write(ref ByteWriter writer)
    {
        writer.Int32(steps.Count);
        writer.UInt32(0);
        foreach (Step step in steps)
        {
            writer.UInt32(step.Segment);
            writer.UInt32((uint)step.Kind);
        }
    }

    public static bool TryRead(ReadOnlySpan<byte> body, List<Step> into)
    {
        into.Clear();
        var reader = new ByteReader(body);
        int count = reader.Count(Step.Size);
        reader.UInt32();
        for (int i = 0; i < count; i++)
        {
            into.Add(new Step(reader.UInt32(), (StepKind)(byte)reader.UInt32()));
        }

        return reader.AtEnd && into.TrueForAll(s => s.Kind is StepKind.Copy or StepKind.Seal);
    }
}

/// <summary>What a node says of a segment that it holds, for the manager to act on.</summary>
internal enum ClaimKind : byte
{
    /// <summary>It is complete under the append whose version stands beside (design R9).</summary>
    Complete = 1,

    /// <summary>Its copy has caught up; counts only if the frame's map version is at least the segment's epoch.</summary>
    CaughtUp = 2,

    /// <summary>Its last entry does not stand at its predecessor's in the epoch that stands beside: it must leave the chain (R16).</summary>
    Diverged = 3,

    /// <summary>It is the head and sealed, and every member has what it has, under the map version that stands beside (R10).</summary>
    Sealed = 4,

    /// <summary>Its successor, whose node stands beside, has not acknowledged for the failure timeout (R6).</summary>
    Stalled = 5,

    /// <summary>It was sealed for too long and wants to go on: a newer map, whatever it says, makes what rested on its seal fail (R10).</summary>
    Resuming = 6,

    /// <summary>It heads the segment in the epoch that stands beside, with a member behind it that was started again: that one may leave (R5).</summary>
    Serving = 7,

    /// <summary>The epoch of the last entry that it has from its journal, for a segment that it was a complete member of (R23).</summary>
    BackEpoch = 8,

    /// <summary>The number of that entry: the word behind a <see cref="BackEpoch"/> of the same segment.</summary>
    BackNumber = 9,
}

/// <summary>One claim, in a Report of all that a node has to claim at that time.</summary>
internal readonly record struct Claim(uint Segment, ClaimKind Kind, ulong Version) : IChainWord<Claim>
{
    public static int Bytes => 16;

    public void Write(ref ByteWriter writer)
    {
        writer.UInt32(Segment);
        writer.UInt32((uint)Kind);
        writer.UInt64(Version);
    }

    public static Claim Read(ref ByteReader reader)
    {
        var claim = new Claim(reader.UInt32(), (ClaimKind)(byte)reader.UInt32(), reader.UInt64());
        if (claim.Kind is < ClaimKind.Complete or > ClaimKind.BackNumber)
        {
            reader.Fail();
        }

        return claim;
    }
}
