namespace Weir.Host;

/// <summary>Gathers what is wrong with a set of options, so that a person mends all of it at once.</summary>
internal sealed class OptionFaults
{
    private readonly List<string> _faults = [];

    public void Range(string name, long value, long lowest, long highest)
    {
        if (value < lowest || value > highest)
        {
            _faults.Add($"{name} is {value}, and must be from {lowest} to {highest}");
        }
    }

    public void That(bool holds, string fault)
    {
        if (!holds)
        {
            _faults.Add(fault);
        }
    }

    public void ThrowIfAny()
    {
        if (_faults.Count > 0)
        {
            throw new ArgumentException(string.Join("; ", _faults));
        }
    }
}
