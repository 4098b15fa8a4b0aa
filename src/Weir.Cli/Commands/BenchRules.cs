using System.CommandLine;
using Weir.Keys;

namespace Weir.Cli.Commands;

/// <summary>The update rules that the benchmarks know. Their parameters change no speed; gradients are small enough that no row overflows.</summary>
internal static class BenchRules
{
    /// <summary>Each by the name on the command line.</summary>
    public static readonly IReadOnlyDictionary<string, UpdateRule> Of = new Dictionary<string, UpdateRule>
    {
        ["add"] = UpdateRule.Add,
        ["assign"] = UpdateRule.Assign,
        ["sgd"] = UpdateRule.Sgd(0.01f),
        ["adagrad"] = UpdateRule.Adagrad(0.01f),
        ["adam"] = UpdateRule.Adam(),
        ["ftrl"] = UpdateRule.Ftrl(0.1f, 1, 1, 1),
        ["momentum"] = UpdateRule.Momentum(0.01f),
        ["proximal"] = UpdateRule.ProximalSgd(0.01f, 1, 1),
    };

    /// <summary>The option <c>--rule</c>.</summary>
    public static Option<string> Option(string help, string standard) => CheckedOption.Word("--rule", help, [.. Of.Keys], [], standard);
}
