using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Weir.Client;

namespace Weir.Cli.Commands;

/// <summary>What <c>--filters</c> of <c>weir train</c> names.</summary>
/// <param name="Wire">What makes the bytes of a row fewer.</param>
/// <param name="Significant">Above which sum a key's gradients are pushed; null for each.</param>
/// <param name="TopK">Which part of a batch's keys is pushed; null for all.</param>
/// <param name="Skip">With which chance a key's gradient is pushed; null for each.</param>
/// <param name="Kkt">Whether weights that are zero and will stay so are left out.</param>
internal readonly record struct TrainingFilters(Filters Wire, float? Significant, float? TopK, float? Skip, bool Kkt = false)
{
    /// <summary>Filters of rows of the user's own, each NAME or NAME:ARGUMENT as it was written; null for none.</summary>
    public string[]? Own { get; init; }
}

/// <summary>The option <c>--filters</c>: words, separated by commas.</summary>
internal static class FilterOption
{
    /// <summary>The word for the filter of delayed block proximal gradient.</summary>
    public const string Kkt = "kkt";

    /// <summary>The word for no filter.</summary>
    public const string None = "none";

    private static readonly (string Word, Filters Filter)[] Words =
    [
        (None, Filters.None), (FilterNames.KeyCache, Filters.KeyCache), (FilterNames.DeltaVarint, Filters.DeltaVarint), (FilterNames.ZeroBitmap, Filters.ZeroBitmap),
        (FilterNames.RoundToBFloat16, Filters.RoundToBFloat16), (FilterNames.RoundToInt8, Filters.RoundToInt8), (FilterNames.Lz4, Filters.Lz4),
        ("lossless", Filters.Lossless),
    ];

    private static readonly RowWord[] RowWords =
    [
        new("significant", "significant:X", float.MaxValue, filters => filters.Significant, (filters, value) => filters with { Significant = value }),
        new("top-k", "top-k:F", 1, filters => filters.TopK, (filters, value) => filters with { TopK = value }),
        new("skip", "skip:Q", 1, filters => filters.Skip, (filters, value) => filters with { Skip = value }),
    ];

    /// <summary>The option; without it the value is none.</summary>
    public static Option<Filters> Create(string help) => new("--filters")
    {
        Description = help,
        HelpName = string.Join('|', Words.Select(known => known.Word)) + ",...",
        DefaultValueFactory = _ => Filters.None,
        CustomParser = result => Parse(result, choosesRows: false).Wire,
    };

    /// <summary>The option of a training, which may name filters of rows too, and where plug-ins are given those of a user's own.</summary>
    public static Option<TrainingFilters> CreateForTraining(string help, Option<string?> plugIns) => new("--filters")
    {
        Description = help,
        HelpName = string.Join('|', Words.Select(known => known.Word)) + "|" + Kkt + "|" + string.Join('|', RowWords.Select(known => known.Form)) + ",...",
        DefaultValueFactory = _ => default,
        CustomParser = result => Parse(result, choosesRows: true, hasPlugIns: result.GetResult(plugIns) is { Implicit: false }),
    };

    /// <summary>The words of a value, as they are written on a command line.</summary>
    public static string Text(Filters filters) => Text(new TrainingFilters(filters, null, null, null));

    /// <summary>The words of a training's value.</summary>
    public static string Text(TrainingFilters filters)
    {
        string[] rows = [.. RowWords.Where(known => known.Get(filters) is not null).Select(known => string.Create(CultureInfo.InvariantCulture, $"{known.Word}:{known.Get(filters)}"))];
        bool isLossless = filters.Wire.HasFlag(Filters.Lossless);
        string[] words = [.. Words.Where(known => known.Filter != Filters.None && filters.Wire.HasFlag(known.Filter) && (known.Filter == Filters.Lossless || !isLossless || !Filters.Lossless.HasFlag(known.Filter))).Select(known => known.Word)];
        string wire = words.Length == 0 ? None : string.Join(',', words.OrderBy(word => word == "lossless" ? 0 : 1));
        string[] all = [.. wire == None ? [] : new[] { wire }, .. filters.Kkt ? new[] { Kkt } : [], .. rows, .. filters.Own ?? []];
        return all.Length == 0 ? None : string.Join(',', all);
    }

    private static TrainingFilters Parse(ArgumentResult result, bool choosesRows, bool hasPlugIns = false)
    {
        TrainingFilters filters = default;
        string text = result.Tokens[0].Value;
        string[] written = text.Split(',', StringSplitOptions.TrimEntries);
        string[] words = [.. written.Select(word => word.ToLowerInvariant())];
        for (int at = 0; at < words.Length; at++)
        {
            string word = words[at];
            string[] parts = word.Split(':', 2);
            int index = Array.FindIndex(Words, known => known.Word == word);
            RowWord? chooses = choosesRows && parts.Length == 2 ? Array.Find(RowWords, known => known.Word == parts[0]) : null;
            if (choosesRows && word == Kkt)
            {
                filters = filters with { Kkt = true };
                continue;
            }

            if (hasPlugIns && chooses is null && index < 0 && parts[0].Length > 0)
            {
                // Whether the folder has it shows when it is loaded. Its argument is its own, capital letters and all.
                filters = filters with { Own = [.. filters.Own ?? [], written[at]] };
                continue;
            }

            if (chooses is null && (index < 0 || (index == 0 && words.Length > 1)))
            {
                string rows = choosesRows ? $", {Kkt}, {string.Join(", ", RowWords.Select(known => known.Form))}" : "";
                return Refuse($"it must be none, or one or more of key-cache, varint, zero, bf16, int8, lz4 and lossless (the first three){rows}, with commas between them{(choosesRows ? "; filters of your own need --plug-ins" : "")}");
            }

            if (chooses is null)
            {
                filters = filters with { Wire = filters.Wire | Words[index].Filter };
                continue;
            }

            if (chooses.Get(filters) is not null)
            {
                return Refuse($"it names {chooses.Word} twice");
            }

            if (!float.TryParse(parts[1], NumberStyles.Float, CultureInfo.InvariantCulture, out float value) || !float.IsFinite(value) || value <= 0 || value > chooses.Most)
            {
                return Refuse($"{chooses.Form} needs a number above 0{(chooses.Most < float.MaxValue ? $" and at most {chooses.Most}" : "")}");
            }

            filters = chooses.Set(filters, value);
        }

        return filters.Wire.HasFlag(Filters.RoundToBFloat16 | Filters.RoundToInt8)
            ? Refuse("a float is written in two bytes (bf16) or in one (int8): name one of them")
            : filters;

        TrainingFilters Refuse(string fault)
        {
            result.AddError($"--filters is '{text}'; {fault}");
            return default;
        }
    }

    /// <summary>A filter of rows and its number.</summary>
    private sealed record RowWord(string Word, string Form, float Most, Func<TrainingFilters, float?> Get, Func<TrainingFilters, float, TrainingFilters> Set);
}
