using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Weir.Keys;
using Weir.Tests.Repo;
using Weir.Wire;

namespace Weir.Tests.Wire;

/// <summary>docs/protocol.md says what the code does: its hex is decoded by the production readers, its tables are those of the enums.</summary>
public partial class ProtocolDocumentTests
{
    private static readonly string Document = Repository.Text("docs/protocol.md");

    private static readonly Dictionary<string, string> Blocks =
        HexBlock().Matches(Document).ToDictionary(m => m.Groups["name"].Value.Trim(), m => m.Groups["lines"].Value);

    /// <summary>The lines of a worked frame.</summary>
    public static string Block(string name) => Blocks[name];

    public static TheoryData<string> Names => [.. Blocks.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_hex_block_decodes_to_the_fields_beside_it_and_encodes_to_the_same_bytes(string name)
    {
        byte[] frame = FieldList.Parse(Blocks[name]);
        (FieldList fields, byte[] again) = FrameFields.Of(frame);
        Assert.Equal(Convert.ToHexString(frame), Convert.ToHexString(again));
        Assert.Equal(fields.Render(frame), Blocks[name]);
    }

    [Fact]
    public void The_frames_that_people_ask_for_are_worked()
    {
        Assert.Equal(
            [
                "Push", "Push Arithmetic", "Push Function", "PushReply Acked", "PushReply Gap", "Pull", "PullReply", "Pull Reduction", "PullReply Reduction", "Push PackedDelta", "Push BFloat16", "Push Int8",
                "PullReply Int8ZeroBitmap", "Pull Packed", "Pull Cached", "PullReply ZeroBitmap",
                "PushReply SendKeys", "Clock", "Sent", "OpenTable", "AdminReply", "AddWorkers", "RemoveWorker", "Begun", "ReadMapReply", "MapDifferences",
            ],
            Blocks.Keys);
    }

    [Fact]
    public void The_worked_keys_lie_in_their_segment_in_the_order_of_their_hash()
    {
        foreach (string name in new[] { "Push", "Pull" })
        {
            var reader = new DataRequestReader(FieldList.Parse(Blocks[name]).AsSpan(FrameHeader.Size));
            bool isPart = reader.NextPart(out PartHeader part, out ReadOnlySpan<byte> keys, out _);
            reader.NextItem(out PullItem item, out ReadOnlySpan<byte> itemKeys);
            ulong[] mixed = [.. MemoryMarshal.Cast<byte, ulong>(isPart ? keys : itemKeys).ToArray().Select(k => Mix.Of(k))];
            Assert.Equal(mixed.Order(), mixed);
            Assert.All(mixed, m => Assert.Equal(isPart ? part.Segment : item.Segment, (uint)(m >> 58)));
        }
    }

    [Fact]
    public void The_cached_keys_are_named_by_the_hash_of_the_packed_ones()
    {
        var packed = new DataRequestReader(FieldList.Parse(Blocks["Pull Packed"]).AsSpan(FrameHeader.Size));
        Assert.True(packed.NextItem(out PullItem item, out ReadOnlySpan<byte> bytes));
        ulong[] keys = new ulong[item.Rows];
        Assert.True(PackedKeys.TryReadPacked(bytes, keys));
        var cached = new DataRequestReader(FieldList.Parse(Blocks["Pull Cached"]).AsSpan(FrameHeader.Size));
        Assert.True(cached.NextItem(out _, out ReadOnlySpan<byte> hash));
        Assert.Equal(BinaryPrimitives.ReadUInt128LittleEndian(hash), KeyList.HashOf(keys, 7));
    }

    [Fact]
    public void The_tables_of_kinds_and_statuses_are_those_of_the_code()
    {
        Assert.Equal(Enum.GetValues<FrameKind>().Select(k => $"{(int)k} {k}"), Rows("kind"));
        Assert.Equal(Enum.GetValues<Status>().Select(s => $"{(int)s} {s}"), Rows("status"));
        Assert.Equal(Enum.GetValues<UpdateRuleKind>().Select(r => $"{(int)r} {r}"), Rows("rule"));
    }

    /// <summary>The first two cells of each row of the table whose second heading is the given one.</summary>
    private static IEnumerable<string> Rows(string heading) =>
        Regex.Match(Document, $@"^\| number \| {heading} \|.*\n\|[-|]+\n(?<rows>(\|.*\n)+)", RegexOptions.Multiline).Groups["rows"].Value
            .Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(row => row.Split('|'))
            .Select(cells => $"{cells[1].Trim()} {cells[2].Trim()}");

    [GeneratedRegex(@"^```hex (?<name>[^\n]+)\n(?<lines>.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex HexBlock();
}
