using System.Text.RegularExpressions;

namespace Weir.Tests.Repo;

/// <summary>In C# a folder is no wall by itself; these tests make the rooms of src/Weir one. eng/rooms.txt is the rule.</summary>
public class RoomTests
{
    private static readonly IReadOnlyList<SourceText> Core = Repository.Sources("src/Weir");
    private static readonly string[] RoomNames = [.. Repository.Rooms.Select(room => room.Room)];

    [Fact]
    public void A_room_names_only_rooms_that_stand_above_it_in_the_list()
    {
        for (int i = 0; i < RoomNames.Length; i++)
        {
            Assert.Subset(RoomNames[..i].ToHashSet(), Repository.Rooms[i].MayName.ToHashSet());
        }
    }

    [Fact]
    public void Every_file_of_the_core_lies_in_a_room() =>
        Assert.All(Core, source => Assert.Contains(source.Room, RoomNames));

    [Fact]
    public void A_folder_is_a_namespace() =>
        Assert.All(
            Repository.Sources("src").Where(source => source.Types.Count > 0),
            source => Assert.True(source.Namespace == source.FolderNamespace, $"{source.File} declares namespace {source.Namespace}"));

    [Fact]
    public void A_file_of_the_core_names_only_the_rooms_that_its_own_may_name()
    {
        ILookup<string?, string> typesOfRoom = Core.SelectMany(source => source.Types, (source, type) => (source.Room, type.Name))
            .ToLookup(pair => pair.Room, pair => pair.Name);
        Assert.Empty(Core.SelectMany(source => ForbiddenMentions(source, typesOfRoom)));
    }

    [Theory]
    [InlineData("using Weir.Server;", true)]
    [InlineData("using Rows = Weir.Store.SegmentRows;", true)]
    [InlineData("class C { Store.SegmentRows rows; }", true)]
    [InlineData("class C { int Store; int M() => Store.Length; }", false)]
    [InlineData("// using Weir.Server;\nusing Weir.Keys;", false)]
    [InlineData("class C { string s = \"Weir.Server\"; }", false)]
    public void The_check_of_rooms_sees_code_and_only_code(string code, bool forbidden)
    {
        ILookup<string?, string> types = new[] { ("Store", "SegmentRows") }.ToLookup(pair => (string?)pair.Item1, pair => pair.Item2);
        Assert.Equal(forbidden, ForbiddenMentions(SourceText.Parse("src/Weir/Wire/X.cs", code), types).Any());
    }

    [Fact]
    public void A_type_never_bears_the_name_of_a_room() =>
        Assert.Empty(Core.SelectMany(source => source.Types.Select(type => type.Name)).Intersect(RoomNames));

    [Fact]
    public void No_using_is_global_so_that_every_file_shows_what_it_names()
    {
        Assert.All(Repository.Sources("src"), source => Assert.DoesNotMatch(@"\bglobal\s+using\b", source.Code));
        Assert.All(
            Repository.Files.Where(file => Regex.IsMatch(file, @"^(src/.*\.csproj|Directory\..*\.props)$")),
            file => Assert.DoesNotMatch(@"<Using\s+Include", Repository.Text(file)));
    }

    // A room is named as Weir.Room, or, since all rooms share the root namespace, as Room.Type.
    private static IEnumerable<string> ForbiddenMentions(SourceText source, ILookup<string?, string> typesOfRoom)
    {
        string[] mayName = Repository.Rooms.Single(room => room.Room == source.Room).MayName;
        foreach (string room in RoomNames.Where(room => room != source.Room && !mayName.Contains(room)))
        {
            bool inFull = Regex.IsMatch(source.Code, $@"\bWeir\s*\.\s*{room}\b");
            bool inShort = Regex.Matches(source.Code, $@"(?<![\w.]){room}\s*\.\s*(\w+)").Any(match => typesOfRoom[room].Contains(match.Groups[1].Value));
            if (inFull || inShort)
            {
                yield return $"{source.File} names {room}; eng/rooms.txt allows {source.Room} to name: {string.Join(' ', mayName)}";
            }
        }
    }
}
