using Weir.Checkpoints;
using Weir.World;

namespace Weir.Sim;

/// <summary>A checkpoint that was completed, and what lay before and after it.</summary>
/// <param name="Name">Its name in its store.</param>
/// <param name="Manifest">What it says of itself.</param>
/// <param name="Began">When it was asked for: what had been acknowledged by then is in it.</param>
/// <param name="Ended">When it was done: what began later is not in it.</param>
/// <param name="Clocked">Of each job by worker, the last iteration that had ended when it began.</param>
/// <param name="Begun">Of each job by worker, the last iteration that had begun when it was done.</param>
internal sealed record SavedCheckpoint(string Name, Manifest Manifest, Instant Began, Instant Ended, long[][] Clocked, long[][] Begun);

/// <summary>A checkpoint that was loaded while clients went on.</summary>
/// <param name="Saved">Which.</param>
/// <param name="Began">When its loading began.</param>
/// <param name="Generation">The generation that began with it.</param>
internal sealed record LoadedCheckpoint(SavedCheckpoint Saved, Instant Began, uint Generation);
