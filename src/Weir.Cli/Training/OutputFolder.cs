using Weir.Learn.Data;

namespace Weir.Cli.Training;

/// <summary>
/// The folder that a run writes its model into: made and tried before the training, and removed again where nothing came of it.
/// </summary>
internal sealed class OutputFolder : IDisposable
{
    private const string ModelName = "model.weir";

    private readonly string _folder;
    private readonly bool _made;
    private bool _kept;

    private OutputFolder(string folder, bool made)
    {
        (_folder, _made) = (folder, made);
        ModelPath = Path.Combine(folder, ModelName);
    }

    /// <summary>The model's file.</summary>
    public string ModelPath { get; }

    /// <summary>Makes the folder where it is missing, and makes sure that it can be written to.</summary>
    /// <exception cref="ToolException">It cannot.</exception>
    public static OutputFolder Open(string folder)
    {
        if (File.Exists(folder))
        {
            throw new ToolException($"{folder}: is a file; --out takes a folder");
        }

        try
        {
            bool made = !Directory.Exists(folder);
            Directory.CreateDirectory(folder);
            string trial = Path.Combine(folder, $".trial-{Environment.ProcessId}");
            File.Create(trial).Dispose();
            File.Delete(trial);
            return new OutputFolder(folder, made);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ToolException($"{folder}: cannot be written to: {exception.Message}", exception);
        }
    }

    /// <summary>Writes the model.</summary>
    /// <exception cref="DataException">It cannot be written.</exception>
    public void Write(LinearModel model)
    {
        ModelFile.Write(ModelPath, model);
        _kept = true;
    }

    public void Dispose()
    {
        if (_made && !_kept && Directory.Exists(_folder) && !Directory.EnumerateFileSystemEntries(_folder).Any())
        {
            Directory.Delete(_folder);
        }
    }
}
