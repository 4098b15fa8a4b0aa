using Weir.Register;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// The operations of one node on the register: each has a ticket of its own, whoever asked for it, and ends where it was begun. Not thread-safe.
/// </summary>
internal sealed class RegisterCalls(IRegister register)
{
    private readonly Dictionary<ulong, Action<RegisterResult, Instant>> _open = [];
    private ulong _lastTicket;

    /// <summary>Reads a cell; <paramref name="ended"/> is called by <see cref="Advance"/>.</summary>
    public void Read(RegisterCell cell, Action<RegisterResult, Instant> ended) => register.Read(cell, Ticket(ended));

    /// <summary>Swaps a cell; <paramref name="ended"/> is called by <see cref="Advance"/>.</summary>
    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, Action<RegisterResult, Instant> ended) =>
        register.CompareAndSwap(cell, expectedVersion, value, Ticket(ended));

    /// <summary>Hands out what has ended. To be called at the end of each turn.</summary>
    /// <returns>Whether anything had.</returns>
    public bool Advance(Instant now)
    {
        bool any = false;
        while (register.TryTakeResult(out RegisterResult result))
        {
            any = true;
            if (_open.Remove(result.Ticket, out Action<RegisterResult, Instant>? ended))
            {
                ended(result, now);
            }
        }

        return any;
    }

    private ulong Ticket(Action<RegisterResult, Instant> ended)
    {
        _open.Add(++_lastTicket, ended);
        return _lastTicket;
    }
}
