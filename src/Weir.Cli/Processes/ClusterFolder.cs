using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Weir.Cli.Reports;

namespace Weir.Cli.Processes;

/// <summary>What a cluster of processes is, so that it can be started again: written into its folder at the first start.</summary>
/// <param name="Number">The cluster's number, 16 hexadecimal digits.</param>
/// <param name="Servers">How many servers.</param>
/// <param name="Replicas">How many of them hold a segment beside the one that leads it.</param>
/// <param name="RegisterPeers">How many of them keep the map; 0 where an etcd does.</param>
/// <param name="Addresses">Where they listen, in their order.</param>
internal sealed record ClusterRecord(string Number, int Servers, int Replicas, int RegisterPeers, string[] Addresses);

/// <summary>
/// The folder of a cluster of processes on this machine that is to survive them: <c>cluster.json</c>, and for each server a folder with its journal and,
/// where it keeps the map, its acceptor's records.
/// </summary>
internal sealed class ClusterFolder
{
    private readonly string _folder;

    private ClusterFolder(string folder, ClusterRecord cluster) => (_folder, Cluster) = (folder, cluster);

    public ClusterRecord Cluster { get; }

    /// <summary>Opens the folder of a cluster, or makes it for a new one.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="set">The servers that are wanted: where the cluster was started before, the same as then.</param>
    /// <param name="listen">Where those of a new cluster listen.</param>
    /// <exception cref="ToolException">The folder is another cluster's, or cannot be used.</exception>
    public static ClusterFolder Open(string folder, ServerSet set, ListenAddresses listen)
    {
        string path = Path.Combine(folder, "cluster.json");
        try
        {
            Directory.CreateDirectory(folder);
            if (!File.Exists(path))
            {
                string number = (BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8)) | 1).ToString("x16", CultureInfo.InvariantCulture);
                HashSet<string> addresses = [];
                while (addresses.Count < set.Servers)
                {
                    addresses.Add(listen.NextFixed());
                }

                JsonFile.Write(path, new ClusterRecord(number, set.Servers, set.Replicas, set.RegisterPeers, [.. addresses]), ReportJson.Default.ClusterRecord);
            }

            ClusterRecord known = JsonSerializer.Deserialize(File.ReadAllText(path), ReportJson.Default.ClusterRecord) ?? throw new JsonException("it is empty");
            return (known.Servers, known.Replicas, known.RegisterPeers) == (set.Servers, set.Replicas, set.RegisterPeers) && known.Addresses.Length == set.Servers
                ? new ClusterFolder(folder, known)
                : throw new ToolException(
                    $"{folder} has a cluster that was started with --servers {known.Servers} --replicas {known.Replicas}{(known.RegisterPeers == 0 ? " --register" : $" --register-peers {known.RegisterPeers}")}: start it with the same, or name an empty folder for a new one");
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new ToolException($"{path}: it does not say what cluster this folder has, or cannot be used: {fault.Message}", fault);
        }
    }

    /// <summary>Where a server keeps its journal.</summary>
    public string JournalOf(int server) => Path.Combine(ServerFolder(server), "journal");

    /// <summary>Where a server that keeps the map keeps it.</summary>
    public string RegisterOf(int server) => Path.Combine(ServerFolder(server), "register");

    /// <summary>What is known of a server's acceptor: it never ran before where its folder was never made.</summary>
    public string StartOf(int server) => File.Exists(Path.Combine(RegisterOf(server), "owner")) ? "again" : "first";

    private string ServerFolder(int server) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"server-{server + 1}"));
}
