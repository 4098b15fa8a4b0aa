using System.Diagnostics;
using Weir.Keys;

namespace Weir.Tests.Chaos;

/// <summary>The times that the chaos suite reports are of the pushes that they speak of.</summary>
public sealed class ServiceWatchTests
{
    private static readonly ulong First = Mix.Inverse(0), Second = Mix.Inverse(1UL << 63);

    [Fact]
    public void A_segment_is_served_again_with_the_first_push_that_was_called_after_the_fault_began()
    {
        var watch = new ServiceWatch(segmentBits: 1);
        watch.Begin(Ms(1000));
        watch.Acknowledged([First, Second], Ms(990), Ms(1001));
        watch.Acknowledged([First], Ms(1001), Ms(1010));
        Assert.Null(watch.ServedAgainMs);
        watch.Acknowledged([First, Second], Ms(1002), Ms(1300));
        watch.Acknowledged([Second], Ms(1003), Ms(1900));
        Assert.Equal(300, watch.ServedAgainMs);
    }

    [Fact]
    public void The_longest_push_may_have_been_called_before_the_fault_and_not_have_ended_before_it()
    {
        var watch = new ServiceWatch(segmentBits: 1);
        watch.Acknowledged([First], Ms(0), Ms(900));
        watch.Begin(Ms(1000));
        watch.Acknowledged([First], Ms(995), Ms(1400));
        watch.Acknowledged([First], Ms(1300), Ms(1500));
        Assert.Equal(405, watch.LongestPushMs);
    }

    private static long Ms(long milliseconds) => milliseconds * Stopwatch.Frequency / 1000;
}
