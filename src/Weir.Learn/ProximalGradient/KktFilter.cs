namespace Weir.Learn.ProximalGradient;

/// <summary>
/// The KKT filter: a weight that is zero, and whose gradient in its last step was too small to move it from there, is left out of pushes and pulls (Li et al. 2014, OSDI, section 5.1, and NIPS, section 4: w = 0 and |g| at most
/// lambda - delta; PS-28). With the old gradient nothing need be computed to leave it out. delta begins at lambda and falls with the passes, lambda / pass, since the gradients move less and less. What was left out in error comes back in one later
/// pass that leaves out nothing: the reset of the papers' own code.
/// </summary>
/// <remarks>
/// The weight and the gradient are those of the row, of which all workers see the same at the same iteration: no block comes again while a step of it is on the way. So all leave out the same, and no step is taken on the gradients of some.
/// Immutable and thread-safe.
/// </remarks>
/// <param name="l1">lambda, against the sum of the losses; with 0 what has no gradient is left out.</param>
/// <param name="passes">Passes of the run.</param>
/// <param name="blocks">Iterations of a pass.</param>
internal sealed class KktFilter(double l1, int passes, int blocks)
{
    /// <summary>What it is called on command lines and in reports.</summary>
    public const string Name = "kkt";

    // Four fifths of the passes bring the weights near; the last fifth is for those that came back.
    private const int ResetNumerator = 4, ResetDenominator = 5;

    /// <summary>The pass that leaves out nothing, from 1; the first does not either.</summary>
    public int ResetPass { get; } = (int)Math.Max(1, ((long)passes * ResetNumerator / ResetDenominator) + 1);

    /// <summary>Whether a coordinate takes part in an iteration.</summary>
    /// <param name="weight">Its weight.</param>
    /// <param name="gradient">The gradient of its last step, summed over the rows.</param>
    /// <param name="iteration">The iteration, from 1.</param>
    public bool IsActive(float weight, float gradient, long iteration)
    {
        long pass = ((iteration - 1) / blocks) + 1;
        if (weight != 0 || pass == 1 || pass == ResetPass)
        {
            return true;
        }

        // A gradient that is not a number is not small.
        return !(Math.Abs(gradient) <= l1 * (1 - (1.0 / pass)));
    }
}
