using System.Diagnostics;
using Weir.Client;

namespace Weir.Cli.Bench;

/// <summary>Small pushes at a steady pace, each timed by itself: one that stalls holds up none of the next. One caller at a time.</summary>
/// <param name="client">Pushes.</param>
/// <param name="table">Of one float a row, and added to.</param>
/// <param name="keys">Pushed to in turn.</param>
/// <param name="count">Keys of a push.</param>
/// <param name="intervalMs">Between two pushes, in milliseconds.</param>
internal sealed class TimedPushes(WeirClient client, WeirTable table, ulong[] keys, int count, int intervalMs)
{
    private const int ReadRows = 50_000;

    private readonly float[] _ones = [.. Enumerable.Repeat(1f, count)];
    private int _next;
    private long _pushed;

    /// <summary>Pushes until the task ends.</summary>
    /// <returns>The longest that a push took, in milliseconds.</returns>
    public async Task<double> RunAsync(Task until)
    {
        List<Task> pushes = [];
        long longest = 0;
        while (!until.IsCompleted)
        {
            pushes.Add(PushAsync());
            foreach (Task ended in pushes.Where(push => push.IsCompleted).ToArray())
            {
                await ended;
                pushes.Remove(ended);
            }

            await Task.Delay(intervalMs);
        }

        await Task.WhenAll(pushes);
        await until;
        return longest * 1e3 / Stopwatch.Frequency;

        async Task PushAsync()
        {
            _next = _next + count > keys.Length ? 0 : _next;
            ReadOnlyMemory<ulong> asked = keys.AsMemory(_next, count);
            (_next, _pushed) = (_next + count, _pushed + count);
            long begin = Stopwatch.GetTimestamp();
            await client.PushAsync(table, asked, _ones);
            InterlockedMax(ref longest, Stopwatch.GetTimestamp() - begin);
        }
    }

    /// <summary>Ones pushed so far, and the sum of all rows.</summary>
    public async Task<(long Pushed, double Read)> CountAsync(CancellationToken cancellation)
    {
        double read = 0;
        float[] values = new float[ReadRows];
        for (int first = 0; first < keys.Length; first += ReadRows)
        {
            int rows = Math.Min(ReadRows, keys.Length - first);
            await client.PullAsync(table, keys.AsMemory(first, rows), values.AsMemory(0, rows), cancellation);
            read += values.AsSpan(0, rows).ToArray().Sum(value => (double)value);
        }

        return (_pushed, read);
    }

    private static void InterlockedMax(ref long most, long value)
    {
        long known = Interlocked.Read(ref most);
        while (value > known)
        {
            long seen = Interlocked.CompareExchange(ref most, value, known);
            known = seen == known ? value : seen;
        }
    }
}
