using System.Globalization;
using Microsoft.Extensions.Logging;

namespace Weir.Cli;

/// <summary>Log lines as plain text, one a line: time (UTC), level, what writes, what it says. Thread-safe.</summary>
internal sealed class StandardErrorLog(TextWriter error, LogLevel least) : ILoggerFactory, ILoggerProvider
{
    public ILogger CreateLogger(string categoryName) => new Category(this, categoryName);

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException("the tool logs to its error stream only");

    public void Dispose()
    {
        // The stream is the caller's.
    }

    private sealed class Category(StandardErrorLog log, string name) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= log.Least && logLevel != LogLevel.None;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (IsEnabled(logLevel))
            {
                string time = DateTime.UtcNow.ToString("HH:mm:ss.fff", CultureInfo.InvariantCulture);
                log.Error.WriteLine($"{time} {logLevel.ToString().ToLowerInvariant()} {name}: {formatter(state, exception)}{(exception is null ? "" : $": {exception}")}");
            }
        }
    }

    private TextWriter Error => error;

    private LogLevel Least => least;
}
