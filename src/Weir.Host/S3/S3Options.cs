namespace Weir.Host.S3;

/// <summary>How <see cref="S3Store"/> reaches its store, and how long it waits. Immutable; change it with <c>with</c>.</summary>
public sealed record S3Options
{
    /// <summary>The defaults.</summary>
    public static readonly S3Options Default = new();

    /// <summary>
    /// The address of a store that is not Amazon's, <c>http://host:port</c> or <c>https://host:port</c>; buckets are then named in the path. Default: what
    /// <c>AWS_ENDPOINT_URL_S3</c> or <c>AWS_ENDPOINT_URL</c> says, and Amazon's own where neither is set.
    /// </summary>
    public Uri? Endpoint { get; init; }

    /// <summary>
    /// The bucket's region. Default: what <c>AWS_REGION</c>, <c>AWS_DEFAULT_REGION</c> or the profile says; with an endpoint of one's own it need not
    /// be set.
    /// </summary>
    public string? Region { get; init; }

    /// <summary>
    /// Milliseconds that one try of one request may take, the bytes of an object of 32 MiB included. Default 60,000: half a MiB a second is slow for
    /// any store. 100 to 3,600,000.
    /// </summary>
    public int RequestMs { get; init; } = 60_000;

    /// <summary>How often a request is tried, with growing pauses, where the store is busy or the network breaks. Default 4. 1 to 20.</summary>
    public int Attempts { get; init; } = 4;

    /// <summary>Checks every value and names all that are out of range.</summary>
    /// <exception cref="ArgumentException">At least one value is out of range; the message lists every one.</exception>
    public void Validate()
    {
        var faults = new OptionFaults();
        faults.Range(nameof(RequestMs), RequestMs, 100, 3_600_000);
        faults.Range(nameof(Attempts), Attempts, 1, 20);
        faults.ThrowIfAny();
    }
}
