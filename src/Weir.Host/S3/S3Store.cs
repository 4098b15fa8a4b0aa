using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Weir.Checkpoints;
using Weir.World;

namespace Weir.Host.S3;

/// <summary>
/// Checkpoints in Amazon S3, or in another store that speaks its protocol: each object of a checkpoint is an object there, written by one request that
/// takes place as a whole or not at all. Credentials are those that every AWS program finds: the environment, a profile, the machine's or the
/// container's role. Every failure is an <see cref="IOException"/> whose message says what to do. Thread-safe; processes may share a prefix for
/// checkpoints of different names.
/// </summary>
public sealed class S3Store : ICheckpointStore, IDisposable
{
    private const int RetryMs = 200;

    private readonly S3Address _address;
    private readonly S3Options _options;
    private readonly S3Faults _faults;
    private readonly Lazy<AmazonS3Client> _client;

    /// <summary>A store; nothing is asked of it yet.</summary>
    /// <param name="address"><c>s3://bucket</c> or <c>s3://bucket/prefix</c>.</param>
    /// <param name="options">How it is reached; null for the defaults.</param>
    /// <exception cref="ArgumentException">The address is none, or an option is out of range.</exception>
    public S3Store(string address, S3Options? options = null)
        : this(address, options, null)
    {
    }

    /// <summary>A store with credentials of its own, for tests.</summary>
    internal S3Store(string address, S3Options? options, AWSCredentials? credentials)
    {
        if (!S3Address.TryParse(address, out S3Address? parsed, out string? fault))
        {
            throw new ArgumentException(fault, nameof(address));
        }

        _options = options ?? S3Options.Default;
        _options.Validate();
        _address = parsed;
        Uri? endpoint = _options.Endpoint ?? EndpointOfEnvironment();
        _faults = new S3Faults(parsed, endpoint, _options);
        _client = new Lazy<AmazonS3Client>(() => Open(endpoint, credentials));
    }

    /// <inheritdoc/>
    /// <exception cref="IOException">It is not known to be there.</exception>
    public async Task WriteAsync(string name, IReadOnlyList<ReadOnlyMemory<byte>> pieces, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(pieces);
        string key = KeyOf(name);
        using var bytes = new PieceStream(pieces);
        await TryAsync($"write {name}", (client, stop) =>
        {
            bytes.Position = 0;

            // One signed body: the store checks its SHA-256 before it keeps it. Stores that do not know Amazon's chunks would keep their frames too.
            return client.PutObjectAsync(
                new PutObjectRequest { BucketName = _address.Bucket, Key = key, InputStream = bytes, AutoCloseStream = false, UseChunkEncoding = false }, stop);
        }, cancellation).ConfigureAwait(false);
        GetObjectMetadataResponse written = await TryAsync(
            $"look at {name}",
            (client, stop) => client.GetObjectMetadataAsync(new GetObjectMetadataRequest { BucketName = _address.Bucket, Key = key }, stop),
            cancellation).ConfigureAwait(false);
        if (written.ContentLength != bytes.Length)
        {
            throw new IOException(
                $"{_address}: {bytes.Length} bytes of {name} were written and {written.ContentLength} are there: the store does not keep what it is given, and is of no use for checkpoints");
        }
    }

