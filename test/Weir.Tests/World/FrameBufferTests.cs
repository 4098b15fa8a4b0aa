using CsCheck;
using Weir.World;

namespace Weir.Tests.World;

public class FrameBufferTests
{
    [Theory]
    [InlineData(0, 512)]
    [InlineData(512, 512)]
    [InlineData(513, 4096)]
    [InlineData(32_768, 32_768)]
    [InlineData(262_145, FramePool.MaxFrameBytes)]
    [InlineData(FramePool.MaxFrameBytes, FramePool.MaxFrameBytes)]
    public void A_rented_buffer_has_the_length_asked_for_in_the_smallest_size_that_holds_it(int length, int capacity)
    {
        FramePool pool = new();
        FrameBuffer buffer = pool.Rent(length);
        Assert.Equal((length, capacity, length), (buffer.Length, buffer.Capacity, buffer.Span.Length));
        buffer.Release();
    }

    [Fact]
    public void The_last_holder_gives_a_buffer_back_and_nobody_before()
    {
        FramePool pool = new();
        FrameBuffer buffer = pool.Rent(100);
        Assert.Same(buffer, buffer.Retain());
        buffer.Release();
        Assert.Equal(1, pool.Rented);
        Assert.NotSame(buffer, pool.Rent(100));
        buffer.Release();
        Assert.Equal(1, pool.Rented);
        Assert.Same(buffer, pool.Rent(200));
    }

    [Fact]
    public void Giving_back_twice_and_holding_on_to_what_was_given_back_break_an_invariant()
    {
        FramePool pool = new();
        FrameBuffer buffer = pool.Rent(100);
        buffer.Release();
        Assert.Throws<InvariantException>(() => buffer.Release());
        FrameBuffer other = pool.Rent(5000);
        other.Release();
        Assert.Throws<InvariantException>(other.Retain);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(FramePool.MaxFrameBytes + 1)]
    public void A_length_that_is_no_frame_s_breaks_an_invariant(int length) => Assert.Throws<InvariantException>(() => new FramePool().Rent(length));

    [Fact]
    public void Any_history_of_holders_returns_each_buffer_once_and_shares_none() =>
        Gen.Select(Gen.Int[0, 2], Gen.Int[0, 1000]).Array[0, 100].Sample(operations =>
        {
            FramePool pool = new();
            List<FrameBuffer> held = [];
            foreach ((int kind, int pick) in operations)
            {
                if (kind == 0 || held.Count == 0)
                {
                    FrameBuffer rented = pool.Rent(pick);
                    Assert.DoesNotContain(rented, held);
                    held.Add(rented);
                }
                else if (kind == 1)
                {
                    held.Add(held[pick % held.Count].Retain());
                }
                else
                {
                    held[pick % held.Count].Release();
                    held.RemoveAt(pick % held.Count);
                }

                Assert.Equal(held.Distinct().Count(), pool.Rented);
            }
        });

    [Fact]
    public void Many_threads_that_hold_one_buffer_return_it_once()
    {
        FramePool pool = new();
        for (int round = 0; round < 200; round++)
        {
            FrameBuffer buffer = pool.Rent(64);
            for (int i = 0; i < 7; i++)
            {
                buffer.Retain();
            }

            Parallel.For(0, 8, _ => buffer.Release());
            Assert.Equal(0, pool.Rented);
        }
    }
}
