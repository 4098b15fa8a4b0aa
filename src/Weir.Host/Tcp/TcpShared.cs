using Microsoft.Extensions.Logging;
using Weir.Host.Loops;

namespace Weir.Host.Tcp;

/// <summary>What the connections of one network have in common.</summary>
internal sealed record TcpShared(TcpOptions Options, IFrameSink Sink, TransportTally Tally, UnfinishedBytes Unfinished, ILogger Log);
