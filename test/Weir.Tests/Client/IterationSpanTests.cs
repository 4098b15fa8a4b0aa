using Weir.Client;
using Weir.World;

namespace Weir.Tests.Client;

public class IterationSpanTests
{
    [Fact]
    public void Calls_that_wait_take_turns_and_one_that_is_given_up_lets_nobody_past_those_before_it()
    {
        var span = new IterationSpan(TaskCreationOptions.None);
        CallTurn[] turns = [.. Enumerable.Range(0, 4).Select(_ => span.TakeTurn())];
        Assert.Equal([true, false, false, false], turns.Select(t => t.Before.IsCompleted));
        turns[2].End();
        turns[1].End();
        Assert.Equal([true, false, false, false], turns.Select(t => t.Before.IsCompleted));
        turns[0].End();
        Assert.Equal([true, true, true, true], turns.Select(t => t.Before.IsCompleted));
        Assert.False(span.IsOpen);
        turns[3].End();
        Assert.True(span.IsOpen);
    }

    [Fact]
    public async Task An_iteration_begins_within_what_may_begin_waits_above_it_and_has_no_successor_after_the_last()
    {
        var span = new IterationSpan(TaskCreationOptions.None) { MayBegin = 5 };
        Assert.True(await span.ComeTo(5, Instant.Never));
        Task<bool> held = span.ComeTo(6, Instant.Never);
        span.Release(6);
        Assert.Equal((false, false), (held.IsCompleted, span.IsOpen));
        span.MayBegin = long.MaxValue;
        span.Release(6);
        Assert.Equal((true, true), (await held, span.IsOpen));
        span.Last = 7;
        Assert.True(await span.ComeTo(7, Instant.Never));
        Assert.False(await span.ComeTo(8, Instant.Never));
        Assert.Equal((true, false), (span.HasLeft, span.IsOpen));
    }

    [Fact]
    public async Task A_worker_that_waits_for_an_iteration_it_turns_out_to_have_no_part_in_has_left()
    {
        var span = new IterationSpan(TaskCreationOptions.None) { MayBegin = 5 };
        Task<bool> held = span.ComeTo(6, Instant.Never);
        span.Last = 5;
        span.Release(6);
        Assert.Equal((false, true, null), (await held, span.HasLeft, span.Held));
    }
}
