namespace Weir.Sim;

/// <summary>Whether an operator saves checkpoints in a run, and what becomes of the last of them.</summary>
internal enum CheckpointUse
{
    /// <summary>Nobody saves any.</summary>
    None,

    /// <summary>It is loaded once everything has come to its end, into the same cluster, whose jobs then end once more.</summary>
    RestoredAtEnd,

    /// <summary>It is loaded into another cluster, of another size.</summary>
    RestoredElsewhere,

    /// <summary>It is loaded into the same cluster amid the faults, perhaps while the next one is being written; all go on from it.</summary>
    RestoredMidway,
}
