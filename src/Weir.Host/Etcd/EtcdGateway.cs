using System.Net;
using System.Net.Http.Headers;
using Weir.Host.Sockets;

namespace Weir.Host.Etcd;

/// <summary>What became of one request to one member.</summary>
/// <param name="Answer">The answer; null where there was none that can be used.</param>
/// <param name="Fault">Why there was none, in words that a person can act on.</param>
/// <param name="MayTakePlace">The request left more often than it was answered, so that a copy of it may take place at any time.</param>
/// <param name="IsFinal">Every other member would say the same: there is no use in asking on.</param>
internal readonly record struct EtcdAttempt(EtcdAnswer? Answer, string Fault, bool MayTakePlace, bool IsFinal = false);

/// <summary>
/// Sends requests to members of an etcd cluster through their JSON gateway, one request to one member at a time; it repeats nothing. Thread-safe.
/// </summary>
internal sealed class EtcdGateway : IDisposable
{
    /// <summary>The most bytes of an answer: the largest value etcd takes unless told otherwise, in base64, twice.</summary>
    private const int MaxAnswerBytes = 4 << 20;

    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        // A cluster's register is asked directly, whatever proxies the environment names.
        UseProxy = false,
        AllowAutoRedirect = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(2),
    })
    {
        // Each request has a deadline of its own.
        Timeout = Timeout.InfiniteTimeSpan,
        MaxResponseContentBufferSize = MaxAnswerBytes,
    };

    /// <summary>Asks one member.</summary>
    /// <param name="member">Which.</param>
    /// <param name="path"><see cref="EtcdMessages.ReadPath"/> or <see cref="EtcdMessages.SwapPath"/>.</param>
    /// <param name="body">The request.</param>
    /// <param name="key">The key that it is about, for messages.</param>
    /// <param name="waitMs">How long to wait for the answer.</param>
    /// <param name="cancellation">Ends the wait; the outcome is then as after the wait.</param>
    public async Task<EtcdAttempt> AskAsync(HostAddress member, string path, byte[] body, string key, int waitMs, CancellationToken cancellation)
    {
        using var wait = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        wait.CancelAfter(waitMs);
        using var content = new CountedContent(body);
        try
        {
            string host = member.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? "127.0.0.1" : member.Host;
            var url = new UriBuilder(Uri.UriSchemeHttp, host, member.Port, path);
            using HttpResponseMessage response = await _http.PostAsync(url.Uri, content, wait.Token).ConfigureAwait(false);
            byte[] answer = await response.Content.ReadAsByteArrayAsync(wait.Token).ConfigureAwait(false);
            return response.StatusCode == HttpStatusCode.OK
                ? new EtcdAttempt(EtcdMessages.Answer(answer, key), "", MayTakePlace: content.Sends > 1)
                : Refusal(response.StatusCode, EtcdMessages.Error(answer), content.Sends);
        }
        catch (EtcdAnswerException fault)
        {
            // Foreign content stays; an answer that makes no sense may be a middleman's.
            return new EtcdAttempt(null, fault.Message, MayTakePlace: true, IsFinal: fault.InnerException is null);
        }
        catch (OperationCanceledException)
        {
            return new EtcdAttempt(null, $"no answer within {waitMs} ms", MayTakePlace: content.Sends > 0);
        }
        catch (Exception fault) when (fault is HttpRequestException or IOException)
        {
            return new EtcdAttempt(null, fault.InnerException?.Message ?? fault.Message, MayTakePlace: content.Sends > 0);
        }
    }

    public void Dispose() => _http.Dispose();

    private static EtcdAttempt Refusal(HttpStatusCode status, string text, int sends) => status switch
    {
        // What etcd refuses before it proposes it cannot take place. Anything else it may have proposed: "request timed out" for instance.
        HttpStatusCode.BadRequest when text.Contains("too large", StringComparison.Ordinal) => new EtcdAttempt(
            null, $"{text}: start etcd with a larger --max-request-bytes, or end jobs, sessions and tables", sends > 1, IsFinal: true),
        HttpStatusCode.BadRequest => new EtcdAttempt(null, $"refused the request: {text}", sends > 1, IsFinal: true),
        HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden => new EtcdAttempt(
            null, $"asks for a user ({text}): Weir knows none; let the network alone decide who reaches etcd", sends > 1, IsFinal: true),
        HttpStatusCode.NotFound or HttpStatusCode.MethodNotAllowed => new EtcdAttempt(
            null, "has no JSON gateway there: is the port that of etcd's clients, its version 3.4 or later, and --enable-grpc-gateway not off?", sends > 1),
        _ => new EtcdAttempt(null, $"answered {(int)status}: {text}", MayTakePlace: true),
    };

    /// <summary>
    /// A body that counts how often it left: one that never did cannot take place. The runtime repeats a request only where its body has not left; were
    /// it to do more, that would be counted as a copy that may take place.
    /// </summary>
    private sealed class CountedContent : HttpContent
    {
        private readonly byte[] _body;
        private int _sends;

        public CountedContent(byte[] body)
        {
            _body = body;
            Headers.ContentType = new MediaTypeHeaderValue("application/json");
        }

        public int Sends => Volatile.Read(ref _sends);

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context)
        {
            Interlocked.Increment(ref _sends);
            return stream.WriteAsync(_body).AsTask();
        }

        protected override bool TryComputeLength(out long length)
        {
            length = _body.Length;
            return true;
        }
    }
}
