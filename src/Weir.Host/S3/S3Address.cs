using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;

namespace Weir.Host.S3;

/// <summary>
/// Where checkpoints are kept in a store of objects, as people write it: <c>s3://bucket</c> or <c>s3://bucket/prefix</c>. Each object's key is the prefix,
/// a slash, and the object's name. Immutable.
/// </summary>
internal sealed partial record S3Address
{
    /// <summary>What such an address begins with.</summary>
    public const string Scheme = "s3://";

    private const string Example = "for instance s3://models/training";

    private S3Address(string bucket, string prefix) => (Bucket, Prefix) = (bucket, prefix);

    /// <summary>The bucket's name.</summary>
    public string Bucket { get; }

    /// <summary>What the key of every object begins with: nothing, or some names each with a slash behind it.</summary>
    public string Prefix { get; }

    /// <summary>Whether a text is meant as such an address, right or wrong.</summary>
    public static bool IsMeant(string text) => text.StartsWith("s3:", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads an address.</summary>
    /// <returns>False with a sentence that says what is wrong.</returns>
    public static bool TryParse(string? text, [NotNullWhen(true)] out S3Address? address, [NotNullWhen(false)] out string? fault)
    {
        address = null;
        if (text?.StartsWith(Scheme, StringComparison.Ordinal) != true)
        {
            fault = $"'{text}' is no address of a store: write s3://bucket/prefix, {Example}";
            return false;
        }

        string[] parts = text[Scheme.Length..].TrimEnd('/').Split('/');
        if (!Buckets().IsMatch(parts[0]))
        {
            fault = $"'{text}' is no address of a store: a bucket's name has 3 to 63 lower-case letters, digits, '-' and '.', {Example}";
            return false;
        }

        if (Array.Exists(parts[1..], part => !Names().IsMatch(part)))
        {
            fault = $"'{text}' is no address of a store: a prefix has names of letters, digits, '.', '_' and '-' with single slashes between them, {Example}";
            return false;
        }

        (address, fault) = (new S3Address(parts[0], string.Concat(parts[1..].Select(part => part + '/'))), null);
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Scheme}{Bucket}/{Prefix}".TrimEnd('/');

    [GeneratedRegex(@"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\z")]
    private static partial Regex Buckets();

    // Two dots alone would lead elsewhere where a server keeps objects in folders.
    [GeneratedRegex(@"^(?!\.{1,2}\z)[A-Za-z0-9._-]+\z")]
    private static partial Regex Names();
}
