using Weir.Wire;

namespace Weir.Tests;

public class SmokeTests
{
    [Fact]
    public void Runs() => Assert.Equal(64, FrameHeader.Size);
}
