using Weir.Cli;

namespace Weir.Tests.Cli;

/// <summary>One command line, run in this process.</summary>
/// <param name="Code">The exit code.</param>
/// <param name="Output">What it wrote to the output.</param>
/// <param name="Error">What it wrote to the error stream.</param>
internal sealed record ToolRun(int Code, string Output, string Error)
{
    public static async Task<ToolRun> Of(params string[] arguments)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();
        using var signals = new StopSignals();
        using CancellationTokenRegistration stop = TestContext.Current.CancellationToken.Register(() => signals.Stop("the test's end"));
        int code = await Tool.RunAsync(arguments, new ToolConsole(output, error, isTerminal: false), signals);
        return new ToolRun(code, output.ToString(), error.ToString());
    }

    /// <summary>The run ended with this code and complained in lines that each begin with the tool's name and show no stack.</summary>
    public void Complains(int code, string expected)
    {
        Assert.Equal(code, Code);
        Assert.Contains(expected, Error);
        Assert.All(Error.TrimEnd('\n').Split('\n'), line => Assert.StartsWith("weir: ", line));
        Assert.DoesNotContain("   at ", Error);
    }

    /// <summary>The run ended well and complained of nothing.</summary>
    public void IsDone()
    {
        Assert.Equal("", Error);
        Assert.Equal(ExitCode.Done, Code);
    }
}
