using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Weir.Cli.Reports;

/// <summary>Writes a report as JSON under a temporary name and renames it, so that no reader sees half of one.</summary>
internal static class JsonFile
{
    /// <summary>Writes the report; what was there before is replaced.</summary>
    /// <exception cref="ToolException">It cannot be written.</exception>
    public static void Write<T>(string path, T report, JsonTypeInfo<T> shape)
    {
        string temporary = path + ".tmp";
        try
        {
            File.WriteAllText(temporary, JsonSerializer.Serialize(report, shape) + "\n", new UTF8Encoding(encoderShouldEmitUTF8Identifier: false));
            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new ToolException($"{path}: the report cannot be written: {exception.Message}", exception);
        }
    }

    /// <summary>Says before the work what would keep the report from being written after it.</summary>
    /// <exception cref="ToolException">The path is a folder, or its folder does not exist.</exception>
    public static void Check(string? path, string option = "--report")
    {
        if (path is null)
        {
            return;
        }

        if (Directory.Exists(path))
        {
            throw new ToolException($"{path}: is a folder; {option} takes a file");
        }

        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        if (!Directory.Exists(folder))
        {
            throw new ToolException($"{path}: there is no folder {folder} to write it into");
        }
    }
}
