using System.Diagnostics.CodeAnalysis;
using System.IO.Hashing;
using System.Text;
using System.Text.RegularExpressions;
using Weir.Host.Sockets;

namespace Weir.Host.Etcd;

/// <summary>
/// Where a cluster's register is in etcd, as people write it: <c>etcd://host:port[,host:port...]/prefix</c>. The members of one etcd cluster, of
/// which any that answers will do, and what the keys of this Weir cluster begin with. Immutable.
/// </summary>
internal sealed partial record EtcdAddress
{
    private const string Scheme = "etcd://";
    private const string Example = "for instance etcd://10.0.0.1:2379,10.0.0.2:2379/weir/training";

    private EtcdAddress(IReadOnlyList<HostAddress> members, string prefix) => (Members, Prefix) = (members, prefix);

    /// <summary>At least one, none twice.</summary>
    public IReadOnlyList<HostAddress> Members { get; }

    /// <summary>Begins with a slash and ends without.</summary>
    public string Prefix { get; }

    /// <summary>
    /// The number of the cluster that keeps its map there, not 0: the prefix names the cluster, so every server that is told the same prefix has the
    /// same number without a word between them.
    /// </summary>
    public ulong ClusterNumber => XxHash3.HashToUInt64(Encoding.UTF8.GetBytes(Prefix)) | 1;

    /// <summary>Reads an address.</summary>
    /// <returns>False with a sentence that says what is wrong.</returns>
    public static bool TryParse(string? text, [NotNullWhen(true)] out EtcdAddress? address, [NotNullWhen(false)] out string? fault)
    {
        address = null;
        if (text?.StartsWith(Scheme, StringComparison.Ordinal) != true)
        {
            fault = $"'{text}' is no register: write etcd://host:port/prefix, {Example}";
            return false;
        }

        int slash = text.IndexOf('/', Scheme.Length);
        string prefix = slash < 0 ? "" : text[slash..].TrimEnd('/');
        if (!Prefixes().IsMatch(prefix))
        {
            fault = $"'{text}' is no register: each cluster needs a prefix of its own behind the addresses, of letters, digits, '.', '_', '-' and '/', {Example}";
            return false;
        }

        List<HostAddress> members = [];
        foreach (string part in text[Scheme.Length..slash].Split(','))
        {
            if (!HostAddress.TryParse(part, out HostAddress member, out fault))
            {
                fault = $"'{text}' is no register: {fault}";
                return false;
            }

            if (member.Path is not null || member.IsAnyPort)
            {
                fault = $"'{text}' is no register: '{part}' is not where an etcd member is reached; write its client port, mostly 2379";
                return false;
            }

            if (members.Contains(member))
            {
                fault = $"'{text}' is no register: it names {member} twice";
                return false;
            }

            members.Add(member);
        }

        (address, fault) = (new EtcdAddress(members, prefix), null);
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Scheme}{string.Join(',', Members)}{Prefix}";

    [GeneratedRegex(@"^(/[A-Za-z0-9._-]+)+\z")]
    private static partial Regex Prefixes();
}
