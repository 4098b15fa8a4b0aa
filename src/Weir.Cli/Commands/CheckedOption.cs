using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Weir.Checkpoints;
using Weir.Host.Etcd;
using Weir.Host.S3;
using Weir.Host.Sockets;
using Weir.Keys;

namespace Weir.Cli.Commands;

/// <summary>Options whose values are checked while they are parsed, with messages that name the range.</summary>
internal static class CheckedOption
{
    /// <summary>A whole number with a default.</summary>
    public static Option<long> Whole(string name, string help, long standard, long least, long most, string form = "N") => new(name)
    {
        Description = help,
        HelpName = form,
        DefaultValueFactory = _ => standard,
        CustomParser = result => ParseWhole(result, name, least, most) ?? standard,
    };

    /// <summary>A whole number that may be left out.</summary>
    public static Option<long?> WholeOrNone(string name, string help, long least, long most, string form = "N") => new(name)
    {
        Description = help,
        HelpName = form,
        CustomParser = result => ParseWhole(result, name, least, most),
    };

    /// <summary>A number that may be left out.</summary>
    public static Option<double?> Real(string name, string help, bool zeroAllowed, string form) => new(name)
    {
        Description = help,
        HelpName = form,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            bool read = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value);

            // The rules compute in float, so a value that is none there is out of range.
            if (read && float.IsFinite((float)value) && (value > 0 || (zeroAllowed && value == 0)))
            {
                return value;
            }

            result.AddError($"{name} is '{text}'; it must be a number {(zeroAllowed ? "of at least 0" : "above 0")}");
            return null;
        },
    };

    /// <summary>A text such as a path.</summary>
    public static Option<string?> Text(string name, string help, string form) => new(name) { Description = help, HelpName = form };

    /// <summary>A path that must be given.</summary>
    public static Option<string> RequiredText(string name, string help, string form) => new(name) { Description = help, HelpName = form, Required = true };

    /// <summary>Where checkpoints are: a folder, or a prefix of a bucket.</summary>
    public static Option<string?> Checkpoints(string name, string help, bool required) => new(name)
    {
        Description = help,
        HelpName = "DIR|s3://BUCKET/PREFIX",
        Required = required,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            string? fault = text.Length == 0 ? "it is empty, and must be a folder or s3://bucket/prefix" : null;
            if (fault is null && (!S3Address.IsMeant(text) || S3Address.TryParse(text, out _, out fault)))
            {
                return text;
            }

            result.AddError($"{name}: {fault}");
            return null;
        },
    };

    /// <summary>The name of a checkpoint.</summary>
    public static Option<string?> CheckpointName(string help) => new("--name")
    {
        Description = help,
        HelpName = "NAME",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            try
            {
                CheckpointCatalog.CheckName(text);
            }
            catch (ArgumentException fault)
            {
                result.AddError($"--name: {fault.Message.Split(" (Parameter")[0]}");
            }

            return text;
        },
    };

    /// <summary>The namespace that a command works in.</summary>
    public static Option<string> Namespace(string help) => new("--namespace")
    {
        Description = $"{help} Default: the default namespace.",
        HelpName = "NAME",
        DefaultValueFactory = _ => "",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (QualifiedName.NamespaceFault(text) is { } fault)
            {
                result.AddError($"--namespace: {fault}");
            }

            return text;
        },
    };

    /// <summary>One of some words; of those that are planned the error says so.</summary>
    public static Option<string> Word(string name, string help, string[] known, string[] planned, string standard) => new(name)
    {
        Description = help,
        HelpName = string.Join('|', known),
        DefaultValueFactory = _ => standard,
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value.ToLowerInvariant();
            if (!known.Contains(text))
            {
                string choice = known.Length == 1 ? $"only {known[0]} is supported so far" : $"it must be {string.Join(", ", known[..^1])} or {known[^1]}";
                result.AddError($"{name} is '{result.Tokens[0].Value}'; {(planned.Contains(text) ? $"it is planned, {choice}" : choice)}");
            }

            return text;
        },
    };

    /// <summary>One address; <paramref name="anyPort"/> allows port 0, which makes sense for listening only.</summary>
    public static Option<string?> Address(string name, string help, bool anyPort) => new(name)
    {
        Description = help,
        HelpName = "HOST:PORT|unix:PATH",
        CustomParser = result => ParseAddress(result, name, result.Tokens[0].Value, anyPort),
    };

    /// <summary>One or more addresses, separated by commas.</summary>
    public static Option<string[]?> Addresses(string name, string help) => new(name)
    {
        Description = help,
        HelpName = "ADDRESS,...",
        CustomParser = result =>
        {
            string[] texts = result.Tokens[0].Value.Split(',', StringSplitOptions.TrimEntries);
            return Array.TrueForAll(texts, text => ParseAddress(result, name, text, anyPort: false) is not null) ? texts : null;
        },
    };

    /// <summary>A register that is not the cluster's own: an etcd.</summary>
    public static Option<string?> Etcd(string name, string help) => new(name)
    {
        Description = help,
        HelpName = "etcd://HOST:PORT,.../PREFIX",
        CustomParser = result =>
        {
            if (EtcdAddress.TryParse(result.Tokens[0].Value, out EtcdAddress? address, out string? fault))
            {
                return address.ToString();
            }

            result.AddError($"{name}: {fault}");
            return null;
        },
    };

    /// <summary>Whether the command line names the option.</summary>
    public static bool IsGiven(this SymbolResult result, Option option) => result.GetResult(option) is { Implicit: false };

    private static long? ParseWhole(ArgumentResult result, string name, long least, long most)
    {
        string text = result.Tokens[0].Value;
        if (long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= least && value <= most)
        {
            return value;
        }

        string range = most == long.MaxValue ? $"of at least {least:N0}" : $"from {least:N0} to {most:N0}";
        result.AddError($"{name} is '{text}'; it must be a whole number {range}");
        return null;
    }

    private static string? ParseAddress(ArgumentResult result, string name, string text, bool anyPort)
    {
        if (!HostAddress.TryParse(text, out HostAddress address, out string? fault))
        {
            result.AddError($"{name}: {fault}");
            return null;
        }

        if (address.IsAnyPort && !anyPort)
        {
            result.AddError($"{name}: '{text}' has port 0, where nobody can be reached; take the address that `weir serve` printed");
            return null;
        }

        return text;
    }
}
