using System.Text.RegularExpressions;
using Weir.Tests.Repo;

namespace Weir.Tests.Docs;

public partial class ReadmeTests
{
    [Fact]
    public void The_example_in_the_readme_is_the_one_that_is_compiled_here()
    {
        string[] shown = [.. Example().Matches(Repository.Text("README.md")).Select(match => match.Groups[1].Value.Trim('\n'))];
        string[] compiled =
        [
            .. Compiled().Matches(Repository.Text("test/Weir.Tests/Docs/ReadmeExample.cs"))
                .Select(match => Unindent(match.Groups[2].Value, match.Groups[1].Length)),
        ];
        Assert.NotEmpty(shown);
        Assert.Equal(compiled, shown);
    }

    [Fact]
    public async Task The_example_in_the_readme_does_what_it_says() =>
        Assert.All(await ReadmeExample.RunAsync(), weight => Assert.InRange(weight, 0.3f, 1.1f));

    private static string Unindent(string text, int spaces) =>
        string.Join('\n', text.Trim('\n').Split('\n').Select(line => line.Length > spaces ? line[spaces..] : ""));

    [GeneratedRegex(@"^<!-- runs -->\n```csharp\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex(@"^( *)// <readme>\n(.*?)^ *// </readme>", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Compiled();
}
