using System.Net;
using System.Net.Sockets;
using System.Text;
using Amazon.Runtime;
using Weir.Host.S3;
using Weir.Tests.Register;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>What may go wrong between a checkpoint and its bucket is said in words that a person can act on, and never passes for success.</summary>
public sealed class S3StoreTests
{
    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    [Theory]
    [InlineData("s3://bucket", "s3://bucket", "")]
    [InlineData("s3://bucket/", "s3://bucket", "")]
    [InlineData("s3://my.models-2/a/b.c/", "s3://my.models-2/a/b.c", "a/b.c/")]
    public void An_address_names_a_bucket_and_a_prefix(string text, string written, string prefix)
    {
        Assert.True(S3Address.TryParse(text, out S3Address? address, out _));
        Assert.Equal((written, prefix), (address.ToString(), address.Prefix));
    }

    [Theory]
    [InlineData("s3:/bucket/a", "write s3://bucket/prefix")]
    [InlineData("S3://bucket/a", "write s3://bucket/prefix")]
    [InlineData("s3://", "a bucket's name has 3 to 63")]
    [InlineData("s3:///a", "a bucket's name has 3 to 63")]
    [InlineData("s3://Bucket/a", "a bucket's name has 3 to 63")]
    [InlineData("s3://bucket/a//b", "a prefix has names of letters")]
    [InlineData("s3://bucket/a/../b", "a prefix has names of letters")]
    [InlineData("s3://bucket/a b", "a prefix has names of letters")]
    public void What_is_no_address_is_refused_with_what_to_write(string text, string expected)
    {
        Assert.True(S3Address.IsMeant(text));
        Assert.False(S3Address.TryParse(text, out _, out string? fault));
        Assert.Contains(expected, fault, StringComparison.Ordinal);
        Assert.Contains(expected, Assert.Throws<ArgumentException>(() => new S3Store(text)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_out_of_range_are_all_named()
    {
        string message = Assert.Throws<ArgumentException>(() => new S3Store("s3://bucket", new S3Options { RequestMs = 1, Attempts = 0 })).Message;
        Assert.Contains("RequestMs is 1", message, StringComparison.Ordinal);
        Assert.Contains("Attempts is 0", message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_bucket_that_is_not_there_and_a_key_that_is_not_known_are_told_apart()
    {
        S3Server.SkipIfMissing();
        await using S3Server server = await S3Server.StartAsync();
        foreach ((S3Store store, string expected) in ((S3Store, string)[])[
            (server.Store("c", bucket: "nobody-made-it"), "has no bucket nobody-made-it: create it, or correct its name"),
            (server.Store("c", key: "SOMEBODY"), "does not know the access key: check AWS_ACCESS_KEY_ID")])
        {
            using (store)
            {
                await FailsAsync(expected, () => store.WriteAsync("one/a", [new byte[] { 1 }], Cancellation));
                await FailsAsync(expected, () => store.ListAsync("", Cancellation));
                await FailsAsync(expected, () => store.ReadAsync("one/a", new byte[200], Cancellation));
                await FailsAsync(expected, () => store.DeleteAsync("one/a", Cancellation));
            }
        }
    }

    [Fact]
    public async Task Nobody_at_the_endpoint_is_said_with_what_to_check()
    {
        using S3Store store = At(EtcdCluster.FreePorts(1)[0]);
        await FailsAsync("cannot be reached", () => store.ListAsync("", Cancellation));
        await FailsAsync("check AWS_ENDPOINT_URL_S3", () => store.WriteAsync("one/a", [new byte[] { 1 }], Cancellation));
    }

    [Fact]
    public async Task One_that_never_answers_is_given_up_after_the_stated_time()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        using S3Store store = At(((IPEndPoint)silent.LocalEndpoint).Port, 300);
        await FailsAsync("did not answer within 0.3 s, tried 2 times", () => store.ReadAsync("one/a", new byte[200], Cancellation));
    }

    [Theory]
    [InlineData(403, "AccessDenied", "access is denied: the credentials in use need s3:ListBucket on bucket bucket")]
    [InlineData(403, "SignatureDoesNotMatch", "the secret key is not the access key's: check AWS_SECRET_ACCESS_KEY")]
    [InlineData(503, "SlowDown", "answered SlowDown, 2 times: it is busy")]
    [InlineData(400, "ExpiredToken", "the credentials have expired")]
    [InlineData(400, "AuthorizationHeaderMalformed", "is in another region: set AWS_REGION")]
    [InlineData(403, "RequestTimeTooSkewed", "this machine's clock is wrong")]
    [InlineData(500, "", "answered 500")]
    [InlineData(404, "", "answered 404")]
    public async Task What_a_store_answers_is_said_with_what_to_do(int status, string code, string expected)
    {
        string body = code.Length == 0 ? "<html>not a store</html>" : $"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>words of the store</Message></Error>";
        using var canned = new CannedMember(status, body);
        using S3Store store = At(canned.Port);
        await FailsAsync(expected, () => store.WriteAsync("one/a", [new byte[] { 1 }], Cancellation));
        await FailsAsync(expected, () => store.ListAsync("", Cancellation));
    }

    [Fact]
    public async Task An_answer_that_breaks_off_is_asked_for_again_and_then_given_up()
    {
        int asked = 0;
        using var server = new RawServer(_ =>
        {
            asked++;
            return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly so much";
        });
        using S3Store store = At(server.Port);
        await FailsAsync("broke off in the middle of an answer, 2 times", () => store.ReadAsync("one/a", new byte[200], Cancellation));
        Assert.Equal(2, asked);
    }

    [Fact]
    public async Task More_objects_than_fit_one_answer_are_all_listed_and_what_is_no_checkpoint_s_is_passed_over()
    {
        static string Page(string rest) =>
            $"<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>{rest}</ListBucketResult>";
        static string Object(string key, int bytes) => $"<Contents><Key>{key}</Key><Size>{bytes}</Size></Contents>";
        using var server = new RawServer(head =>
        {
            string page = head.Contains("continuation-token=next", StringComparison.Ordinal)
                ? Page($"<IsTruncated>false</IsTruncated>{Object("c/two/b", 8)}")
                : Page($"<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>{Object("c/one/a", 7)}{Object("c/readme.txt", 1)}{Object("c/one/below/a", 1)}");
            return $"HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {page.Length}\r\n\r\n{page}";
        });
        using S3Store store = At(server.Port);
        Assert.Equal([new StoredObject("one/a", 7), new StoredObject("two/b", 8)], await store.ListAsync("", Cancellation));
    }

    /// <summary>Some keep the frames of Amazon's chunks with the bytes: the object is then longer than what was written, and no checkpoint.</summary>
    [Fact]
    public async Task A_store_that_keeps_something_else_than_it_was_given_is_found_out()
    {
        using var server = new RawServer(head => head.StartsWith("HEAD", StringComparison.Ordinal)
            ? "HTTP/1.1 200 OK\r\nContent-Length: 87\r\n\r\n"
            : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        using S3Store store = At(server.Port);
        await FailsAsync("3 bytes of one/a were written and 87 are there", () => store.WriteAsync("one/a", [new byte[] { 1, 2, 3 }], Cancellation));
    }

    private static S3Store At(int port, int requestMs = 20_000) => new(
        "s3://bucket/c", new S3Options { Endpoint = new Uri($"http://127.0.0.1:{port}"), RequestMs = requestMs, Attempts = 2 }, new BasicAWSCredentials("key", "secret"));

    private static async Task FailsAsync(string expected, Func<Task> call)
    {
        IOException failure = await Assert.ThrowsAsync<IOException>(call);
        Assert.StartsWith("s3://", failure.Message);
        Assert.Contains(expected, failure.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("\n", failure.Message, StringComparison.Ordinal);
    }

    /// <summary>Answers a request whose body is short with what it is told, and closes.</summary>
    private sealed class RawServer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);

        public RawServer(Func<string, string> answer)
        {
            _listener.Start();
            _ = Task.Run(() => ServeAsync(answer));
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public void Dispose() => _listener.Dispose();

        private async Task ServeAsync(Func<string, string> answer)
        {
            byte[] some = new byte[1 << 16];
            try
            {
                while (true)
                {
                    using TcpClient client = await _listener.AcceptTcpClientAsync();
                    NetworkStream stream = client.GetStream();
                    string request = "";
                    while (!request.Contains("\r\n\r\n", StringComparison.Ordinal))
                    {
                        int count = await stream.ReadAsync(some);
                        request = count == 0 ? request + "\r\n\r\n" : request + Encoding.Latin1.GetString(some, 0, count);
                        if (request.Contains("Expect: 100-continue", StringComparison.OrdinalIgnoreCase) && request.EndsWith("\r\n\r\n", StringComparison.Ordinal))
                        {
                            await stream.WriteAsync("HTTP/1.1 100 Continue\r\n\r\n"u8.ToArray());
                            _ = await stream.ReadAsync(some);
                        }
                    }

                    await stream.WriteAsync(Encoding.Latin1.GetBytes(answer(request).Replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", StringComparison.Ordinal)));
                }
            }
            catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException)
            {
                // The test is over.
            }
        }
    }
}
