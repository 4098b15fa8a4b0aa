namespace Weir.Learn.ProximalGradient;

/// <summary>How the rows' losses count against the penalties.</summary>
public enum LossScale
{
    /// <summary>The objective is the sum of the losses plus the penalties, as in Li et al. 2014 and in LIBLINEAR with C = 1.</summary>
    Sum = 0,

    /// <summary>The objective is the mean of the losses plus the penalties: a penalty then means the same for more rows.</summary>
    Mean = 1,
}