    /// <inheritdoc/>
    public Task<long?> ReadAsync(string name, Memory<byte> into, CancellationToken cancellation)
    {
        string key = KeyOf(name);
        return TryAsync($"read {name}", (client, stop) => ReadOnceAsync(client, key, into, stop), cancellation);
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<StoredObject>> ListAsync(string checkpoint, CancellationToken cancellation) => TryAsync<IReadOnlyList<StoredObject>>("list its objects", async (client, stop) =>
    {
        List<StoredObject> found = [];
        string within = _address.Prefix + (checkpoint.Length > 0 ? checkpoint + "/" : "");
        string? next = null;
        do
        {
            ListObjectsV2Response page = await client.ListObjectsV2Async(
                new ListObjectsV2Request { BucketName = _address.Bucket, Prefix = within, ContinuationToken = next }, stop).ConfigureAwait(false);
            foreach (S3Object one in page.S3Objects ?? [])
            {
                // Whatever else somebody keeps below the prefix is none of a checkpoint.
                string name = one.Key[_address.Prefix.Length..];
                if (IsName(name))
                {
                    found.Add(new StoredObject(name, one.Size ?? 0));
                }
            }

            next = page.IsTruncated == true ? page.NextContinuationToken : null;
        }
        while (next is not null);
        return found;
    }, cancellation);

    /// <inheritdoc/>
    public Task DeleteAsync(string name, CancellationToken cancellation)
    {
        string key = KeyOf(name);
        return TryAsync($"delete {name}", (client, stop) => client.DeleteObjectAsync(new DeleteObjectRequest { BucketName = _address.Bucket, Key = key }, stop), cancellation);
    }

    /// <summary>Closes its connections.</summary>
    public void Dispose()
    {
        if (_client.IsValueCreated)
        {
            _client.Value.Dispose();
        }
    }

    private static Uri? EndpointOfEnvironment()
    {
        foreach (string variable in (ReadOnlySpan<string>)["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
        {
            if (Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text)
            {
                return Uri.TryCreate(text, UriKind.Absolute, out Uri? endpoint) && endpoint.Scheme is "http" or "https"
                    ? endpoint
                    : throw new ArgumentException($"{variable} is '{text}'; it must be http://host:port or https://host:port");
            }
        }

        return null;
    }

    private AmazonS3Client Open(Uri? endpoint, AWSCredentials? credentials)
    {
        var config = new AmazonS3Config
        {
            RetryMode = RequestRetryMode.Standard,
            MaxErrorRetry = _options.Attempts - 1,
            Timeout = TimeSpan.FromMilliseconds(_options.RequestMs),

            // Blocks have checksums of their own, and what is sent is signed: more of them would come as trailers, which not every store knows.
            RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED,
            ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED,
        };
        string? region = _options.Region
            ?? Environment.GetEnvironmentVariable("AWS_REGION")
            ?? Environment.GetEnvironmentVariable("AWS_DEFAULT_REGION");
        if (endpoint is not null)
        {
            (config.ServiceURL, config.ForcePathStyle, config.AuthenticationRegion) = (endpoint.ToString(), true, region ?? "us-east-1");
        }
        else
        {
            config.RegionEndpoint = region is { Length: > 0 } ? RegionEndpoint.GetBySystemName(region) : FallbackRegionFactory.GetRegionEndpoint();
            if (config.RegionEndpoint is null)
            {
                throw _faults.NoRegion();
            }
        }

        return credentials is null ? new AmazonS3Client(config) : new AmazonS3Client(credentials, config);
    }

    private async Task<long?> ReadOnceAsync(AmazonS3Client client, string key, Memory<byte> into, CancellationToken stop)
    {
        GetObjectResponse response;
        try
        {
            response = await client.GetObjectAsync(new GetObjectRequest { BucketName = _address.Bucket, Key = key }, stop).ConfigureAwait(false);
        }
        catch (AmazonS3Exception missing) when (missing.ErrorCode == "NoSuchKey")
        {
            return null;
        }

        using (response)
        {
            await response.ResponseStream.ReadExactlyAsync(into[..(int)Math.Min(into.Length, response.ContentLength)], stop).ConfigureAwait(false);
            return response.ContentLength;
        }
    }

    /// <summary>
    /// Makes a request, and makes it again where its answer broke off: the client repeats what fails before that. Every failure says what to do.
    /// </summary>
    private async Task<T> TryAsync<T>(string what, Func<AmazonS3Client, CancellationToken, Task<T>> request, CancellationToken cancellation)
    {
        AmazonS3Client client = _client.Value;
        for (int attempt = 1; ; attempt++)
        {
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
            limit.CancelAfter(TimeSpan.FromMilliseconds((double)_options.RequestMs * _options.Attempts));
            try
            {
                return await request(client, limit.Token).ConfigureAwait(false);
            }
            catch (Exception failure) when (!cancellation.IsCancellationRequested)
            {
                if (failure is not IOException || attempt == _options.Attempts)
                {
                    throw _faults.Describe(what, failure);
                }
            }

            await Task.Delay(RetryMs * attempt, cancellation).ConfigureAwait(false);
        }
    }

    private static bool IsName(string name)
    {
        string[] parts = name.Split('/');
        return parts.Length == 2 && Array.TrueForAll(parts, CheckpointCatalog.IsName);
    }

    private string KeyOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return IsName(name) ? _address.Prefix + name : throw new ArgumentException($"an object's name is checkpoint/object; '{name}' is none", nameof(name));
    }
}
