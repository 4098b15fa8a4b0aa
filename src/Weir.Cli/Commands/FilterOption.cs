using System.CommandLine;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary>The option <c>--filters</c>: words, separated by commas.</summary>
internal static class FilterOption
{
    private static readonly (string Word, Filters Filter)[] Words =
    [
        ("none", Filters.None), ("key-cache", Filters.KeyCache), ("varint", Filters.DeltaVarint), ("zero", Filters.ZeroBitmap), ("bf16", Filters.RoundToBFloat16), ("int8", Filters.RoundToInt8),
        ("lossless", Filters.Lossless),
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
                    result.AddError($"--filters is '{result.Tokens[0].Value}'; it must be none, or one or more of key-cache, varint, zero, bf16, int8 and lossless (the first three), with commas between them");
                    return Filters.None;
                }

                filters |= Words[index].Filter;
            }

            if (filters.HasFlag(Filters.RoundToBFloat16 | Filters.RoundToInt8))
            {
                result.AddError($"--filters is '{result.Tokens[0].Value}'; a float is written in two bytes (bf16) or in one (int8): name one of them");
                return Filters.None;
            }

            return filters;
        },
    };

    /// <summary>The words of a value, as they are written on a command line.</summary>
    public static string Text(Filters filters) =>
        Array.Find(Words, known => known.Filter == filters).Word
        ?? string.Join(',', Words.Where(known => known.Filter is not (Filters.None or Filters.Lossless) && filters.HasFlag(known.Filter)).Select(known => known.Word));
}
