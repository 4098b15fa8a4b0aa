namespace Weir.Register;

/// <summary>What a server knows of its acceptor's past when it starts (design R2).</summary>
public enum AcceptorStart
{
    /// <summary>It has run before: it goes on from its records, and where they are gone it answers nobody, for it may have forgotten what it promised.</summary>
    Again,

    /// <summary>It has never answered anybody: it begins empty.</summary>
    First,

    /// <summary>
    /// Its records are lost for good, and somebody has decided to go on without them: it asks a majority of the others what stands and begins with
    /// that. Impossible where it was the only one. The old records must never run again.
    /// </summary>
    Replacement,
}
