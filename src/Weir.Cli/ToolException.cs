namespace Weir.Cli;

/// <summary>The work cannot go on; the message is one sentence that a person can act on.</summary>
internal sealed class ToolException(string message, Exception? inner = null) : Exception(message, inner);
