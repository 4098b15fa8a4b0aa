using Weir.Placement;
using Weir.Register;

namespace Weir.Tests.Register;

/// <summary>What every register does, whoever keeps it (design R1).</summary>
public class RegisterConformanceTests(RegisterKinds kinds) : IClassFixture<RegisterKinds>
{
    public static TheoryData<string> Kinds => ["lone", "paxos 1", "paxos 3", "paxos 5", "etcd 1", "etcd 3"];

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task An_empty_cell_has_version_0_and_no_bytes(string kind) => With(kind, subject =>
    {
        RegisterResult read = subject.Read(RegisterCell.Map);
        Assert.Equal((RegisterOutcome.Done, 0ul, 0), (read.Outcome, read.Version, read.Value.Length));
    });

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task A_swap_of_the_expected_version_is_read_by_everybody_under_the_next(string kind) => With(kind, subject =>
    {
        for (ulong version = 0; version < 5; version++)
        {
            RegisterResult swap = subject.Swap(RegisterCell.Map, version, [(byte)version, 9]);
            Assert.Equal((RegisterOutcome.Done, version + 1), (swap.Outcome, swap.Version));
            Assert.Equal([(byte)version, 9], swap.Value.ToArray());
            RegisterResult read = subject.ReadElsewhere(RegisterCell.Map);
            Assert.Equal((RegisterOutcome.Done, version + 1), (read.Outcome, read.Version));
            Assert.Equal([(byte)version, 9], read.Value.ToArray());
        }
    });

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task A_swap_of_another_version_changes_nothing_and_is_told_what_stands(string kind) => With(kind, subject =>
    {
        subject.Swap(RegisterCell.Lease, 0, [1]);
        foreach (ulong expected in (ulong[])[0, 2, 77])
        {
            RegisterResult late = subject.Swap(RegisterCell.Lease, expected, [2]);
            Assert.Equal((RegisterOutcome.Mismatch, 1ul), (late.Outcome, late.Version));
            Assert.Equal([1], late.Value.ToArray());
        }

        Assert.Equal([1], subject.ReadElsewhere(RegisterCell.Lease).Value.ToArray());
        Assert.Equal(RegisterOutcome.Done, subject.SwapElsewhere(RegisterCell.Lease, 1, [3]).Outcome);
        Assert.Equal((RegisterOutcome.Mismatch, 2ul), (subject.Swap(RegisterCell.Lease, 0, [4]).Outcome, subject.Read(RegisterCell.Lease).Version));
    });

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task The_cells_know_nothing_of_each_other(string kind) => With(kind, subject =>
    {
        subject.Swap(RegisterCell.Lease, 0, [1]);
        Assert.Equal(0ul, subject.Read(RegisterCell.Map).Version);
        Assert.Equal(1ul, subject.Swap(RegisterCell.Map, 0, [3]).Version);
        Assert.Equal([1], subject.Read(RegisterCell.Lease).Value.ToArray());
    });

    [Theory]
    [MemberData(nameof(Kinds))]
    public Task A_cell_holds_the_largest_map_and_the_next_after_it(string kind) => With(kind, subject =>
    {
        byte[] large = new byte[MapEncoding.MaxBytes];
        for (ulong version = 0; version < 3; version++)
        {
            new Random((int)version).NextBytes(large);
            Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, version, [.. large]).Outcome);
            Assert.Equal(large, subject.ReadElsewhere(RegisterCell.Map).Value.ToArray());
        }

        byte[] map = MapEncoding.Encode(Placement.MapSizeTests.Largest());
        Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, 3, map).Outcome);
        Assert.Equal(map, subject.ReadElsewhere(RegisterCell.Map).Value.ToArray());
    });

    [Theory]
    [InlineData(3)]
    [InlineData(5)]
    public void Without_a_majority_an_operation_ends_as_unknown_and_with_one_it_takes_place(int acceptors)
    {
        PaxosSubject subject = new(acceptors);
        subject.Swap(RegisterCell.Map, 0, [1]);
        subject.Stop((acceptors / 2) + 1);
        Assert.Equal(RegisterOutcome.Unknown, subject.Swap(RegisterCell.Map, 1, [2]).Outcome);
        Assert.Equal(RegisterOutcome.Unknown, subject.Read(RegisterCell.Map).Outcome);
        subject.Start();
        RegisterResult read = subject.ReadElsewhere(RegisterCell.Map);
        Assert.Equal(RegisterOutcome.Done, read.Outcome);
        Assert.Equal(RegisterOutcome.Done, subject.Swap(RegisterCell.Map, read.Version, [3]).Outcome);
    }

    private async Task With(string kind, Action<RegisterSubject> test)
    {
        RegisterSubject subject = await kinds.OpenAsync(kind);
        try
        {
            test(subject);
        }
        finally
        {
            if (subject is IAsyncDisposable held)
            {
                await held.DisposeAsync();
            }
        }
    }
}
