namespace Weir.Keys;

/// <summary>Which function at the server a push goes through. The number is on the wire and in the map.</summary>
public enum UpdateRuleKind : byte
{
    /// <summary>w += v.</summary>
    Add = 0,

    /// <summary>w = v.</summary>
    Assign = 1,

    /// <summary>w -= alpha * g.</summary>
    Sgd = 2,

    /// <summary>Adagrad, Duchi, Hazan and Singer 2011.</summary>
    Adagrad = 3,

    /// <summary>Adam, Kingma and Ba 2015, algorithm 1.</summary>
    Adam = 4,

    /// <summary>FTRL-proximal, McMahan et al. 2013, algorithm 1.</summary>
    Ftrl = 5,

    /// <summary>Gradient descent with classical momentum, Polyak 1964 in the form of Sutskever et al. 2013.</summary>
    Momentum = 6,

    /// <summary>Proximal gradient descent with L1 and L2 penalties, Duchi and Singer 2009.</summary>
    ProximalSgd = 7,

    /// <summary>The proximal step in the norm of a pushed diagonal, Li et al. 2014 (OSDI), algorithm 3.</summary>
    DiagonalProximal = 8,

    /// <summary>w += v, where two floats of a row are the bits of one 64-bit integer.</summary>
    Count = 9,

    /// <summary>w |= v, bit by bit.</summary>
    Union = 10,

    /// <summary>w += v, where two floats of a row are the bits of one number in double precision.</summary>
    Score = 11,

    /// <summary>The proximal step with a penalty of each row's Euclidean norm, Yuan and Lin 2006.</summary>
    GroupProximal = 12,
}

/// <summary>
/// An update rule with its parameters, as a table declares it and the map carries it. Immutable and compared by value.
/// </summary>
public sealed record UpdateRule
{
    private UpdateRule(UpdateRuleKind kind, float a = 0, float b = 0, float c = 0, float d = 0)
    {
        Kind = kind;
        (A, B, C, D) = (a, b, c, d);
    }

    /// <summary>Which rule.</summary>
    public UpdateRuleKind Kind { get; }

    internal float A { get; }

    internal float B { get; }

    internal float C { get; }

    internal float D { get; }

    /// <summary>w += v: sums, counters, averages.</summary>
    public static UpdateRule Add { get; } = new(UpdateRuleKind.Add);

    /// <summary>w = v: the last write stands.</summary>
    public static UpdateRule Assign { get; } = new(UpdateRuleKind.Assign);

    /// <summary>Gradient descent, w -= alpha * g.</summary>
    /// <param name="alpha">The learning rate, above 0.</param>
    public static UpdateRule Sgd(float alpha) => new(UpdateRuleKind.Sgd, Positive(alpha, nameof(alpha)));

    /// <summary>Adagrad: n += g^2, w -= alpha * g / (sqrt(n) + epsilon).</summary>
    /// <param name="alpha">The learning rate, above 0.</param>
    /// <param name="epsilon">Guards 0/0; 0 is allowed, a zero gradient then changes nothing.</param>
    public static UpdateRule Adagrad(float alpha, float epsilon = 1e-8f) =>
        new(UpdateRuleKind.Adagrad, Positive(alpha, nameof(alpha)), NotNegative(epsilon, nameof(epsilon)));

    /// <summary>Adam with bias correction; a row's step count is its own, so rare rows are corrected as if new.</summary>
    /// <param name="alpha">The step size, above 0.</param>
    /// <param name="beta1">Decay of the first moment, in [0, 1).</param>
    /// <param name="beta2">Decay of the second moment, in [0, 1).</param>
    /// <param name="epsilon">Added to the root, above 0.</param>
    public static UpdateRule Adam(float alpha = 0.001f, float beta1 = 0.9f, float beta2 = 0.999f, float epsilon = 1e-8f) =>
        new(UpdateRuleKind.Adam, Positive(alpha, nameof(alpha)), Fraction(beta1, nameof(beta1)), Fraction(beta2, nameof(beta2)), Positive(epsilon, nameof(epsilon)));

    /// <summary>FTRL-proximal with per-coordinate rates; L1 gives exact zeros.</summary>
    /// <param name="alpha">The rate's numerator, above 0.</param>
    /// <param name="beta">The rate's smoothing, at least 0.</param>
    /// <param name="l1">The L1 penalty, at least 0.</param>
    /// <param name="l2">The L2 penalty, at least 0.</param>
    public static UpdateRule Ftrl(float alpha, float beta = 1, float l1 = 0, float l2 = 0) =>
        new(UpdateRuleKind.Ftrl, Positive(alpha, nameof(alpha)), NotNegative(beta, nameof(beta)), NotNegative(l1, nameof(l1)), NotNegative(l2, nameof(l2)));

