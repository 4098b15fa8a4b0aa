using System.Net;
using System.Net.Sockets;
using Weir.Keys;
using Weir.Placement;
using Weir.Wire;
using Weir.World;

namespace Weir.Tests.Host;

/// <summary>
/// Speaks to a server over a blocking socket, with buffers made once: what a process that holds both then allocates, the server does. Keys are
/// cut into parts and items at segment borders, as a client does.
/// </summary>
internal sealed class RawPeer : IDisposable
{
    private const int SegmentBits = 6;

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
    private readonly FramePool _pool = new();
    private readonly byte[] _reply = new byte[FramePool.MaxFrameBytes];
    private readonly (int Segment, ulong[] Keys)[] _slices;
    private readonly int _keys;
    private FrameHeader _header;
    private readonly ulong _session;
    private readonly uint _table;
    private readonly uint _group;
    private ulong _push;

    /// <param name="address">The server's.</param>
    /// <param name="keys">Keys of a request.</param>
    /// <param name="ofJob">Whether it hosts the one worker of a job, under whose clock it pulls.</param>
    public RawPeer(string address, int keys, bool ofJob)
    {
        _keys = keys;
        _slices = [.. Enumerable.Range(0, keys).Select(key => (ulong)key).OrderBy(Mix.Of)
            .GroupBy(key => Mix.Segment(key, SegmentBits)).Select(slice => (slice.Key, slice.ToArray()))];
        _socket.Connect(IPEndPoint.Parse(address));

        // The map's reply says which cluster this is.
        Send(FrameKind.ReadMap, default(EmptyBody));
        Receive(FrameKind.ReadMapReply);
        _group = ofJob ? (uint)Ask(FrameKind.OpenJob, new OpenJobBody("job", 1, 1, false, 1)) : 0;
        _table = (uint)Ask(FrameKind.OpenTable, new OpenTableBody("raw", 1, UpdateRule.Add, 0, false, _group, KeyLifetime.Default));
        if (ofJob)
        {
            Ask(FrameKind.JoinProcess, new JoinProcessBody(5, 1, _group, ""));
            _header.MapVersion = 0;
            Send(FrameKind.ReadMap, default(EmptyBody));
            Receive(FrameKind.ReadMapReply);
            Assert.True(MapEncoding.TryDecode(Body, out ClusterMap map));
            _session = map.Job(_group)!.Workers[0].Session;
        }
        else
        {
            _session = Ask(FrameKind.OpenSession, new OpenSessionBody(5, 1, 0, 0, 0));
        }
    }

    /// <summary>Pushes all keys and waits until every part is acknowledged.</summary>
    public void Push()
    {
        _push++;
        Send(FrameKind.Push, new Request(this, IsPush: true));
        Receive(FrameKind.PushReply);
        var reader = new ByteReader(Body);
        int parts = reader.Count(PartReply.Size);
        reader.UInt32();
        for (int i = 0; i < parts; i++)
        {
            Assert.True(PartReply.Read(ref reader).Status == Status.Acked);
        }

        Assert.True(parts == _slices.Length);
    }

    /// <summary>Pulls all keys, whose answer is one frame here.</summary>
    public void Pull()
    {
        Send(FrameKind.Pull, new Request(this, IsPush: false));
        Receive(FrameKind.PullReply);
        var reader = new ByteReader(Body);
        int pieces = reader.Count(PullReplyItem.Size);
        reader.UInt32();
        int found = 0;
        for (int i = 0; i < pieces; i++)
        {
            Assert.True(PullReplyItem.TryRead(ref reader, out PullReplyItem piece, out _, out _));
            found += piece.Found;
        }

        Assert.True(found == _keys);
    }

    public void Dispose() => _socket.Dispose();

    private ReadOnlySpan<byte> Body => _reply.AsSpan(FrameHeader.Size, _header.BodyLength);

    private ulong Ask<TBody>(FrameKind kind, TBody body)
        where TBody : IBody
    {
        Send(kind, body);
        Receive(FrameKind.AdminReply);
        Assert.True(AdminReplyBody.TryRead(Body, out AdminReplyBody reply) && reply.Status == Status.Acked, reply.Text);
        return reply.First;
    }

    private void Send<TBody>(FrameKind kind, TBody body)
        where TBody : IBody
    {
        var header = new FrameHeader
        {
            Kind = kind,
            RequestId = _header.RequestId + 1,
            Cluster = _header.Cluster,
            Generation = _header.Generation,
            MapVersion = _header.MapVersion,
            Session = _session,
        };
        FrameBuffer frame = Frames.Build(_pool, header, body);
        for (ReadOnlySpan<byte> left = frame.Span; left.Length > 0;)
        {
            left = left[_socket.Send(left)..];
        }

        frame.Release();
    }

    // What comes unasked, such as the word of a newer map, is passed over.
    private void Receive(FrameKind kind)
    {
        do
        {
            Fill(_reply.AsSpan(0, FrameHeader.Size));
            Assert.True(FrameHeader.TryRead(_reply, out _header) == HeaderFault.None);
            Fill(_reply.AsSpan(FrameHeader.Size, _header.BodyLength));
        }
        while (_header.Kind != kind);
    }

    private void Fill(Span<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            int count = _socket.Receive(bytes);
            Assert.True(count > 0);
            bytes = bytes[count..];
        }
    }

    private readonly record struct Request(RawPeer Peer, bool IsPush) : IBody
    {
        public int Bytes
        {
            get
            {
                int bytes = DataRequestReader.CountsSize;
                foreach ((_, ulong[] keys) in Peer._slices)
                {
                    bytes += (IsPush ? PartHeader.Size + PartHeader.Pad8(keys.Length * sizeof(float)) : PullItem.Size) + (keys.Length * sizeof(ulong));
                }

                return bytes;
            }
        }

        public void Write(ref ByteWriter writer)
        {
            writer.Int32(IsPush ? Peer._slices.Length : 0);
            writer.Int32(IsPush ? 0 : Peer._slices.Length);
            foreach ((int segment, ulong[] keys) in Peer._slices)
            {
                if (IsPush)
                {
                    WritePart(ref writer, segment, keys);
                }
                else
                {
                    WriteItem(ref writer, segment, keys);
                }
            }
        }

        private static void WriteKeys(ref ByteWriter writer, ulong[] keys)
        {
            foreach (ulong key in keys)
            {
                writer.UInt64(key);
            }
        }

        private void WritePart(ref ByteWriter writer, int segment, ulong[] keys)
        {
            new PartHeader
            {
                Table = Peer._table,
                Segment = (uint)segment,
                N = Peer._push,
                Seq = new Seq(1, (uint)Peer._push, 0),
                Rows = keys.Length,
                KeyBytes = keys.Length * sizeof(ulong),
                ValueBytes = keys.Length * sizeof(float),
            }.Write(ref writer);
            WriteKeys(ref writer, keys);
            foreach (ulong key in keys)
            {
                writer.Single(key);
            }

            writer.PadTo8();
        }

        private void WriteItem(ref ByteWriter writer, int segment, ulong[] keys)
        {
            new PullItem
            {
                Table = Peer._table,
                Segment = (uint)segment,
                Group = Peer._group,
                Iteration = Peer._group == 0 ? 0 : 1,
                DelayBound = Peer._group == 0 ? PullItem.NoBound : 0,
                Rows = keys.Length,
                KeyBytes = keys.Length * sizeof(ulong),
            }.Write(ref writer);
            WriteKeys(ref writer, keys);
        }
    }
}
