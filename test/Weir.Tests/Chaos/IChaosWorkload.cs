using Weir.Client;

namespace Weir.Tests.Chaos;

/// <summary>What runs beside the pushes of tokens through a round's fault, and is judged at its end.</summary>
internal interface IChaosWorkload : IAsyncDisposable
{
    /// <summary>What it is called in the report.</summary>
    string Name { get; }

    /// <summary>How much of it was done.</summary>
    long Steps { get; }

    /// <summary>Comes to its end and judges what it did. The fault is over, and pushes of tokens have ended.</summary>
    /// <param name="checker">Reads what stands in the cluster.</param>
    /// <param name="withinMs">It may take so long.</param>
    /// <exception cref="InvalidOperationException">What must hold does not.</exception>
    /// <exception cref="TimeoutException">It did not end in time.</exception>
    Task EndAsync(WeirClient checker, int withinMs);
}
