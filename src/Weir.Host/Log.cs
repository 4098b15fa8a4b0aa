using Microsoft.Extensions.Logging;

namespace Weir.Host;

/// <summary>
/// Every log line of the host, with its event id. Ids are kept for good: people filter by them.
/// <code>
/// id    level        what
/// 1000  Information  listening on an address
/// 1001  Information  stopped listening
/// 1002  Debug        a connection was opened
/// 1003  Debug        a connection ended
/// 1004  Warning      a peer broke the protocol
/// 1005  Warning      connections were refused: the limit is reached
/// 1006  Warning      accepting failed for the moment
/// 1007  Debug        an address could not be reached
/// 1008  Error        a connection failed by a defect of this program
/// 1009  Warning      fewer connections are accepted than the options allow, as the process may open few files
/// 1100  Critical     a node stopped by an exception
/// 1101  Error        a client stopped by an exception
/// 1102  Information  what a node has to say: a peer refused, a map it joined
/// 1103  Critical     a node was given up: a function of a user does not come back
/// 1200  Warning      nobody knows how an operation of the register in etcd ended, and why
/// 1201  Debug        a member of etcd could not be asked
/// 1202  Error        an operation of the register in etcd failed by a defect of this program
/// </code>
/// </summary>
internal static partial class Log
{
    [LoggerMessage(1000, LogLevel.Information, "listening on {Address}")]
    public static partial void Listening(ILogger log, string address);

    [LoggerMessage(1001, LogLevel.Information, "stopped listening on {Address}")]
    public static partial void StoppedListening(ILogger log, string address);

    [LoggerMessage(1002, LogLevel.Debug, "connected with {Peer} as link {Link}")]
    public static partial void Connected(ILogger log, string peer, long link);

    [LoggerMessage(1003, LogLevel.Debug, "the connection with {Peer}, link {Link}, ended: {Reason}")]
    public static partial void Disconnected(ILogger log, string peer, long link, string reason);

    [LoggerMessage(1004, LogLevel.Warning, "closing the connection with {Peer}: {Fault}")]
    public static partial void PeerFault(ILogger log, string peer, string fault);

    [LoggerMessage(1005, LogLevel.Warning, "{Address} refused {Count} connections since the last such line: all {Limit} allowed are in use")]
    public static partial void TooManyConnections(ILogger log, string address, long count, int limit);

    [LoggerMessage(1006, LogLevel.Warning, "{Address} could not accept a connection ({Reason}); it goes on after {WaitMs} ms")]
    public static partial void AcceptFailed(ILogger log, string address, string reason, int waitMs);

    [LoggerMessage(1007, LogLevel.Debug, "no connection: {Reason}")]
    public static partial void ConnectFailed(ILogger log, string reason);

    [LoggerMessage(1008, LogLevel.Error, "the connection with {Peer} failed by a defect")]
    public static partial void ConnectionDefect(ILogger log, Exception fault, string peer);

    [LoggerMessage(1009, LogLevel.Warning, "{Address} accepts at most {Most} connections and not {Wanted}: the process may not open more files. Raise that limit (ulimit -n)")]
    public static partial void FewFiles(ILogger log, string address, int most, int wanted);

    [LoggerMessage(1100, LogLevel.Critical, "{Node} stopped: an exception came out of it, and state that cannot be explained is not served")]
    public static partial void NodeFailed(ILogger log, Exception fault, string node);

    [LoggerMessage(1103, LogLevel.Critical, "{Node} is given up: {Reason}")]
    public static partial void NodeGivenUp(ILogger log, string node, string reason);

    [LoggerMessage(1102, LogLevel.Information, "{Node}: {Note}")]
    public static partial void NodeNote(ILogger log, string node, string note);

    [LoggerMessage(
        1200,
        LogLevel.Warning,
        "a {Operation} of {Key} in etcd ended without an outcome within {DeadlineMs} ms: {Said}. Do a majority of etcd's members run, and are they reached from here?")]
    public static partial void EtcdUnknown(ILogger log, string operation, string key, int deadlineMs, string said);

    [LoggerMessage(1201, LogLevel.Debug, "the etcd member {Member} could not be asked: {Fault}")]
    public static partial void EtcdMemberFailed(ILogger log, string member, string fault);

    [LoggerMessage(1202, LogLevel.Error, "an operation of {Key} in etcd failed by a defect; nobody knows how it ended")]
    public static partial void EtcdDefect(ILogger log, Exception fault, string key);

    [LoggerMessage(1101, LogLevel.Error, "{Client} stopped: an exception came out of it")]
    public static partial void ClientFailed(ILogger log, Exception fault, string client);
}
