using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace Weir.Tests.Repo;

/// <summary>What keeps the core a pure machine: the compiler holds the ban lists, and these tests hold that it gets them.</summary>
public class BanTests
{
    [Theory]
    [InlineData("src/Weir/Weir.csproj", "BannedSymbols.txt")]
    [InlineData("src/Weir/Weir.csproj", "BannedSymbols.Files.txt")]
    [InlineData("src/Weir.Learn/Weir.Learn.csproj", "BannedSymbols.txt")]
    public void The_pure_projects_carry_the_ban_lists(string project, string list)
    {
        XDocument xml = XDocument.Parse(Repository.Text(project));
        Assert.Contains(Included(xml, "AdditionalFiles"), file => file.EndsWith("eng/" + list, StringComparison.Ordinal));
        Assert.Contains("Microsoft.CodeAnalysis.BannedApiAnalyzers", Included(xml, "PackageReference"));
        Assert.DoesNotContain("RS0030", Repository.Text(project) + Repository.Text("Directory.Build.props") + Repository.Text(".editorconfig"));
    }

    [Theory]
    [InlineData("Task.ConfigureAwait(System.Boolean)")]
    [InlineData("Task`1.ConfigureAwait(System.Boolean)")]
    [InlineData("ValueTask.ConfigureAwait(System.Boolean)")]
    [InlineData("ValueTask`1.ConfigureAwait(System.Boolean)")]
    [InlineData("Task.Run(System.Action)")]
    [InlineData("Task.Run(System.Func{System.Threading.Tasks.Task})")]
    [InlineData("Task.Run``1(System.Func{``0})")]
    public void What_leaves_the_simulator_s_thread_is_banned(string member) =>
        Assert.Contains(Repository.Lines("eng/BannedSymbols.txt"), line => line.StartsWith($"M:System.Threading.Tasks.{member};", StringComparison.Ordinal));

    // The ban list names overloads one by one; the text has them all, extension methods too.
    [Theory]
    [InlineData("src/Weir")]
    [InlineData("src/Weir.Learn")]
    public void No_overload_of_ConfigureAwait_or_Task_Run_is_called_in(string project) =>
        Assert.All(Repository.Sources(project), source => Assert.DoesNotMatch(@"\bConfigureAwait\s*\(|\bTask\s*\.\s*Run\b", source.Code));

    /// <summary>Leases and silence are spans: a wall clock that is set must not make them longer or shorter.</summary>
    [Fact]
    public void The_host_counts_time_by_the_monotonic_clock_alone() =>
        Assert.All(Repository.Sources("src/Weir.Host"), source => Assert.DoesNotMatch(@"\bDateTime(Offset)?\s*\.\s*(Utc)?Now\b", source.Code));

    [Fact]
    public void In_Weir_Learn_only_the_Data_room_opens_files()
    {
        string[] fileTypes =
        [
            .. Repository.Lines("eng/BannedSymbols.Files.txt")
                .Select(line => Regex.Match(line, @"^T:System\.IO\.(\w+);"))
                .Where(match => match.Success)
                .Select(match => match.Groups[1].Value),
        ];
        Assert.Contains("File", fileTypes);
        // The namespace itself, a call on one of its file types, or a new one: System.IO is an implicit using.
        string types = string.Join('|', fileTypes);
        var opensFiles = new Regex($@"\bSystem\.IO\b(?!\.(Hashing|Compression)\b)|(?<![\w.])({types})\s*\.\s*[A-Z]\w*\s*\(|\bnew\s+({types})\s*\(");
        Assert.All(
            Repository.Sources("src/Weir.Learn").Where(source => !source.File.StartsWith("src/Weir.Learn/Data/", StringComparison.Ordinal)),
            source => Assert.False(opensFiles.IsMatch(source.Code), $"{source.File}: {opensFiles.Match(source.Code)}"));
    }

    [Fact]
    public void Weir_Learn_sees_push_and_pull_and_never_a_server()
    {
        Assert.Equal(["../Weir/Weir.csproj"], Included(XDocument.Parse(Repository.Text("src/Weir.Learn/Weir.Learn.csproj")), "ProjectReference"));
        Assert.DoesNotContain("Weir.Learn", Included(XDocument.Parse(Repository.Text("src/Weir/Weir.csproj")), "InternalsVisibleTo"));
        foreach (SourceText source in Repository.Sources("src/Weir.Learn"))
        {
            IEnumerable<string> named = Regex.Matches(source.Code, @"(?<![\w.])Weir\s*\.\s*(\w+)").Select(match => match.Groups[1].Value);
            Assert.Subset(new HashSet<string> { "Learn", "Client", "Keys", "Selection" }, named.ToHashSet());
        }
    }

    [Fact]
    public void Every_package_has_a_reason_in_a_comment_above_it()
    {
        XDocument xml = XDocument.Parse(Repository.Text("Directory.Packages.props"));
        foreach (XElement package in xml.Descendants("PackageVersion"))
        {
            Assert.True(
                package.PreviousNode is XComment { Value.Length: > 20 },
                $"{package.Attribute("Include")!.Value} has no comment directly above it that says why Weir needs it");
        }
    }

    private static string[] Included(XDocument project, string item) =>
        [.. project.Descendants(item).Select(element => element.Attribute("Include")?.Value).OfType<string>()];
}
