using Weir.Host.Memory;
using Weir.World;

namespace Weir.Tests.Host;

public unsafe class HugePageMemoryTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(4096)]
    [InlineData((1 << 20) - 1)]
    [InlineData(1 << 20)]
    [InlineData((2 << 20) + 12)]
    [InlineData((9 << 20) + 4097)]
    public void MemoryIsZeroAlignedAndWritableToTheLastByte(int bytes)
    {
        foreach (IMemory memory in new IMemory[] { new HugePageMemory(), PlainMemory.Instance })
        {
            byte* first = memory.Allocate(bytes), second = memory.Allocate(bytes);
            Assert.Equal(0, (nint)first % 64);
            Assert.Equal(-1, new Span<byte>(first, bytes).IndexOfAnyExcept((byte)0));
            new Span<byte>(first, bytes).Fill(7);
            // The two do not overlap, whichever lies first.
            Assert.Equal(-1, new Span<byte>(second, bytes).IndexOfAnyExcept((byte)0));
            memory.Free(second, bytes);
            Assert.Equal(-1, new Span<byte>(first, bytes).IndexOfAnyExcept((byte)7));
            memory.Free(first, bytes);
        }
    }

    [Fact]
    public void WhatIsDiscardedIsItselfOrZeroAndTheRestStays()
    {
        const int bytes = 9 << 20, from = 100_000, discarded = 6 << 20;
        HugePageMemory memory = new();
        byte* array = memory.Allocate(bytes);
        new Span<byte>(array, bytes).Fill(7);
        memory.Discard(array + from, discarded);
        Assert.Equal(-1, new Span<byte>(array, from).IndexOfAnyExcept((byte)7));
        Assert.Equal(-1, new Span<byte>(array + from, discarded).IndexOfAnyExcept((byte)7, (byte)0));
        Assert.Equal(-1, new Span<byte>(array + from + discarded, bytes - from - discarded).IndexOfAnyExcept((byte)7));
        if (OperatingSystem.IsLinux())
        {
            Assert.True(new Span<byte>(array + from, discarded).Contains((byte)0), "whole huge pages went back to the system");
        }

        memory.Free(array, bytes);
    }
}
