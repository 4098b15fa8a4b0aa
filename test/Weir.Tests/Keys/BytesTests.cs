using System.Text;
using CsCheck;
using Weir.Keys;

namespace Weir.Tests.Keys;

public class BytesTests
{
    [Fact]
    public void What_is_written_is_read_again_and_ends_where_the_writer_did() =>
        Gen.Select(Gen.ULong, Gen.Float, Gen.String[0, 20], Gen.Byte.Array[0, 20]).Array[0, 10].Sample(records =>
        {
            byte[] bytes = new byte[records.Sum(r => 36 + ByteWriter.TextBytes(r.Item3) + r.Item4.Length + 8)];
            var writer = new ByteWriter(bytes);
            foreach ((ulong number, float single, string text, byte[] raw) in records)
            {
                writer.Byte((byte)number);
                writer.UInt16((ushort)number);
                writer.UInt32((uint)number);
                writer.Int32((int)number);
                writer.UInt64(number);
                writer.Int64((long)number);
                writer.Single(single);
                writer.Text(text);
                writer.Raw(raw);
                writer.PadTo8();
            }

            var reader = new ByteReader(bytes.AsSpan(0, writer.Position));
            foreach ((ulong number, float single, string text, byte[] raw) in records)
            {
                Assert.Equal((byte)number, reader.Byte());
                Assert.Equal((ushort)number, reader.UInt16());
                Assert.Equal((uint)number, reader.UInt32());
                Assert.Equal((int)number, reader.Int32());
                Assert.Equal(number, reader.UInt64());
                Assert.Equal((long)number, reader.Int64());
                Assert.Equal(BitConverter.SingleToUInt32Bits(single), BitConverter.SingleToUInt32Bits(reader.Single()));
                Assert.Equal(Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(text)), reader.Text());
                Assert.Equal(raw, reader.Take(raw.Length).ToArray());
                reader.SkipPadTo8();
                Assert.Equal(0, reader.Position % 8);
            }

            Assert.True(reader.AtEnd);
        });

    [Fact]
    public void A_read_that_does_not_fit_fails_for_good_and_gives_zero()
    {
        var reader = new ByteReader([1, 2, 3]);
        Assert.Equal(0u, reader.UInt32());
        Assert.True(reader.Failed);
        Assert.Equal(0, reader.Byte());
        Assert.Equal("", reader.Text());
        Assert.True(reader.Take(1).IsEmpty);
        Assert.Equal(0, reader.Left);
        Assert.False(reader.AtEnd);
    }

    [Theory]
    [InlineData(2u, 8, true)]
    [InlineData(3u, 8, false)]
    [InlineData(uint.MaxValue, 1, false)]
    [InlineData(0u, 8, true)]
    [InlineData(16u, 0, true)]
    public void A_count_is_refused_where_its_items_cannot_follow(uint count, int itemBytes, bool fits)
    {
        byte[] bytes = new byte[4 + 16];
        var writer = new ByteWriter(bytes);
        writer.UInt32(count);
        var reader = new ByteReader(bytes);
        Assert.Equal(fits ? (int)count : 0, reader.Count(itemBytes));
        Assert.Equal(!fits, reader.Failed);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(int.MinValue)]
    [InlineData(int.MaxValue)]
    [InlineData(5)]
    public void Taking_a_negative_or_too_large_length_fails(int count)
    {
        var reader = new ByteReader([1, 2, 3, 4]);
        Assert.True(reader.Take(count).IsEmpty);
        Assert.True(reader.Failed);
    }

    [Fact]
    public void Any_program_of_reads_over_any_bytes_stays_inside_them() =>
        Gen.Select(Gen.Byte.Array[0, 40], Gen.Int[0, 8].Array[0, 20]).Sample((bytes, program) =>
        {
            var reader = new ByteReader(bytes);
            foreach (int operation in program)
            {
                int before = reader.Position;
                int taken = operation switch
                {
                    0 => Advance(reader.Byte(), 1),
                    1 => Advance(reader.UInt16(), 2),
                    2 => Advance(reader.UInt32(), 4),
                    3 => Advance(reader.Int64(), 8),
                    4 => Advance(reader.Single(), 4),
                    5 => Advance(reader.Text().Length, -1),
                    6 => Advance(reader.Count(3), 4),
                    7 => Advance(reader.Take(3).Length, 3),
                    _ => Advance(reader.Status32(), 4),
                };
                Assert.InRange(reader.Position, before, bytes.Length);
                Assert.True(taken < 0 || reader.Failed || reader.Position == before + taken);
            }
        });

    [Fact]
    public void Texts_are_cut_at_65_535_bytes_and_measured_as_they_are_written() =>
        Gen.Int[0, 70_000].Select(length => new string('é', length / 2)).Sample(
            text =>
            {
                byte[] bytes = new byte[ByteWriter.TextBytes(text)];
                var writer = new ByteWriter(bytes);
                writer.Text(text);
                Assert.Equal(bytes.Length, writer.Position);
                Assert.InRange(bytes.Length, 2, 2 + ushort.MaxValue);
            },
            iter: 50);

    [Fact]
    public void Statuses_that_no_version_knows_are_refused_in_every_width()
    {
        for (int number = 0; number <= byte.MaxValue; number++)
        {
            bool known = Enum.IsDefined((Status)number);
            byte[] bytes = [(byte)number, 0, 0, 0, 0, 0, 0, 0];
            var one = new ByteReader(bytes);
            var four = new ByteReader(bytes);
            var eight = new ByteReader(bytes);
            Status[] read = [one.Status8(), four.Status32(), eight.Status64()];
            Assert.Equal((!known, !known, !known), (one.Failed, four.Failed, eight.Failed));
            Assert.True(!known || Array.TrueForAll(read, s => s == (Status)number));
        }
    }

    private static int Advance<T>(T read, int bytes) => read is null ? 0 : bytes;
}
