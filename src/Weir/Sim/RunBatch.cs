
namespace Weir.Sim;

/// <summary>What the runs of many seeds came to together, and what they failed to try. Not thread-safe.</summary>
internal sealed class RunBatch
{
    /// <summary>A smaller batch cannot be expected to hit everything.</summary>
    public const int CoveringSeeds = 1000;

    private readonly RunTally _tally = new();
    private readonly List<RunOutcome> _violations = [];

    public int Seeds { get; private set; }

    public long SimulatedMs { get; private set; }

    public long Events { get; private set; }

    public long Pushes { get; private set; }

    public long Acknowledged { get; private set; }

    public RunTally Tally => _tally;

    /// <summary>The runs in which something was broken.</summary>
    public IReadOnlyList<RunOutcome> Violations => _violations;

    public void Add(RunOutcome outcome)
    {
        Seeds++;
        SimulatedMs += outcome.SimulatedMs;
        Events += outcome.Events;
        Pushes += outcome.Pushes;
        Acknowledged += outcome.Acknowledged;
        _tally.Add(outcome.Tally);
        if (outcome.Violation is not null)
        {
            _violations.Add(outcome);
        }
    }

    /// <summary>
    /// What so many seeds should have hit and did not: each kind of fault in one seed of a hundred, half of those while a chain was being changed,
    /// and each named schedule once (design section 12).
    /// </summary>
    public IEnumerable<string> Missing()
    {
        if (Seeds < CoveringSeeds)
        {
            yield break;
        }

        foreach (FaultKind kind in Enum.GetValues<FaultKind>())
        {
            if (_tally.Seeds(kind) * 100L < Seeds)
            {
                yield return $"{kind} was hit in {_tally.Seeds(kind)} of {Seeds} seeds; one in a hundred is the least";
            }

            if (_tally.SeedsDuringChange(kind) * 200L < Seeds || _tally.SeedsDuringChange(kind) * 2 < _tally.Seeds(kind))
            {
                yield return $"{kind} was hit while a chain was being changed in {_tally.SeedsDuringChange(kind)} of the {_tally.Seeds(kind)} seeds that had it; half is the least";
            }
        }

        foreach (NamedSchedule schedule in Enum.GetValues<NamedSchedule>())
        {
            if (_tally.Count(schedule) == 0)
            {
                yield return $"no seed hit the schedule {schedule}";
            }
        }
    }
}
