namespace Weir.Host.Etcd;

/// <summary>Times and bounds of <see cref="EtcdRegister"/>. Immutable; change it with <c>with</c>.</summary>
internal sealed record EtcdOptions
{
    /// <summary>The defaults.</summary>
    public static readonly EtcdOptions Default = new();

    /// <summary>
    /// Milliseconds from the call on after which an operation ends as Unknown. Default 2,000, as with Weir's own acceptors: etcd elects a leader in
    /// one to two seconds unless told otherwise, and whoever asks reads again. 10 to 600,000.
    /// </summary>
    public int DeadlineMs { get; init; } = 2_000;

    /// <summary>
    /// Milliseconds until the next member is asked while one does not answer. Default 700: several times what the largest map takes, and two
    /// others are asked before the deadline. 10 to <see cref="DeadlineMs"/>.
    /// </summary>
    public int AttemptMs { get; init; } = 700;

    /// <summary>Milliseconds between two rounds in which no member could answer. Default 50: a member that elects a leader is not kept busy. 1 to 10,000.</summary>
    public int RetryMs { get; init; } = 50;

    /// <summary>Operations that may wait for one cell; more end as Unknown at once. Default 64: a node swaps one at a time. 1 to 10,000.</summary>
    public int Waiting { get; init; } = 64;

    /// <summary>Checks every value and names all that are out of range.</summary>
    /// <exception cref="ArgumentException">At least one value is out of range; the message lists every one.</exception>
    public void Validate()
    {
        var faults = new OptionFaults();
        faults.Range(nameof(DeadlineMs), DeadlineMs, 10, 600_000);
        faults.Range(nameof(AttemptMs), AttemptMs, 10, Math.Clamp(DeadlineMs, 10, 600_000));
        faults.Range(nameof(RetryMs), RetryMs, 1, 10_000);
        faults.Range(nameof(Waiting), Waiting, 1, 10_000);
        faults.ThrowIfAny();
    }
}
