using Microsoft.Extensions.Logging;
using Weir.Host.Loops;

namespace Weir.Host.Sockets;

/// <summary>What the connections of one network have in common.</summary>
internal sealed record SocketShared(SocketOptions Options, IFrameSink Sink, TransportTally Tally, UnfinishedBytes Unfinished, ILogger Log);
