using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using Weir.Host;
using Weir.Host.Loops;
using Weir.Host.Sockets;
using Weir.World;

namespace Weir.Tests.Host;

public class InlineCompletionsTests
{
    private const string Variable = "WEIR_INLINE_TO";

    /// <summary>The setting is read once a process, so a process of its own makes it; that one is this test again.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_node_runs_on_the_threads_that_wait_for_sockets_where_that_was_asked_for_first(bool inline)
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no such setting");
        }

        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } file)
        {
            if (inline == file.EndsWith(nameof(inline), StringComparison.Ordinal))
            {
                await File.WriteAllTextAsync(file, await ThreadsAsync(inline), TestContext.Current.CancellationToken);
            }

            return;
        }

        string told = Path.GetTempFileName() + (inline ? nameof(inline) : "");
        var start = new ProcessStartInfo(
            "dotnet", [typeof(InlineCompletionsTests).Assembly.Location, "-method", $"*{nameof(A_node_runs_on_the_threads_that_wait_for_sockets_where_that_was_asked_for_first)}"])
        {
            RedirectStandardOutput = true,
        };
        start.Environment[Variable] = told;
        start.Environment.Remove("DOTNET_SYSTEM_NET_SOCKETS_INLINE_COMPLETIONS");
        using Process other = Process.Start(start)!;
        string output = await other.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await other.WaitForExitAsync(TestContext.Current.CancellationToken);
        Assert.True(File.Exists(told), output);
        Assert.Equal(inline, (await File.ReadAllTextAsync(told, TestContext.Current.CancellationToken)).Contains(".NET Sockets", StringComparison.Ordinal));
        File.Delete(told);
    }

    private static async Task<string> ThreadsAsync(bool inline)
    {
        if (inline)
        {
            WeirHost.UseInlineCompletions();
        }

        var threads = new ConcurrentDictionary<string, bool>();
        await using var server = new EchoServer();
        await using var network = new SocketNetwork(SocketOptions.Default, NullLogger.Instance);
        var machine = new NamingMachine(new CallingMachine(network), threads);
        await using var loop = new ClientLoop(machine, new HostTimers(), NullLogger.Instance, "client");
        network.Attach(loop);
        LinkId link = network.Open(server.Address);
        for (ulong i = 0; i < 100; i++)
        {
            await machine.Calls.CallAsync(link, TestFrames.Make(FramePool.Shared, i, 100));

            // The caller's own code comes after a call, and may block: it is not on such a thread.
            Assert.NotEqual(".NET Sockets", Thread.CurrentThread.Name);
        }

        return string.Join('\n', threads.Keys);
    }

    private sealed class NamingMachine(CallingMachine calls, ConcurrentDictionary<string, bool> threads) : IMachine
    {
        public CallingMachine Calls => calls;

        public void Receive(LinkId link, FrameBuffer frame, Instant now)
        {
            threads[Thread.CurrentThread.Name ?? ""] = true;
            calls.Receive(link, frame, now);
        }

        public void LinkDown(LinkId link, string reason, Instant now) => calls.LinkDown(link, reason, now);

        public void Tick(Instant now)
        {
        }

        public void EndTurn()
        {
        }
    }
}
