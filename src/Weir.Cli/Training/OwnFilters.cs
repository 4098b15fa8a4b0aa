using Weir.Host.PlugIns;
using Weir.Selection;

namespace Weir.Cli.Training;

/// <summary>The filters of rows of a user's own that <c>--filters</c> names, and the folder of plug-ins that has them. A process that hosts workers loads them itself.</summary>
/// <param name="Folder">The folder, in full.</param>
/// <param name="Words">Each as on the command line: NAME or NAME:ARGUMENT.</param>
internal sealed record OwnFilters(string Folder, string[] Words)
{
    /// <summary>What makes one of each for a worker.</summary>
    /// <exception cref="PlugInException">The folder cannot be loaded, it has no filter of that name, or an argument makes no sense.</exception>
    public IReadOnlyList<Func<RowFilter>> Load()
    {
        PlugInFolder folder = PlugInFolder.Load(Folder);
        return [.. Words.Select(word => Load(folder, word))];
    }

    private static Func<RowFilter> Load(PlugInFolder folder, string word)
    {
        string[] parts = word.Split(':', 2);
        string argument = parts.Length == 2 ? parts[1] : "";
        IRowFilterFactory factory = folder.RowFilters.FirstOrDefault(filter => filter.Name.Equals(parts[0], StringComparison.OrdinalIgnoreCase)) ?? throw new PlugInException(
            $"--filters names {parts[0]}, which is no filter of Weir's, nor of {folder.Path}: that has {(folder.RowFilters.Count == 0 ? "none" : string.Join(", ", folder.RowFilters.Select(filter => filter.Name)))}");
        try
        {
            // Once for nobody, so that what is wrong is said before anything begins.
            _ = factory.Create(argument);
        }
        catch (Exception refused)
        {
            throw new PlugInException($"the filter {factory.Name} refuses '{argument}': {refused.Message}", refused);
        }

        return () => factory.Create(argument);
    }
}
