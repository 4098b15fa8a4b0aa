using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Weir.Tests.Chaos;

/// <summary>Stops processes in whatever they do, and lets them go on as if no time had passed.</summary>
internal static partial class ProcessSignals
{
    private const int Sigstop = 19;
    private const int Sigcont = 18;

    public static void Stop(Process process) => Send(process, Sigstop);

    public static void Continue(Process process) => Send(process, Sigcont);

    private static void Send(Process process, int signal)
    {
        if (!process.HasExited)
        {
            Assert.Equal(0, Kill(process.Id, signal));
        }
    }

    [LibraryImport("libc", EntryPoint = "kill")]
    private static partial int Kill(int process, int signal);
}
