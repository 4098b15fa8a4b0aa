using System.Globalization;
using Weir.Keys;
using Weir.Placement;
using Weir.Store;

namespace Weir.Server;

/// <summary>
/// What the namespaces with a quota may have in rows at this node (PS-6; docs/decisions/0106). A node that heads h of the cluster's S segments gives each h/S of its quota, of the rows that it
/// heads: the heads together give the quota, wherever segments move, and none of them asks another. Who follows refuses nothing, as the head has decided.
/// </summary>
internal sealed class NamespaceQuotas(NodeState node)
{
    private const double BytesOfMegabyte = 1e6;

    private readonly Dictionary<uint, Share> _shares = [];

    /// <summary>A namespace's share at this node, and its tables.</summary>
    private sealed record Share(MapNamespace Of, long Bytes, uint[] Tables);

    /// <summary>Takes over a map, in which this node heads so many segments.</summary>
    public void Adopt(ClusterMap map, int headed)
    {
        _shares.Clear();
        if (map.Namespaces.Length == 0)
        {
            return;
        }

        Dictionary<string, MapNamespace> quotas = map.Namespaces.ToDictionary(n => n.Name);
        foreach (IGrouping<string, MapTable> tables in map.Tables.GroupBy(t => QualifiedName.Parse(t.Name).Namespace))
        {
            if (quotas.TryGetValue(tables.Key, out MapNamespace? limited))
            {
                // The product of two positive longs may be above the largest.
                var share = new Share(limited, (long)((Int128)limited.QuotaBytes * headed / map.Segments), [.. tables.Select(t => t.Id)]);
                foreach (MapTable table in tables)
                {
                    _shares.Add(table.Id, share);
                }
            }
        }
    }

    /// <summary>How many rows more a table may have here, in segments that this node heads; <see cref="long.MaxValue"/> where its namespace has no quota.</summary>
    public long RowsLeft(uint table, SegmentRows rows) =>
        _shares.TryGetValue(table, out Share? share) ? Math.Max(0, share.Bytes - Used(share).Bytes) / rows.CountedBytesOfRow : long.MaxValue;

    /// <summary>Why a push to a table that would have needed more rows than are left waits; empty where its namespace has no quota any more, so that it goes on soon.</summary>
    public string Refusal(uint table)
    {
        if (!_shares.TryGetValue(table, out Share? share))
        {
            return "";
        }

        (long bytes, int tables) = Used(share);
        (string name, long quota) = share.Of;
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{QualifiedName.Describe(name)} is over its quota: {bytes / BytesOfMegabyte:0.###} MB of rows in {tables} tables at {node.Options.Address}, of {share.Bytes / BytesOfMegabyte:0.###} MB for the segments led there, and a push needs more; "
            + $"it has {quota / BytesOfMegabyte:0.###} MB on all servers. Raise that with `weir namespace {(name.Length == 0 ? "\"\"" : name)} --quota-mb N`, delete rows, or let rows expire");
    }

    private (long Bytes, int Tables) Used(Share share)
    {
        long bytes = 0;
        int tables = 0;
        foreach (uint id in share.Tables)
        {
            if (node.Tables.TryGetValue(id, out TableRows? rows))
            {
                bytes += rows.CountedRows * rows.CountedBytesOfRow;
                tables += rows.CountedRows > 0 ? 1 : 0;
            }
        }

        return (bytes, tables);
    }
}
