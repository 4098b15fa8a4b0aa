using Microsoft.Extensions.Logging;
using Weir.Register;

namespace Weir.Host.Etcd;

/// <summary>What stands in etcd under a cluster's prefix.</summary>
internal static class EtcdPrefix
{
    private const int LookMs = 10;

    /// <summary>Whether a cluster has ever written its map there, running or not; false also where etcd does not say, which a server's start then does.</summary>
    /// <param name="address">The members and the prefix.</param>
    /// <param name="log">Hears what etcd has to say.</param>
    /// <param name="cancellation">Ends the wait, which <see cref="EtcdOptions.DeadlineMs"/> bounds.</param>
    public static async Task<bool> IsUsedAsync(EtcdAddress address, ILogger log, CancellationToken cancellation)
    {
        await using var register = new EtcdRegister(address, EtcdOptions.Default, log, static () => { });
        register.Read(RegisterCell.Map, ticket: 1);
        RegisterResult result;
        while (!register.TryTakeResult(out result))
        {
            await Task.Delay(LookMs, cancellation);
        }

        return result is { Outcome: RegisterOutcome.Done, Version: > 0 };
    }
}
