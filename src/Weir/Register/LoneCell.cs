namespace Weir.Register;

/// <summary>
/// The plainest register: it remembers in memory only and answers at once. What the others are compared with; nothing that runs is given it.
/// </summary>
internal sealed class LoneCell : IRegister
{
    private readonly (ulong Version, ReadOnlyMemory<byte> Value)[] _cells = new (ulong, ReadOnlyMemory<byte>)[2];
    private readonly Queue<RegisterResult> _results = new();

    public void Read(RegisterCell cell, ulong ticket)
    {
        (ulong version, ReadOnlyMemory<byte> value) = _cells[(int)cell];
        _results.Enqueue(new RegisterResult(ticket, RegisterOutcome.Done, version, value));
    }

    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket)
    {
        ref (ulong Version, ReadOnlyMemory<byte> Value) content = ref _cells[(int)cell];
        RegisterOutcome outcome = RegisterOutcome.Mismatch;
        if (content.Version == expectedVersion)
        {
            content = (expectedVersion + 1, value);
            outcome = RegisterOutcome.Done;
        }

        _results.Enqueue(new RegisterResult(ticket, outcome, content.Version, content.Value));
    }

    public bool TryTakeResult(out RegisterResult result) => _results.TryDequeue(out result);
}
