namespace Weir.Learn.Data;

/// <summary>
/// Data or a model file cannot be read or written. The message is a sentence for a person and begins with the file, and the line where
/// there is one, as in <c>a9a.txt:17: "3:" has no value; expected index:value</c>.
/// </summary>
public sealed class DataException : Exception
{
    /// <summary>A fault of a file as a whole.</summary>
    /// <param name="file">The file as the user named it.</param>
    /// <param name="fault">What is wrong, without the file's name.</param>
    /// <param name="inner">The cause, or null.</param>
    public DataException(string file, string fault, Exception? inner = null)
        : base($"{file}: {fault}", inner) => File = file;

    /// <summary>A fault on a line of a text file.</summary>
    /// <param name="file">The file as the user named it.</param>
    /// <param name="line">The line, counted from 1.</param>
    /// <param name="fault">What is wrong, without the place.</param>
    public DataException(string file, long line, string fault)
        : base($"{file}:{line}: {fault}")
    {
        File = file;
        Line = line;
    }

    /// <summary>The file as the user named it.</summary>
    public string File { get; }

    /// <summary>The line, counted from 1; null where the fault has no line.</summary>
    public long? Line { get; }
}
