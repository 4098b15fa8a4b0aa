using Weir.Keys;

namespace Weir.Placement;

/// <summary>The bytes of a map, as they stand in the register and cross the wire. Layout in docs/protocol.md.</summary>
internal static class MapEncoding
{
    private const byte DownOnWire = 0x80;

    // Epoch and appended are those of the chain before: most chains were made in one change.
    private const byte SameOnWire = 0x40;

    public static byte[] Encode(ClusterMap map)
    {
        byte[] bytes = new byte[Size(map)];
        var writer = new ByteWriter(bytes);
        writer.UInt64(map.Cluster);
        writer.UInt32(map.Generation);
        writer.UInt32((uint)map.SegmentBits);
        writer.UInt64(map.Version);
        writer.UInt64(map.NextSession);
        writer.UInt32(map.NextTable);
        writer.UInt32(map.NextGroup);
        writer.UInt64(map.ManagerTerm);
        writer.UInt64(map.ManagerNode);
        writer.Int32(map.Acceptors.Length);
        foreach (string acceptor in map.Acceptors)
        {
            writer.Text(acceptor);
        }

        writer.Int32(map.Members.Length);
        foreach (MapMember member in map.Members)
        {
            writer.UInt64(member.Node);
            writer.UInt64(member.Incarnation);
            writer.UInt32(member.WeightPercent);
            writer.Text(member.Address);
            writer.Text(member.Zone);
        }

        writer.Int32(map.Tables.Length);
        foreach (MapTable table in map.Tables)
        {
            writer.UInt32(table.Id);
            writer.Int32(table.Width);
            writer.Single(table.InitialValue);
            writer.UInt32(table.Aggregate ? 1u : 0u);
            writer.UInt32(table.Group);
            table.Rule.Write(ref writer);
            table.Lifetime.Write(ref writer);
            writer.Text(table.Name);
        }

        writer.Int32(map.Jobs.Length);
        foreach (MapJob job in map.Jobs)
        {
            writer.UInt32(job.Group);
            writer.Int32(job.Hosts);
            writer.UInt64(job.Nonce);
            writer.UInt64(job.Change.Announced);
            writer.UInt64(job.Change.Nonce);
            writer.Int64(job.Change.NotBefore);
            writer.Text(job.Name);
            writer.Int32(job.Workers.Length);
            foreach (MapWorker worker in job.Workers)
            {
                writer.UInt64(worker.Process);
                writer.UInt64(worker.Session);
                writer.Int64(worker.From);
                writer.Int64(worker.Through);
                writer.Int64(worker.FinishedThrough);
            }
        }

        writer.Int32(map.Processes.Length);
        foreach (MapProcess process in map.Processes)
        {
            writer.UInt64(process.Process);
            writer.UInt64(process.Incarnation);
            writer.UInt32(process.Group);
            writer.Text(process.Name);
        }

        writer.Int32(map.Sessions.Length);
        foreach (MapSession session in map.Sessions)
        {
            writer.UInt64(session.Session);
            writer.UInt64(session.Process);
        }

        writer.Int32(map.Losses.Length);
        foreach (MapLoss loss in map.Losses)
        {
            writer.UInt64(loss.Node);
            writer.Int32(loss.Segments);
            writer.UInt64(loss.Rows);
            writer.Text(loss.Address);
        }

        writer.Int32(map.Replicas);
        MapChain before = default;
        foreach (MapChain chain in map.Chains)
        {
            bool same = IsOfSameVersions(chain, before);
            writer.Byte((byte)(chain.Members.Length | (chain.IsDown ? DownOnWire : 0) | (same ? SameOnWire : 0)));
            foreach (ChainMember member in chain.Members)
            {
                writer.UInt16((ushort)member.Member);
            }

            if (!same)
            {
                writer.UInt64(chain.Epoch);
                foreach (ChainMember member in chain.Members)
                {
                    writer.UInt64((member.Appended << 1) | (member.IsComplete ? 1UL : 0));
                }
            }

            before = chain;
        }

        return bytes;
    }

