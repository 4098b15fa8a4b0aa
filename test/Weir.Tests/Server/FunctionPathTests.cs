using Weir.Functions;
using Weir.Keys;
using Weir.Server;
using Weir.Tests.Wire;
using Weir.Wire;

namespace Weir.Tests.Server;

/// <summary>Functions of users at the node that leads a segment (PS-9): what they are given, what becomes of it, and how they fail.</summary>
public class FunctionPathTests
{
    private static readonly ulong[] Keys = [.. Enumerable.Range(0, 1 << 20).Select(i => (ulong)i).Where(k => Mix.Segment(k, 6) == 3).Take(9000).OrderBy(Mix.Of)];

    [Fact]
    public void PS09_a_function_changes_rows_by_their_values_and_its_argument_once_though_the_call_comes_twice()
    {
        using var node = new Called(new Function("add", run =>
        {
            for (int i = 0; i < run.Rows.Length; i++)
            {
                run.Rows[i] += run.Values[i] + run.Argument[0];
            }
        }));
        Assert.Equal(Status.Acked, node.Call("add", [1, 2], argument: [10], rows: 2).Status);
        Assert.Equal([11, 12], node.Pull(2));
        Assert.Equal(Status.Acked, node.Repeat().Status);
        Assert.Equal([11, 12], node.Pull(2));
        Assert.Equal(Status.Acked, node.Call("add", [1, 2], argument: [10], rows: 2).Status);
        Assert.Equal([22, 24], node.Pull(2));
        Assert.Equal(1, node.Harness.Node.Counters.Duplicates);
    }

    [Fact]
    public void Rows_that_a_function_leaves_as_they_are_are_not_created()
    {
        using var node = new Called(new Function("first", run => run.Rows[0] = run.Keys[0] == Keys[0] ? 5 : run.Rows[0]));
        Assert.Equal(Status.Acked, node.Call("first", [], rows: 3).Status);
        Assert.Equal([5, 0, 0], node.Pull(3));
        Assert.Equal(1, node.Harness.Node.StoredRows);
    }

