using System.Text.RegularExpressions;
using Weir.Keys;
using Weir.Tests.Chaos;

namespace Weir.Tests.Repo;

/// <summary>A map that no test reads goes stale: links resolve, and the tables of the documents are those of the code.</summary>
public partial class DocumentTests
{
    [Fact]
    public void Every_relative_link_leads_to_a_file_or_folder()
    {
        foreach (string file in Repository.Files.Where(file => file.EndsWith(".md", StringComparison.Ordinal)))
        {
            string folder = Path.GetDirectoryName(Repository.FullPath(file))!;
            foreach (string target in Links(Repository.Text(file)))
            {
                Assert.True(Path.Exists(Path.Combine(folder, target)), $"{file} links to {target}, which is not there");
            }
        }
    }

    [Fact]
    public void The_check_of_links_reads_prose_and_not_code() =>
        Assert.Equal(
            ["a.md", "../b/"],
            Links("[x](a.md) [y](https://example.org/c.md) [z](../b/#part) [w](#here)\n```\n[v](d.md)\n```\n"));

    [Fact]
    public void The_table_of_rooms_in_ARCHITECTURE_is_that_of_the_rule()
    {
        IEnumerable<string> table = RoomRow().Matches(Repository.Text("ARCHITECTURE.md"))
            .Select(match => $"{match.Groups[1].Value}: {string.Join(' ', match.Groups[2].Value.Split([' ', ','], StringSplitOptions.RemoveEmptyEntries))}");
        Assert.Equal(Repository.Rooms.Select(room => $"{room.Room}: {string.Join(' ', room.MayName)}"), table);
    }

    [Fact]
    public void The_tests_that_the_promises_name_are_there_and_every_status_has_its_advice()
    {
        string promises = Repository.Text("docs/reliability.md");
        HashSet<string> classes = [.. Repository.Files.Where(file => file.StartsWith("test/", StringComparison.Ordinal)).Select(file => Path.GetFileNameWithoutExtension(file))];
        string[] named = [.. TestName().Matches(promises).Select(match => match.Groups[1].Value).Distinct()];
        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains(name, classes));
        Assert.All(Enumerable.Range(1, 13), number => Assert.Contains($"\n| G{number} |", promises, StringComparison.Ordinal));
        Assert.All(Enum.GetNames<Status>(), status => Assert.Contains($"`{status}`", promises, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_fault_that_eng_chaos_plays_stands_in_the_table_of_faults_and_the_table_names_no_other()
    {
        string promises = Repository.Text("docs/reliability.md");
        string tables = promises[promises.IndexOf("## The faults", StringComparison.Ordinal)..];
        Assert.Equal(ChaosFault.All.Select(fault => fault.Name).Order(), Quoted().Matches(tables).Select(match => match.Groups[1].Value).Distinct().Order());
    }

    [Fact]
    public void The_tests_and_mutations_that_the_papers_items_name_are_there_and_no_item_is_left_out()
    {
        string[] rows = [.. Repository.Lines("docs/papers.md").Where(line => line.StartsWith("| PS-", StringComparison.Ordinal))];
        string tests = string.Concat(Repository.Files.Where(file => file.StartsWith("test/", StringComparison.Ordinal) && file.EndsWith(".cs", StringComparison.Ordinal)).Select(Repository.Text));
        Assert.Equal(Enumerable.Range(1, 40).Select(number => $"PS-{number}"), rows.Select(row => row.Split('|')[1].Trim()));
        foreach (string row in rows)
        {
            string[] cells = row.Split('|');
            Assert.All(InCode().Matches(cells[3]).Select(match => match.Groups[1].Value).Where(name => name.Contains('_', StringComparison.Ordinal)), name => Assert.Contains($" {name}(", tests, StringComparison.Ordinal));
            Assert.All(InCode().Matches(cells[4]), match => Assert.Contains($"eng/mutations/{match.Groups[1].Value}.mutation", Repository.Files));
        }
    }

    private static IEnumerable<string> Links(string markdown) =>
        Link().Matches(Fence().Replace(markdown, ""))
            .Select(match => match.Groups[1].Value)
            .Where(target => !target.Contains(':', StringComparison.Ordinal));

    [GeneratedRegex(@"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")]
    private static partial Regex Link();

    [GeneratedRegex(@"^```.*?^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Fence();

    [GeneratedRegex(@"`(\w+Tests)`")]
    private static partial Regex TestName();

    [GeneratedRegex("\"([^\"]+)\"")]
    private static partial Regex Quoted();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex InCode();

    // | `Wire` | Keys, World | what it is |
    [GeneratedRegex(@"^\| `(\w+)` \|([^|`]*)\|", RegexOptions.Multiline)]
    private static partial Regex RoomRow();
}
