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
    public void The_example_in_the_readme_does_what_it_says() => Assert.Equal("Adagrad", ReadmeExample.Run());

    private static string Unindent(string text, int spaces) =>
        string.Join('\n', text.Trim('\n').Split('\n').Select(line => line.Length > spaces ? line[spaces..] : ""));

    [GeneratedRegex(@"^<!-- runs -->\n```csharp\n(.*?)^```", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Example();

    [GeneratedRegex(@"^( *)// <readme>\n(.*?)^ *// </readme>", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Compiled();
}
