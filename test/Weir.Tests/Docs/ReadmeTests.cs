using System.Text.RegularExpressions;
using Weir.Tests.Repo;

namespace Weir.Tests.Docs;

public partial class ReadmeTests
{
    // In the order in which README.md shows them.
    private static readonly string[] CompiledFiles = ["test/Weir.Tests/Docs/ReadmeExample.cs", "examples/MatrixFactorization/FactorModel.cs"];

    [Fact]
    public void The_examples_in_the_readme_are_those_that_are_compiled()
    {
        string[] shown = [.. Example().Matches(Repository.Text("README.md")).Select(match => match.Groups[1].Value.Trim('\n'))];
        string[] compiled =
        [
            .. CompiledFiles.SelectMany(file => Compiled().Matches(Repository.Text(file)))
                .Select(match => Unindent(match.Groups[2].Value, match.Groups[1].Length)),
        ];
        Assert.All(CompiledFiles, file => Assert.Matches(Compiled(), Repository.Text(file)));
        Assert.Equal(compiled, shown);
    }

    [Fact]
    public async Task The_example_in_the_readme_does_what_it_says() =>
        Assert.All(await ReadmeExample.RunAsync(), weight => Assert.InRange(weight, 0.3f, 1.1f));

    [Fact]
    public async Task The_example_of_vectors_and_tasks_in_the_readme_does_what_it_says() =>
        Assert.Equal((500_000, 26), await ReadmeExample.RunVectorsAndTasksAsync());

    [Fact]
    public async Task The_example_of_structures_in_the_readme_does_what_it_says() =>
        Assert.Equal((4, 2, true, 17UL), await ReadmeExample.RunStructuresAsync());

    private static string Unindent(string text, int spaces) =>
        string.Join('\n', text.Trim('\n').Split('\n').Select(line => line.Length > spaces ? line[spaces..] : ""));

    [GeneratedRegex(@"^<!-- runs -->\n```csharp\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex(@"^( *)// <readme>\n(.*?)^ *// </readme>", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Compiled();
}