    /// <summary>
    /// Classical momentum: v = mu * v - alpha * g, w += v. The velocity of a row ages with the row's own pushes, not with time: a row that
    /// nobody pushes stands still.
    /// </summary>
    /// <param name="alpha">The learning rate, above 0.</param>
    /// <param name="mu">How much of the velocity stays at each push, in [0, 1).</param>
    public static UpdateRule Momentum(float alpha, float mu = 0.9f) =>
        new(UpdateRuleKind.Momentum, Positive(alpha, nameof(alpha)), Fraction(mu, nameof(mu)));

    /// <summary>
    /// Gradient descent and then the proximal operator of l1 * |w| + l2 / 2 * w^2: a soft threshold that gives exact zeros. A row is
    /// penalised when it is pushed, not while it rests.
    /// </summary>
    /// <param name="alpha">The learning rate, above 0.</param>
    /// <param name="l1">The L1 penalty, at least 0; alpha * l1 must be finite.</param>
    /// <param name="l2">The L2 penalty, at least 0; alpha * l2 must be finite.</param>
    public static UpdateRule ProximalSgd(float alpha, float l1 = 0, float l2 = 0)
    {
        UpdateRule rule = new(UpdateRuleKind.ProximalSgd, Positive(alpha, nameof(alpha)), NotNegative(l1, nameof(l1)), NotNegative(l2, nameof(l2)));
        _ = NotNegative(alpha * l1, nameof(l1));
        _ = NotNegative(alpha * l2, nameof(l2));
        return rule;
    }

    /// <summary>
    /// The step of delayed block proximal gradient (Li et al. 2014, OSDI, algorithm 3): w = Prox^U_gamma[w - gamma U^-1 g] with U = diag(u)
    /// and the penalty l1 * |w| + l2 / 2 * w^2, L1, L2 or both (elastic net). Rows are made of pairs, so a table's width is even: a push
    /// has (g, u) for each pair, gradient and curvature, a row has the weight and beside it a float that pushes leave as it is, or the gradient of the last step. Where the
    /// table aggregates the step is taken once, with the sums of g and of u. Where u is 0 or below the weight stays.
    /// </summary>
    /// <param name="gamma">The step, above 0: 1 is Newton's where the curvatures are the Hessian.</param>
    /// <param name="l1">The L1 penalty, at least 0.</param>
    /// <param name="l2">The L2 penalty, at least 0.</param>
    /// <param name="keepsGradient">Whether the second float of a pair is the gradient of its last step: what tells a worker that the weight will not move (the KKT filter).</param>
    public static UpdateRule DiagonalProximal(float gamma, float l1 = 0, float l2 = 0, bool keepsGradient = false) =>
        new(UpdateRuleKind.DiagonalProximal, Positive(gamma, nameof(gamma)), NotNegative(l1, nameof(l1)), NotNegative(l2, nameof(l2)), keepsGradient ? 1 : 0);

    /// <summary>
    /// Counters: each two floats of a row, from an even one on, are the bits of one signed 64-bit integer, the lower half first, and a push adds to it. It wraps around as long does, so that sums
    /// are the same in whatever order pushes come. A table's width is even, and its rows hold bits: <c>WeirCounters</c> and <c>WeirSketch</c> read and write them.
    /// </summary>
    public static UpdateRule Count { get; } = new(UpdateRuleKind.Count);

    /// <summary>Sets of bits: a push sets in the row the bits that are set in it, and clears none. A table's rows hold bits: <c>WeirSet</c> reads and writes them.</summary>
    public static UpdateRule Union { get; } = new(UpdateRuleKind.Union);

    /// <summary>
    /// Scores: each two floats of a row, from an even one on, are the bits of one number in double precision, the lower half first, and a push adds to it. What is pushed or set is finite, and a sum beyond the
    /// largest finite number becomes that number, so that scores can always be compared. A table's width is even, and its rows hold bits: <c>WeirRanking</c> reads and writes them.
    /// </summary>
    public static UpdateRule Score { get; } = new(UpdateRuleKind.Score);

    /// <summary>
    /// Whether rows hold bits that are floats by their place alone: an integer, a set, a double. Nothing may take them for numbers then: they are not rounded, not summed, not compared
    /// with one another and need not be finite.
    /// </summary>
    internal bool HoldsBits => Kind is UpdateRuleKind.Count or UpdateRuleKind.Union or UpdateRuleKind.Score;

    /// <summary>Whether rows of <paramref name="width"/> floats have the parts that the rule works on.</summary>
    internal bool Fits(int width) => Kind is not (UpdateRuleKind.DiagonalProximal or UpdateRuleKind.GroupProximal or UpdateRuleKind.Count or UpdateRuleKind.Score) || width % 2 == 0;

