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
    private const int PieceRows = 1024;

    /// <summary>What one request goes through: the rows of the largest frame that are scores, so that none is passed over however many are asked for, and one Receive stays bounded work (R25).</summary>
    private const int MostPieces = (FrameHeader.MaxBodyBytes - ScanReplyHead.Size) / (sizeof(ulong) + sizeof(double)) / PieceRows;

    private readonly ulong[] _keys = new ulong[PieceRows];
    private float[] _values = [];

    /// <summary>Goes on where the scan's cursor stands.</summary>
    public void Answer(LinkId link, in FrameHeader header, in ScanHighestBody wanted, TableSegment rows)
    {
        int width = rows.Table.Width;
        if (_values.Length < PieceRows * width)
        {
            _values = new float[PieceRows * width];
        }

        var highest = new HighestScores(Math.Min(wanted.Count, MostPieces * PieceRows));
        ulong from = wanted.Scan.FromMixed;
        bool isDone = false;
        for (int piece = 0; piece < MostPieces && !isDone; piece++)
        {
            int count = rows.Rows.Scan(from, _keys, _values.AsSpan(0, PieceRows * width), out from, out isDone);
            ReadOnlySpan<double> scores = MemoryMarshal.Cast<float, double>(_values);
            for (int row = 0; row < count; row++)
            {
                double score = scores[row * (width / 2)];
                if (score >= wanted.Floor)
                {
                    highest.Offer(_keys[row], score);
                }
            }
        }

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
