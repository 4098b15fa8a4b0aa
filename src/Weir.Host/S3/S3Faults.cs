using System.Globalization;
using System.Net;
using Amazon.Runtime;
using Amazon.S3;

namespace Weir.Host.S3;

/// <summary>Failures of a store of objects, each as a sentence that says what to do. Thread-safe.</summary>
internal sealed class S3Faults(S3Address address, Uri? endpoint, S3Options options)
{
    private string Endpoint => endpoint?.ToString() ?? "Amazon S3";

    /// <summary>Nobody said where the bucket is.</summary>
    public IOException NoRegion() => new($"{address}: no region is known: set AWS_REGION to the bucket's, or AWS_ENDPOINT_URL_S3 to the address of another store");

    /// <summary>What a failure means.</summary>
    /// <param name="what">What was to be done, as in "write a/b".</param>
    /// <param name="failure">What the client threw.</param>
    public IOException Describe(string what, Exception failure) => new($"{address}: could not {what}: {Text(failure)}", failure);

    private string Text(Exception failure) => failure switch
    {
        AmazonS3Exception refused => Refusal(refused),
        IOException => $"{Endpoint} broke off in the middle of an answer, {options.Attempts} times: check the network",
        OperationCanceledException => Slow(),
        AmazonServiceException { InnerException: OperationCanceledException or TimeoutException } => Slow(),
        HttpRequestException unreachable => Unreachable(unreachable),
        AmazonServiceException { InnerException: HttpRequestException unreachable } => Unreachable(unreachable),
        AmazonClientException none when none.Message.Contains("credentials", StringComparison.OrdinalIgnoreCase) =>
            "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE to a profile that has them",
        _ => failure.Message,
    };

    private string Slow() => string.Create(
        CultureInfo.InvariantCulture, $"{Endpoint} did not answer within {options.RequestMs / 1000.0:0.#} s, tried {options.Attempts} times: check that it is the right address, and the network");

    private string Unreachable(HttpRequestException failure) =>
        $"{Endpoint} cannot be reached ({(failure.InnerException ?? failure).Message}): check AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, and the network";

    private string Refusal(AmazonS3Exception refused) => refused.ErrorCode switch
    {
        "NoSuchBucket" => $"{Endpoint} has no bucket {address.Bucket}: create it, or correct its name",
        "InvalidAccessKeyId" => $"{Endpoint} does not know the access key: check AWS_ACCESS_KEY_ID, or the profile",
        "SignatureDoesNotMatch" => "the secret key is not the access key's: check AWS_SECRET_ACCESS_KEY, or the profile",
        "ExpiredToken" or "InvalidToken" or "TokenRefreshRequired" => "the credentials have expired: get new ones, and with them AWS_SESSION_TOKEN",
        "RequestTimeTooSkewed" => "this machine's clock is wrong: set it",
        "PermanentRedirect" or "AuthorizationHeaderMalformed" or "IllegalLocationConstraintException" =>
            $"bucket {address.Bucket} is in another region: set AWS_REGION to it ({refused.Message})",
        "SlowDown" or "ServiceUnavailable" or "InternalError" => $"{Endpoint} answered {refused.ErrorCode}, {options.Attempts} times: it is busy; try later, or less often",
        _ when refused.StatusCode == HttpStatusCode.Forbidden =>
            $"access is denied: the credentials in use need s3:ListBucket on bucket {address.Bucket} and s3:PutObject, s3:GetObject and s3:DeleteObject on {address}/*",
        _ when refused.InnerException is HttpRequestException unreachable => Unreachable(unreachable),
        _ when refused.InnerException is OperationCanceledException or TimeoutException => Slow(),
        _ => $"{Endpoint} answered {(int)refused.StatusCode} {refused.ErrorCode} ({refused.Message.ReplaceLineEndings(" ")}): check that a store of objects is there",
    };
}
