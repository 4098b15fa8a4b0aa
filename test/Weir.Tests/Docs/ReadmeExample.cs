using Weir.Keys;

namespace Weir.Tests.Docs;

/// <summary>
/// The library example of README.md. The text between the two markers is the block there that follows the comment "runs", so the
/// example is compiled; <see cref="ReadmeTests"/> compares the two and runs it.
/// </summary>
internal static class ReadmeExample
{
    public static string Run()
    {
        // <readme>
        UpdateRule rule = UpdateRule.Adagrad(alpha: 0.1f);
        string name = rule.Kind.ToString();
        // </readme>
        return name;
    }
}
