using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Weir.Keys;
using Weir.Wire;

namespace Weir.Host.Etcd;

/// <summary>What etcd says of a key. A key that is not there has version 0.</summary>
/// <param name="IsWritten">The transaction wrote; false for a read, and where the key had another version.</param>
/// <param name="Cell">Version, nonce and bytes as they stand there; for a write that took place, nothing.</param>
internal readonly record struct EtcdAnswer(bool IsWritten, CellValue Cell);

/// <summary>
/// The requests and answers of etcd's JSON gateway (its v3 API, which etcd 3.4 to 3.6 serve alike; byte fields are base64, 64-bit numbers are
/// strings). A cell is a key; its version is the key's own, which etcd counts from 1 with each write; the value is <see cref="CellValue"/>. Pure functions.
/// </summary>
internal static class EtcdMessages
{
    /// <summary>A linearizable read, as it is where nothing else is said.</summary>
    public const string ReadPath = "/v3/kv/range";

    public const string SwapPath = "/v3/kv/txn";

    public static byte[] Read(string key)
    {
        ArrayBufferWriter<byte> bytes = new();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteBase64String("key", Encoding.UTF8.GetBytes(key));
            json.WriteEndObject();
        }

        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>A transaction: writes the value if the key has the version, else reads what stands there.</summary>
    public static byte[] Swap(string key, ulong expectedVersion, in CellValue value)
    {
        byte[] name = Encoding.UTF8.GetBytes(key);
        byte[] content = new byte[value.Size];
        var writer = new ByteWriter(content);
        value.Write(ref writer);
        ArrayBufferWriter<byte> bytes = new((content.Length * 4 / 3) + 512);
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteStartArray("compare");
            json.WriteStartObject();
            json.WriteBase64String("key", name);
            json.WriteString("target", "VERSION");
            json.WriteString("result", "EQUAL");
            json.WriteString("version", expectedVersion.ToString(CultureInfo.InvariantCulture));
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteStartArray("success");
            json.WriteStartObject();
            json.WriteStartObject("requestPut");
            json.WriteBase64String("key", name);
            json.WriteBase64String("value", content);
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteStartArray("failure");
            json.WriteStartObject();
            json.WriteStartObject("requestRange");
            json.WriteBase64String("key", name);
            json.WriteEndObject();
            json.WriteEndObject();
            json.WriteEndArray();
            json.WriteEndObject();
        }

        return bytes.WrittenSpan.ToArray();
    }

    /// <summary>Reads the answer to <see cref="Read"/> or <see cref="Swap"/>.</summary>
    /// <exception cref="EtcdAnswerException">It makes no sense, or the key holds what Weir did not write; the message says which.</exception>
    public static EtcdAnswer Answer(ReadOnlyMemory<byte> body, string key)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            JsonElement root = json.RootElement;
            if (root.TryGetProperty("succeeded", out JsonElement succeeded) && succeeded.GetBoolean())
            {
                return new EtcdAnswer(true, default);
            }

            // Of a transaction whose comparison failed the one response is the read; "succeeded" is left out where it is false.
            JsonElement range = root.TryGetProperty("responses", out JsonElement responses) ? responses[0].GetProperty("response_range") : root;
            return new EtcdAnswer(false, range.TryGetProperty("kvs", out JsonElement keys) && keys.GetArrayLength() > 0 ? Cell(keys[0], key) : default);
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException or KeyNotFoundException or FormatException or IndexOutOfRangeException)
        {
            throw new EtcdAnswerException($"its answer makes no sense ({fault.Message}): is that etcd, version 3.4 or later?", fault);
        }
    }

    /// <summary>What an error's body says, in a line.</summary>
    public static string Error(ReadOnlySpan<byte> body)
    {
        var reader = new Utf8JsonReader(body);
        try
        {
            using var json = JsonDocument.ParseValue(ref reader);
            return json.RootElement.GetProperty("error").GetString() ?? "";
        }
        catch (Exception fault) when (fault is JsonException or InvalidOperationException or KeyNotFoundException)
        {
            return Encoding.UTF8.GetString(body[..Math.Min(body.Length, 200)]).ReplaceLineEndings(" ").Trim();
        }
    }

    private static CellValue Cell(JsonElement found, string key)
    {
        ulong version = ulong.Parse(found.GetProperty("version").GetString()!, NumberStyles.None, CultureInfo.InvariantCulture);
        byte[] content = found.TryGetProperty("value", out JsonElement value) ? value.GetBytesFromBase64() : [];
        var reader = new ByteReader(content);
        var cell = CellValue.ReadRest(ref reader);
        return !reader.Failed && cell.Version == version
            ? cell
            : throw new EtcdAnswerException(
                $"the key {key} holds what Weir did not write (version {version}, {content.Length} bytes): give each cluster a prefix of its own, and write nothing there by hand", null);
    }
}

/// <summary>An answer that cannot be used; the message says why in words that a person can act on.</summary>
internal sealed class EtcdAnswerException(string message, Exception? inner) : Exception(message, inner);
