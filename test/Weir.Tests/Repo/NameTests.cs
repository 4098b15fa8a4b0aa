using System.Text.RegularExpressions;

namespace Weir.Tests.Repo;

/// <summary>Rules of text and of names that no analyzer holds.</summary>
public class NameTests
{
    private static readonly IReadOnlyList<SourceText> Sources = Repository.Sources("src");

    [Fact]
    public void A_type_is_named_for_what_it_is() =>
        Assert.All(Types(Sources), type => Assert.DoesNotMatch("(Manager|Helper|Util|Utils|Utility|Utilities)$", type));

    [Fact]
    public void Sources_have_no_regions_no_suppressed_warnings_and_nothing_left_to_do()
    {
        foreach (SourceText source in Sources.Concat(Repository.Sources("test")).Concat(Repository.Sources("bench")).Concat(Repository.Sources("examples")))
        {
            Assert.DoesNotMatch(@"#\s*region|#\s*pragma\s+warning", source.Code);
            Assert.DoesNotMatch(@"//[^""\n]*\b(TODO|FIXME|XXX)\b", Repository.Text(source.File));
        }
    }

    [Fact]
    public void No_text_holds_a_path_of_one_machine()
    {
        var machinePath = new Regex(@"(?<![\w.~<])/(work|root|home|Users|tmp)/");
        var scripts = new Regex(@"^(weir|weir\.cmd|check\.sh|\.ci/.*|eng/[\w-]+)$");
        foreach (string file in Repository.Files.Where(file => !IsBinary(file)))
        {
            Match found = machinePath.Match(Repository.Text(file));
            bool scratchOfScript = found.Value == "/tmp/" && scripts.IsMatch(file);
            Assert.True(!found.Success || scratchOfScript || file.EndsWith("/NameTests.cs", StringComparison.Ordinal), $"{file} holds {found.Value}");
        }
    }

    [Fact]
    public void The_simulation_runs_the_node_client_and_loops_that_run_over_TCP_and_has_none_of_its_own()
    {
        IReadOnlyList<SourceText> simulation = Repository.Sources("src/Weir/Sim");
        Assert.All(Types(simulation), type => Assert.DoesNotMatch("(Node|Client|Store|Path|Loop|Trainer)$", type));
        Assert.All(simulation.SelectMany(source => source.Types), type => Assert.DoesNotMatch(@"\bIMachine\b", type.Bases));
        if (simulation.Count > 0)
        {
            Assert.Contains(simulation, source => Regex.IsMatch(source.Code, @"\bnew\s+ServerNode\b"));
            Assert.Contains(simulation, source => Regex.IsMatch(source.Code, @"\bWeirClient\b"));
        }
    }

    [Theory]
    [InlineData("ServerNode")]
    [InlineData("WeirClient")]
    [InlineData("SegmentRows")]
    public void There_is_one_implementation_of(string type)
    {
        IEnumerable<string?> declaredIn = Sources.Concat(Repository.Sources("test"))
            .Where(source => source.Types.Any(declared => declared.Name == type))
            .Select(source => source.Namespace)
            .Distinct();
        Assert.InRange(declaredIn.Count(), 0, 1);
    }

    private static IEnumerable<string> Types(IEnumerable<SourceText> sources) => sources.SelectMany(source => source.Types, (_, type) => type.Name);

    private static bool IsBinary(string file)
    {
        using FileStream stream = File.OpenRead(Repository.FullPath(file));
        Span<byte> head = stackalloc byte[4096];
        return head[..stream.ReadAtLeast(head, head.Length, throwOnEndOfStream: false)].Contains((byte)0);
    }
}