    /// <summary>The bytes that <see cref="Encode"/> gives for a map.</summary>
    public static int Size(ClusterMap map) =>
        8 + 4 + 4 + 8 + 8 + 4 + 4 + 8 + 8 + (7 * 4)
        + map.Acceptors.Sum(ByteWriter.TextBytes)
        + map.Members.Sum(m => 20 + ByteWriter.TextBytes(m.Address) + ByteWriter.TextBytes(m.Zone))
        + map.Tables.Sum(t => 20 + UpdateRule.EncodedBytes + KeyLifetime.EncodedBytes + ByteWriter.TextBytes(t.Name))
        + map.Jobs.Sum(j => 44 + ByteWriter.TextBytes(j.Name) + (j.Workers.Length * 40))
        + map.Processes.Sum(p => 20 + ByteWriter.TextBytes(p.Name))
        + (map.Sessions.Length * 16)
        + map.Losses.Sum(l => 20 + ByteWriter.TextBytes(l.Address))
        + 4 + ChainBytes(map.Chains);

    /// <summary>Reads foreign bytes; false where they make no sense or contradict themselves.</summary>
    public static bool TryDecode(ReadOnlySpan<byte> bytes, out ClusterMap map)
    {
        map = null!;
        var reader = new ByteReader(bytes);
        ulong cluster = reader.UInt64();
        uint generation = reader.UInt32();
        uint segmentBits = reader.UInt32();
        ulong version = reader.UInt64(), nextSession = reader.UInt64();
        uint nextTable = reader.UInt32(), nextGroup = reader.UInt32();
        ulong managerTerm = reader.UInt64(), managerNode = reader.UInt64();
        var acceptors = new string[reader.Count(2)];
        for (int i = 0; i < acceptors.Length; i++)
        {
            acceptors[i] = reader.Text();
        }

        if (segmentBits is < ClusterMap.MinSegmentBits or > ClusterMap.MaxSegmentBits)
        {
            return false;
        }

        var members = new MapMember[reader.Count(24)];
        for (int i = 0; i < members.Length; i++)
        {
            ulong node = reader.UInt64(), incarnation = reader.UInt64();
            uint weight = reader.UInt32();
            members[i] = new MapMember(node, incarnation, reader.Text(), weight, reader.Text());
        }

        MapTable[]? tables = ReadTables(ref reader);
        if (tables is null)
        {
            return false;
        }

        MapJob[] jobs = ReadJobs(ref reader);
        var processes = new MapProcess[reader.Count(22)];
        for (int i = 0; i < processes.Length; i++)
        {
            processes[i] = new MapProcess(reader.UInt64(), reader.UInt64(), reader.UInt32(), reader.Text());
        }

        var sessions = new MapSession[reader.Count(16)];
        for (int i = 0; i < sessions.Length; i++)
        {
            sessions[i] = new MapSession(reader.UInt64(), reader.UInt64());
        }

        var losses = new MapLoss[reader.Count(22)];
        for (int i = 0; i < losses.Length; i++)
        {
            ulong node = reader.UInt64();
            int segments = reader.Int32();
            ulong rows = reader.UInt64();
            losses[i] = new MapLoss(node, reader.Text(), segments, rows);
        }

        int replicas = reader.Int32();
        MapChain[]? chains = ReadChains(ref reader, 1 << (int)segmentBits);
        if (chains is null || !reader.AtEnd)
        {
            return false;
        }

        map = new ClusterMap
        {
            Cluster = cluster,
            Generation = generation,
            SegmentBits = (int)segmentBits,
            Version = version,
            NextSession = nextSession,
            NextTable = nextTable,
            NextGroup = nextGroup,
            ManagerTerm = managerTerm,
            ManagerNode = managerNode,
            Acceptors = acceptors,
            Members = members,
            Tables = tables,
            Jobs = jobs,
            Processes = processes,
            Sessions = sessions,
            Losses = losses,
            Replicas = replicas,
            Chains = chains,
        };
        return MapSoundness.IsSound(map);
    }

