namespace Weir.Sim;

/// <summary>What one run, or a batch of them, has hit. Not thread-safe.</summary>
internal sealed class RunTally
{
    private static readonly int Faults = Enum.GetValues<FaultKind>().Length;

    private readonly long[] _faults = new long[Faults];
    private readonly long[] _duringChange = new long[Faults];
    private readonly int[] _seeds = new int[Faults];
    private readonly int[] _seedsDuringChange = new int[Faults];
    private readonly long[] _schedules = new long[Enum.GetValues<NamedSchedule>().Length];

    /// <summary>How often a fault took place.</summary>
    public long Count(FaultKind kind) => _faults[(int)kind];

    /// <summary>How many runs had a fault of this kind.</summary>
    public int Seeds(FaultKind kind) => _seeds[(int)kind];

    /// <summary>How many of them had one while a chain was being changed.</summary>
    public int SeedsDuringChange(FaultKind kind) => _seedsDuringChange[(int)kind];

    /// <summary>How often a named schedule took place.</summary>
    public long Count(NamedSchedule schedule) => _schedules[(int)schedule];

    /// <summary>A fault took place.</summary>
    public void Hit(FaultKind kind, bool duringChange, long times = 1)
    {
        _faults[(int)kind] += times;
        _duringChange[(int)kind] += duringChange ? times : 0;
    }

    /// <summary>A named schedule took place.</summary>
    public void Hit(NamedSchedule schedule) => _schedules[(int)schedule]++;

    /// <summary>Takes a run into account.</summary>
    public void Add(RunTally run)
    {
        for (int kind = 0; kind < Faults; kind++)
        {
            _faults[kind] += run._faults[kind];
            _duringChange[kind] += run._duringChange[kind];
            _seeds[kind] += run._faults[kind] > 0 ? 1 : 0;
            _seedsDuringChange[kind] += run._duringChange[kind] > 0 ? 1 : 0;
        }

        for (int schedule = 0; schedule < _schedules.Length; schedule++)
        {
            _schedules[schedule] += run._schedules[schedule];
        }
    }
}
