using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Weir.Tests.Host;

/// <summary>Keeps every line, as a person would read it.</summary>
internal sealed class RecordingLog : ILogger, ILoggerFactory
{
    public ConcurrentQueue<string> Lines { get; } = new();

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Lines.Enqueue($"{logLevel} {eventId.Id} {formatter(state, exception)}");

    public ILogger CreateLogger(string categoryName) => this;

    // It is its own only provider: a test that adds another would look for its lines in the wrong place.
    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

    public void Dispose()
    {
    }
}
