using System.Runtime.InteropServices;
using Weir.Keys;
using Weir.Wire;
using Weir.World;

namespace Weir.Server;

/// <summary>
/// Answers a scan for the highest scores of a segment: so many rows of the index are gone through, and those with the highest scores are sent in place of all. Not thread-safe.
/// </summary>
internal sealed class HighestRows(NodeState node)
{
    private const int FloatsOfScore = sizeof(double) / sizeof(float);
    private const int PieceFloats = 2048;

    /// <summary>
    /// The floats that one request goes through: the rows of the largest frame where they are scores and nothing else, so that none is passed over however many are asked for, and fewer rows where they are wider: one Receive stays bounded work (R25).
    /// </summary>
    private const int MostFloats = (FrameHeader.MaxBodyBytes - ScanReplyHead.Size) / (sizeof(ulong) + sizeof(double)) * FloatsOfScore / PieceFloats * PieceFloats;

    private readonly ulong[] _keys = new ulong[PieceFloats / FloatsOfScore];
    private float[] _values = [];

    /// <summary>Goes on where the scan's cursor stands.</summary>
    public void Answer(LinkId link, in FrameHeader header, in ScanHighestBody wanted, TableSegment rows)
    {
        int width = rows.Table.Width, pieceRows = Math.Max(1, PieceFloats / width), mostRows = Math.Max(1, MostFloats / width);
        if (_values.Length < pieceRows * width)
        {
            _values = new float[pieceRows * width];
        }

        var highest = new HighestScores(Math.Min(wanted.Count, mostRows));
        ulong from = wanted.Scan.FromMixed;
        bool isDone = false;
        for (int gone = 0; gone < mostRows && !isDone; gone += pieceRows)
        {
            int count = rows.Rows.Scan(from, _keys.AsSpan(0, pieceRows), _values.AsSpan(0, pieceRows * width), out from, out isDone);
            ReadOnlySpan<double> scores = MemoryMarshal.Cast<float, double>(_values);
            for (int row = 0; row < count; row++)
            {
                double score = scores[row * (width / FloatsOfScore)];
                if (score >= wanted.Floor)
                {
                    highest.Offer(_keys[row], score);
                }
            }
        }

        node.KeysInTurn += mostRows;
        Send(link, header, highest.Descending(), from, isDone);
    }

    private void Send(LinkId link, in FrameHeader header, ReadOnlySpan<(ulong Key, double Score)> highest, ulong from, bool isDone)
    {
        FrameBuffer frame = node.Outbox.Pool.Rent(FrameHeader.Size + ScanReplyHead.Size + (highest.Length * (sizeof(ulong) + sizeof(double))));
        var writer = new ByteWriter(frame.Whole[FrameHeader.Size..]);
        new ScanReplyHead { Rows = highest.Length, Done = isDone, NextMixed = from, ValueBytes = highest.Length * sizeof(double) }.Write(ref writer);
        foreach ((ulong key, _) in highest)
        {
            writer.UInt64(key);
        }

        foreach ((_, double score) in highest)
        {
            writer.UInt64(BitConverter.DoubleToUInt64Bits(score));
        }

        frame.Length = FrameHeader.Size + writer.Position;
        FrameHeader reply = node.Reply(FrameKind.ScanReply, header);
        reply.Seal(frame.Span);
        node.Outbox.SendBulk(link, frame);
    }
}