    private static MapTable[]? ReadTables(ref ByteReader reader)
    {
        var tables = new MapTable[reader.Count(22 + UpdateRule.EncodedBytes + KeyLifetime.EncodedBytes)];
        for (int i = 0; i < tables.Length; i++)
        {
            uint id = reader.UInt32();
            int width = reader.Int32();
            float initial = reader.Single();
            uint aggregate = reader.UInt32(), group = reader.UInt32();
            if (!UpdateRule.TryRead(ref reader, out UpdateRule rule) || !KeyLifetime.TryRead(ref reader, out KeyLifetime lifetime))
            {
                return null;
            }

            tables[i] = new MapTable(id, reader.Text(), width, rule, initial, aggregate != 0, group, lifetime);
        }

        return tables;
    }

    private static MapJob[] ReadJobs(ref ByteReader reader)
    {
        var jobs = new MapJob[reader.Count(46)];
        for (int i = 0; i < jobs.Length; i++)
        {
            uint group = reader.UInt32();
            int hosts = reader.Int32();
            ulong nonce = reader.UInt64();
            var change = new MapChange(reader.UInt64(), reader.UInt64(), reader.Int64());
            string name = reader.Text();
            var workers = new MapWorker[reader.Count(40)];
            for (int w = 0; w < workers.Length; w++)
            {
                workers[w] = new MapWorker(reader.UInt64(), reader.UInt64(), reader.Int64(), reader.Int64(), reader.Int64());
            }

            jobs[i] = new MapJob(group, name, hosts, nonce, change, workers);
        }

        return jobs;
    }

    private static MapChain[]? ReadChains(ref ByteReader reader, int segments)
    {
        // Nothing is allocated for segments that the bytes do not hold: a short frame may name 2^17 of them.
        if (reader.Failed || reader.Left < segments)
        {
            return null;
        }

        var chains = new MapChain[segments];
        for (int segment = 0; segment < segments; segment++)
        {
            byte head = reader.Byte();
            int count = head & ~(DownOnWire | SameOnWire);
            if (reader.Left < count * sizeof(ushort))
            {
                return null;
            }

            var members = new ChainMember[count];
            for (int place = 0; place < count; place++)
            {
                members[place] = new ChainMember(reader.UInt16(), 0, false);
            }

            MapChain before = segment == 0 ? default : chains[segment - 1];
            bool same = (head & SameOnWire) != 0;
            if (same && before.Members?.Length != count)
            {
                return null;
            }

            ulong epoch = same ? before.Epoch : reader.UInt64();
            for (int place = 0; place < count; place++)
            {
                ChainMember version = default;
                if (same)
                {
                    version = before.Members![place];
                }
                else
                {
                    ulong appended = reader.UInt64();
                    version = new ChainMember(0, appended >> 1, (appended & 1) != 0);
                }

                members[place] = version with { Member = members[place].Member };
            }

            chains[segment] = new MapChain(epoch, members, (head & DownOnWire) != 0);
        }

        return reader.Failed ? null : chains;
    }

    private static int ChainBytes(MapChain[] chains)
    {
        int bytes = 0;
        MapChain before = default;
        foreach (MapChain chain in chains)
        {
            bytes += 1 + (sizeof(ushort) * chain.Members.Length) + (IsOfSameVersions(chain, before) ? 0 : sizeof(ulong) * (1 + chain.Members.Length));
            before = chain;
        }

        return bytes;
    }

    private static bool IsOfSameVersions(in MapChain chain, in MapChain before)
    {
        if (before.Members is not { } known || chain.Epoch != before.Epoch || chain.Members.Length != known.Length)
        {
            return false;
        }

        bool same = true;
        for (int place = 0; same && place < known.Length; place++)
        {
            same = chain.Members[place] with { Member = 0 } == known[place] with { Member = 0 };
        }

        return same;
    }
}
