namespace Weir.Learn.ProximalGradient;

/// <summary>What a worker pushes as the curvature of a coordinate.</summary>
public enum CurvatureKind
{
    /// <summary>The largest second derivative that the loss has anywhere (Li et al. 2014, NIPS, section 4): theorem 2 and its bound are of it.</summary>
    UpperBound = 0,

    /// <summary>
    /// The largest one that the loss has where no margin is farther than 1/2 from now: smaller, hence longer steps, for features of rows that
    /// are predicted well. No bound of the step is known for it.
    /// </summary>
    Local = 1,
}
