using Weir.Checkpoints;
using Weir.Host;
using Weir.Host.S3;
using Weir.World;

namespace Weir.Cli.Training;

/// <summary>Where the checkpoints of a command line are: a folder, or a prefix of a bucket.</summary>
internal sealed class CheckpointPlace
{
    private readonly string _text;

    private CheckpointPlace(string text)
    {
        _text = text;
        try
        {
            Store = WeirHost.OpenCheckpoints(text);
        }
        catch (ArgumentException fault)
        {
            throw new ToolException(fault.Message.Split(" (Parameter")[0], fault);
        }
    }

    /// <summary>The checkpoints.</summary>
    public ICheckpointStore Store { get; }

    /// <summary>A place that checkpoints are read from.</summary>
    /// <exception cref="ToolException">There is no such folder.</exception>
    public static CheckpointPlace ToRead(string text) => S3Address.IsMeant(text) || Directory.Exists(text)
        ? new CheckpointPlace(text)
        : throw new ToolException(File.Exists(text) ? $"{text}: is a file; checkpoints are in a folder" : $"{text}: there is no such folder");

    /// <summary>A place that checkpoints are written to, tried before there is anything to write: a folder is made, a bucket is listed.</summary>
    /// <exception cref="ToolException">The folder cannot be made.</exception>
    /// <exception cref="IOException">The bucket cannot be reached, or not with these credentials.</exception>
    public static async Task<CheckpointPlace> ToWriteAsync(string text, CancellationToken cancellation)
    {
        var place = new CheckpointPlace(text);
        if (S3Address.IsMeant(text))
        {
            await place.Store.ListAsync("", cancellation);
            return place;
        }

        try
        {
            Directory.CreateDirectory(text);
            return place;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            throw new ToolException(File.Exists(text) ? $"{text}: is a file; checkpoints go into a folder" : $"{text}: the folder cannot be made: {fault.Message}", fault);
        }
    }

    /// <summary>The checkpoint that was named, or the last one.</summary>
    /// <exception cref="ToolException">There is none.</exception>
    public async Task<string> ChosenAsync(string? name, CancellationToken cancellation)
    {
        if (name is not null)
        {
            return name;
        }

        IReadOnlyList<StoredCheckpoint> found = await new CheckpointCatalog(Store).ListAsync(cancellation);
        return found.Count > 0 ? found[^1].Name : throw new ToolException($"no checkpoint in {_text}");
    }

    public override string ToString() => _text;
}
