using System.CommandLine;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary>The option <c>--filters</c>: words, separated by commas.</summary>
internal static class FilterOption
{
    private static readonly (string Word, Filters Filter)[] Words =
    [
        ("none", Filters.None), ("key-cache", Filters.KeyCache), ("delta-varint", Filters.DeltaVarint), ("zero-bitmap", Filters.ZeroBitmap), ("lossless", Filters.Lossless),
    ];

    /// <summary>The option; without it the value is none.</summary>
    public static Option<Filters> Create(string help) => new("--filters")
    {
        Description = help,
        HelpName = string.Join('|', Words.Select(known => known.Word)) + ",...",
        DefaultValueFactory = _ => Filters.None,
        CustomParser = result =>
        {
            Filters filters = Filters.None;
            string[] words = result.Tokens[0].Value.ToLowerInvariant().Split(',', StringSplitOptions.TrimEntries);
            foreach (string word in words)
            {
                int index = Array.FindIndex(Words, known => known.Word == word);
                if (index < 0 || (index == 0 && words.Length > 1))
                {
                    result.AddError($"--filters is '{result.Tokens[0].Value}'; it must be none, or one or more of key-cache, delta-varint, zero-bitmap and lossless, with commas between them");
                    return Filters.None;
                }

                filters |= Words[index].Filter;
            }

            return filters;
        },
    };

    /// <summary>The words of a value, as they are written on a command line.</summary>
    public static string Text(Filters filters) =>
        Array.Find(Words, known => known.Filter == filters).Word
        ?? string.Join(',', Words.Where(known => known.Filter is not (Filters.None or Filters.Lossless) && filters.HasFlag(known.Filter)).Select(known => known.Word));
}
