using System.CommandLine;

namespace Weir.Cli.Processes;

/// <summary>What kind of sockets the processes of a run talk over.</summary>
internal enum Transport
{
    /// <summary>TCP, loopback unless a server was told otherwise: what two machines use.</summary>
    Tcp,

    /// <summary>Unix domain sockets: one machine, one user, less work for the system.</summary>
    Unix,
}

/// <summary>The option of the transport.</summary>
internal static class TransportOption
{
    /// <summary><c>--transport tcp|unix</c>.</summary>
    public static Option<Transport> Create(string help) => new("--transport")
    {
        Description = help,
        HelpName = "tcp|unix",
        DefaultValueFactory = _ => Transport.Tcp,
        CustomParser = result =>
        {
            switch (result.Tokens[0].Value.ToLowerInvariant())
            {
                case "tcp":
                    return Transport.Tcp;
                case "unix":
                    return Transport.Unix;
                default:
                    result.AddError($"--transport is '{result.Tokens[0].Value}'; it must be tcp or unix");
                    return Transport.Tcp;
            }
        },
    };
}