    /// <summary>Whether a table may have it as the value of absent rows: for rows of bits there is one, none set.</summary>
    internal bool MayBeginWith(float initialValue) => HoldsBits ? BitConverter.SingleToUInt32Bits(initialValue) == 0 : float.IsFinite(initialValue);

    /// <summary>
    /// The step of <see cref="DiagonalProximal"/> for rows whose weights come and go together: beside l1 * |w| and l2 / 2 * w^2 each row's Euclidean norm is penalised, group * |w|_2, so that whole rows become zero (group lasso, Yuan and Lin 2006;
    /// with l1 sparse group lasso, Simon et al. 2013). Rows are made of pairs in the same way, and the step of a row is that of its largest curvature. Where the table aggregates the step is taken once, with the sums of g and of u.
    /// </summary>
    /// <param name="gamma">The step, above 0.</param>
    /// <param name="group">The penalty of a row's norm, at least 0; papers multiply it by the root of the row's weights.</param>
    /// <param name="l1">The L1 penalty, at least 0.</param>
    /// <param name="l2">The L2 penalty, at least 0.</param>
    public static UpdateRule GroupProximal(float gamma, float group, float l1 = 0, float l2 = 0) =>
        new(UpdateRuleKind.GroupProximal, Positive(gamma, nameof(gamma)), NotNegative(group, nameof(group)), NotNegative(l1, nameof(l1)), NotNegative(l2, nameof(l2)));

    /// <summary>The bytes of a rule in the map: kind (4 bytes), four parameters.</summary>
    internal const int EncodedBytes = 20;

    internal void Write(ref ByteWriter writer)
    {
        writer.UInt32((uint)Kind);
        writer.Single(A);
        writer.Single(B);
        writer.Single(C);
        writer.Single(D);
    }

    /// <summary>Reads foreign bytes; false where the kind is unknown or a parameter is not a finite number of its range.</summary>
    internal static bool TryRead(ref ByteReader reader, out UpdateRule rule)
    {
        uint kind = reader.UInt32();
        float a = reader.Single(), b = reader.Single(), c = reader.Single(), d = reader.Single();
        rule = Add;
        if (reader.Failed || kind > (uint)UpdateRuleKind.GroupProximal)
        {
            return false;
        }

        rule = new UpdateRule((UpdateRuleKind)kind, a, b, c, d);
        return rule.Kind switch
        {
            // Parameters that a rule does not have are 0: the same rule has one encoding, and is equal to itself.
            UpdateRuleKind.Add or UpdateRuleKind.Assign or UpdateRuleKind.Count or UpdateRuleKind.Union or UpdateRuleKind.Score => a == 0 && b == 0 && c == 0 && d == 0,
            UpdateRuleKind.Sgd => IsPositive(a) && b == 0 && c == 0 && d == 0,
            UpdateRuleKind.Adagrad => IsPositive(a) && IsNotNegative(b) && c == 0 && d == 0,
            UpdateRuleKind.Adam => IsPositive(a) && IsFraction(b) && IsFraction(c) && IsPositive(d),
            UpdateRuleKind.Ftrl => IsPositive(a) && IsNotNegative(b) && IsNotNegative(c) && IsNotNegative(d),
            UpdateRuleKind.Momentum => IsPositive(a) && IsFraction(b) && c == 0 && d == 0,
            UpdateRuleKind.ProximalSgd => IsPositive(a) && IsNotNegative(b) && IsNotNegative(c) && IsNotNegative(a * b) && IsNotNegative(a * c) && d == 0,
            UpdateRuleKind.GroupProximal => IsPositive(a) && IsNotNegative(b) && IsNotNegative(c) && IsNotNegative(d),
            UpdateRuleKind.DiagonalProximal => IsPositive(a) && IsNotNegative(b) && IsNotNegative(c) && (d is 0 or 1),
            _ => false,
        };
    }

    private static bool IsPositive(float value) => value > 0 && float.IsFinite(value);

    private static bool IsNotNegative(float value) => value >= 0 && float.IsFinite(value);

    private static bool IsFraction(float value) => value is >= 0 and < 1;

    private static float Positive(float value, string name) =>
        IsPositive(value) ? value : throw new ArgumentOutOfRangeException(name, value, "must be a finite number above 0");

    private static float NotNegative(float value, string name) =>
        IsNotNegative(value) ? value : throw new ArgumentOutOfRangeException(name, value, "must be a finite number, 0 or above");

    private static float Fraction(float value, string name) =>
        IsFraction(value) ? value : throw new ArgumentOutOfRangeException(name, value, "must be at least 0 and below 1");
}