    [Fact]
    public void A_function_that_throws_fails_its_part_with_its_message_and_none_of_the_part_is_applied()
    {
        int runs = 0;
        using var node = new Called(new Function("throws", run =>
        {
            run.Rows.Fill(7);
            if (++runs == 2)
            {
                throw new InvalidOperationException("no such day");
            }
        }));
        PartReply reply = node.Call("throws", [], rows: 9000);
        Assert.Equal(Status.Failed, reply.Status);
        Assert.Equal("function throws threw InvalidOperationException: no such day; nothing of this part was applied", reply.Text);
        Assert.Equal([0, 0], node.Pull(2));

        // It counts as done: the stream goes on behind it.
        Assert.Equal(Status.Acked, node.Call("throws", [], rows: 1).Status);
        Assert.Equal([7, 0], node.Pull(2));
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_row_that_is_not_of_finite_numbers_fails_the_part(float made)
    {
        using var node = new Called(new Function("divides", run => run.Rows[^1] = made));
        PartReply reply = node.Call("divides", [], rows: 2);
        Assert.Equal((Status.Failed, "function divides made a row of table t that is not of finite numbers; nothing of this part was applied"), (reply.Status, reply.Text));
        PartReply given = node.Call("divides", [made, 1], rows: 2);
        Assert.Equal(Status.Failed, given.Status);
        Assert.Contains("a value given to function divides", given.Text);
        Assert.Equal([0, 0], node.Pull(2));
    }

    [Fact]
    public void A_function_that_a_server_does_not_have_is_named_with_those_it_has()
    {
        using var node = new Called(new Function("clip", _ => { }), new Function("lion", _ => { }));
        PartReply reply = node.Call("clop", [], rows: 1);
        Assert.Equal(Status.Failed, reply.Status);
        Assert.StartsWith("server a has no function clop; it has clip, lion. Its assembly belongs into the plug-in folder of every server", reply.Text);
        using var bare = new Called();
        Assert.Contains("it has none", bare.Call("clip", [], rows: 1).Text);
    }

    /// <summary>9,000 rows of a float are three runs.</summary>
    [Theory]
    [InlineData(49, Status.Acked)]
    [InlineData(51, Status.Failed)]
    public void A_budget_of_time_is_looked_at_between_runs_of_rows(long runMs, Status expected)
    {
        var timer = new PlayedTimer();
        List<int> runs = [];
        using var node = new Called(new ServerLimits { FunctionBudgetMs = 98 }, timer, new Function("slow", run =>
        {
            runs.Add(run.Keys.Length);
            run.Rows.Fill(1);
            timer.Microseconds += runMs * 1000;
        }));
        PartReply reply = node.Call("slow", [], rows: 9000);
        Assert.Equal(expected, reply.Status);
        Assert.Equal(expected == Status.Acked ? [4096, 4096, 808] : [4096, 4096], runs);
        Assert.Equal(expected == Status.Acked ? [1, 1] : [0, 0], node.Pull(2));
        Assert.Contains(expected == Status.Acked ? "" : "function slow used up its budget of 98 ms after 8192 of 9000 rows of table t", reply.Text);
    }

    /// <summary>A node that runs one function after another for seconds, in one turn or in many, would count as gone; and after each tick, which says that it lives, it gets somewhere.</summary>
    [Fact]
    public void Calls_between_two_ticks_share_one_budget_and_those_beyond_it_come_again()
    {
        var timer = new PlayedTimer();
        using var node = new Called(new ServerLimits { FunctionBudgetMs = 100 }, timer, new Function("slow", run =>
        {
            run.Rows.Fill(1);
            timer.Microseconds += 60_000;
        }));
        PartReply[] replies = node.CallInOneFrame("slow", parts: 4);
        Assert.Equal([Status.Acked, Status.Acked, Status.Busy, Status.Gap], replies.Select(r => r.Status));
        Assert.Equal(Status.Busy, node.Again(2).Status);
        node.Harness.Node.Tick(node.Harness.Now);
        Assert.False(node.Harness.Node.TurnIsFull);
        Assert.Equal(Status.Acked, node.Again(2).Status);
    }

    /// <summary>What an exception says is code of the user's as well.</summary>
    [Theory]
    [InlineData(false, "function f threw Speechless: (its message threw NotSupportedException)")]
    [InlineData(true, "function f threw Speechless: ")]
    public void An_exception_that_cannot_say_what_it_is_fails_the_call_alone(bool isNull, string expected)
    {
        using var node = new Called(new Function("f", _ => throw new Speechless(isNull)));
        PartReply reply = node.Call("f", [], rows: 1);
        Assert.Equal(Status.Failed, reply.Status);
        Assert.StartsWith(expected, reply.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_table_that_aggregates_takes_no_calls()
    {
        using var node = new Called(new Function("clip", _ => { }));
        node.Harness.OpenTable("sums", aggregate: true, group: node.Harness.OpenJob(1));
        PartReply reply = node.Call("clip", [], rows: 1);
        Assert.Equal(Status.Malformed, reply.Status);
        Assert.Contains("aggregates", reply.Text);
    }

    [Fact]
    public void Bytes_that_are_no_call_are_refused()
    {
        byte[] sound = FunctionRequest.Head("f", [1, 2, 3]);
        Assert.True(FunctionRequest.TryRead(sound, 2, out FunctionRequest request));
        Assert.Equal((1, 3, 0), (request.Name.Length, request.Argument.Length, request.Values.Length));
        Assert.True(FunctionRequest.TryRead([.. sound, 0, 0, 0, 0, 0, 0, 0, 0], 2, out _));
        Assert.False(FunctionRequest.TryRead([.. sound, 0, 0, 0, 0], 2, out _));
        Assert.False(FunctionRequest.TryRead([.. sound, 0, 0], 2, out _));
        Assert.False(FunctionRequest.TryRead(sound.AsSpan(..^1), 2, out _));
        Assert.False(FunctionRequest.TryRead(FunctionRequest.Head("", []), 2, out _));
        Assert.False(FunctionRequest.TryRead(FunctionRequest.Head(new string('n', 257), []), 2, out _));
        Assert.False(FunctionRequest.TryRead(FunctionRequest.Head("f", new byte[FunctionRequest.MaxArgumentBytes + 1]), 2, out _));
        Assert.False(FunctionRequest.TryRead([255, 255, 255, 255, 0, 0, 0, 0], 2, out _));
        Assert.False(FunctionRequest.TryRead([], 0, out _));
    }

    [Fact]
    public void Two_functions_of_one_name_and_one_without_are_refused_at_the_start()
    {
        ArgumentException fault = Assert.Throws<ArgumentException>(() => new NodeHarness(functions: [new Function("f", _ => { }), new Function("f", _ => { }), new Function("", _ => { })]));
        Assert.Contains("are both called f", fault.Message);
        Assert.Contains("is called ''; a name has 1 to 256 bytes", fault.Message);
    }

    /// <summary>What a test has happen to a run of rows.</summary>
    internal delegate void Change(FunctionCall run);

    internal sealed class Function(string name, Change change) : IServerFunction
    {
        public string Name => name;

        public void Apply(FunctionCall run) => change(run);
    }

    private sealed class PlayedTimer : IFunctionTimer
    {
        public long Microseconds { get; set; }

        public void Begin(string function, string table, in LastWord lastWord) => Microseconds = 0;

        public void End()
        {
        }
    }

    /// <summary>A node with functions and a table of one float a row, and a session that calls them for the first of the keys.</summary>
    private sealed class Speechless(bool isNull) : Exception
    {
        public override string Message => isNull ? null! : throw new NotSupportedException();
    }

    private sealed class Called : IDisposable
    {
        private readonly ulong _session;
        private SamplePart[] _last = [];
        private ulong _n;

        public Called(params IServerFunction[] functions)
            : this(new ServerLimits(), UntimedFunctions.Instance, functions)
        {
        }

        public Called(ServerLimits limits, IFunctionTimer timer, params IServerFunction[] functions)
        {
            Harness = new NodeHarness(limits, functions: functions, timer: timer);
            Harness.OpenTable();
            _session = Harness.OpenSession();
        }

        public NodeHarness Harness { get; }

        public PartReply Call(string function, float[] values, int rows, byte[]? argument = null)
        {
            _last = [Part(function, values, Keys[..rows], argument ?? [])];
            return Repeat();
        }

        public PartReply[] CallInOneFrame(string function, int parts)
        {
            _last = [.. Enumerable.Range(0, parts).Select(i => Part(function, [], [Keys[i]], []))];
            return Send();
        }

        /// <summary>One of the last parts once more, in a frame of its own.</summary>
        public PartReply Again(int part)
        {
            SamplePart[] all = _last;
            _last = [all[part]];
            PartReply reply = Repeat();
            _last = all;
            return reply;
        }

        public PartReply Repeat() => Assert.Single(Send());

        public float[] Pull(int rows) => [.. Keys.Take(rows).Select(key => Harness.Pull(key)!.Value.Value)];

        public void Dispose() => Harness.Dispose();

        private SamplePart Part(string function, float[] values, ulong[] keys, byte[] argument)
        {
            _n++;
            return new SamplePart(Harness.Table, 3, _n, new Seq(0, (uint)_n, 0), PartOperation.Function, keys, values) { Head = FunctionRequest.Head(function, argument) };
        }

        private PartReply[] Send()
        {
            Harness.Receive(FrameKind.Push, new DataBody(_last, []), _session);
            List<PartReply> replies = [];
            Assert.True(PushReplyBody.TryRead(Harness.Body(FrameKind.PushReply), replies));
            return [.. replies];
        }
    }
}
