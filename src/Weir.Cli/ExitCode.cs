namespace Weir.Cli;

/// <summary>What the tool's exit code says to a script.</summary>
internal static class ExitCode
{
    /// <summary>Done.</summary>
    public const int Done = 0;

    /// <summary>The command line was right and the work failed, or was stopped by a signal.</summary>
    public const int Failed = 1;

    /// <summary>The command line is wrong; nothing was begun.</summary>
    public const int Usage = 2;
}
