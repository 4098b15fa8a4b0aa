using System.Text;
using Weir.Cli;

// Lines are read by scripts: no byte order mark, and flushed one by one, since the reader may be waiting for one.
var encoding = new UTF8Encoding(encoderShouldEmitUTF8Identifier: false);
using var output = new StreamWriter(Console.OpenStandardOutput(), encoding) { AutoFlush = true };
using var error = new StreamWriter(Console.OpenStandardError(), encoding) { AutoFlush = true };
using StopSignals signals = StopSignals.Listen();
return await Tool.RunAsync(args, new ToolConsole(output, error, isTerminal: !Console.IsOutputRedirected), signals);
