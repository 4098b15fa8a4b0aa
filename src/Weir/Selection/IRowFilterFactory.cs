namespace Weir.Selection;

/// <summary>
/// Makes filters of rows of a user's own, for <c>weir train --plug-ins FOLDER --filters NAME:ARGUMENT</c>: a public class with a public constructor without parameters, in an assembly of the folder. Programs against the library give
/// <see cref="FilteredPushes"/> a <see cref="RowFilter"/> as it is, and need none. Filters of rows stand before the push: no server and no other worker has to know them.
/// </summary>
public interface IRowFilterFactory
{
    /// <summary>What it is called by: no commas, colons, spaces or capital letters, and no name of a filter of Weir's.</summary>
    string Name { get; }

    /// <summary>A filter for one worker; called once for each, perhaps at the same time.</summary>
    /// <param name="argument">What stands behind the colon; empty where there is none.</param>
    /// <exception cref="ArgumentException">The argument makes no sense; the message says what would.</exception>
    RowFilter Create(string argument);
}
