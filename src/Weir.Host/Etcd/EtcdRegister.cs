using System.Collections.Concurrent;
using System.Diagnostics;
using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Weir.Host.Sockets;
using Weir.Register;
using Weir.Wire;

namespace Weir.Host.Etcd;

/// <summary>
/// The register in an etcd that an organisation runs already (design R1): a cell is a key, a swap a transaction on the key's version. It asks one
/// member after the other until one answers or the deadline has passed, and repeats a swap with the nonce of the first try: so a swap whose
/// answer was lost is found again, and is told as Unknown only where nobody can know. Operations on a cell take place in the order in which they
/// were begun. The node's loop begins them and takes their results, and is woken from another thread when one has come. Begin and take from one
/// thread at a time.
/// </summary>
internal sealed class EtcdRegister : IRegister, IAsyncDisposable
{
    private readonly EtcdAddress _address;
    private readonly EtcdOptions _options;
    private readonly ILogger _log;
    private readonly Action _wake;
    private readonly EtcdGateway _gateway = new();
    private readonly ConcurrentQueue<RegisterResult> _results = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Cell[] _cells;
    private int _member;

    /// <param name="address">The members and the prefix.</param>
    /// <param name="options">Times and bounds.</param>
    /// <param name="log">Hears of operations that ended as Unknown, and why.</param>
    /// <param name="wake">Called after each result that did not come at once; must not block.</param>
    public EtcdRegister(EtcdAddress address, EtcdOptions options, ILogger log, Action wake)
    {
        options.Validate();
        (_address, _options, _log, _wake) = (address, options, log, wake);
        _cells = [new Cell($"{address.Prefix}/lease"), new Cell($"{address.Prefix}/map")];
    }

    /// <summary>One of the cells: its key, what waits, and whether somebody works on it. Its lock guards the last two.</summary>
    private sealed class Cell(string key)
    {
        public string Key { get; } = key;

        public Queue<Operation> Waiting { get; } = new();

        public Task Work { get; set; } = Task.CompletedTask;

        public bool IsAtWork { get; set; }
    }

    private sealed record Operation(ulong Ticket, bool IsSwap, ulong ExpectedVersion, CellValue Value, long Began);

    /// <inheritdoc/>
    public void Read(RegisterCell cell, ulong ticket) => Begin(_cells[(int)cell], new Operation(ticket, IsSwap: false, 0, default, Stopwatch.GetTimestamp()));

    /// <inheritdoc/>
    public void CompareAndSwap(RegisterCell cell, ulong expectedVersion, ReadOnlyMemory<byte> value, ulong ticket)
    {
        ulong nonce = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));
        Begin(_cells[(int)cell], new Operation(ticket, IsSwap: true, expectedVersion, new CellValue(expectedVersion + 1, nonce, value), Stopwatch.GetTimestamp()));
    }

    /// <inheritdoc/>
    public bool TryTakeResult(out RegisterResult result) => _results.TryDequeue(out result);

    /// <summary>Ends what is under way, as Unknown.</summary>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync().ConfigureAwait(false);
        foreach (Cell cell in _cells)
        {
            await cell.Work.ConfigureAwait(false);
        }

        _gateway.Dispose();
        _stop.Dispose();
    }

    private void Begin(Cell cell, Operation operation)
    {
        lock (cell)
        {
            if (cell.Waiting.Count < _options.Waiting)
            {
                cell.Waiting.Enqueue(operation);
                if (!cell.IsAtWork)
                {
                    cell.IsAtWork = true;
                    cell.Work = Task.Run(() => WorkAsync(cell));
                }

                return;
            }
        }

        _results.Enqueue(new RegisterResult(operation.Ticket, RegisterOutcome.Unknown, 0, default));
    }

    private async Task WorkAsync(Cell cell)
    {
        while (true)
        {
            Operation? operation;
            lock (cell)
            {
                if (!cell.Waiting.TryDequeue(out operation))
                {
                    cell.IsAtWork = false;
                    return;
                }
            }

            RegisterResult result = new(operation.Ticket, RegisterOutcome.Unknown, 0, default);
            try
            {
                result = await DoAsync(cell.Key, operation).ConfigureAwait(false);
            }
            catch (Exception fault)
            {
                // A defect ends this operation, and neither those that wait behind it nor the node that waits for it.
                Log.EtcdDefect(_log, fault, cell.Key);
            }

            _results.Enqueue(result);
            _wake();
        }
    }

    private async Task<RegisterResult> DoAsync(string key, Operation operation)
    {
        byte[] body = operation.IsSwap ? EtcdMessages.Swap(key, operation.ExpectedVersion, operation.Value) : EtcdMessages.Read(key);
        string path = operation.IsSwap ? EtcdMessages.SwapPath : EtcdMessages.ReadPath;
        Dictionary<HostAddress, string> faults = [];
        bool mayTakePlace = false;
        for (int tries = 1; LeftMs(operation) is var left and > 0 && !_stop.IsCancellationRequested; tries++)
        {
            int index = Volatile.Read(ref _member);
            HostAddress member = _address.Members[index];
            EtcdAttempt attempt = await _gateway.AskAsync(member, path, body, key, Math.Min(left, _options.AttemptMs), _stop.Token).ConfigureAwait(false);
            mayTakePlace |= attempt.MayTakePlace;
            if (attempt.Answer is { } answer)
            {
                return Result(operation, answer, mayTakePlace);
            }

            // A last try that the deadline cut short says less than one before it.
            if (left >= _options.AttemptMs || !faults.ContainsKey(member))
            {
                faults[member] = attempt.Fault;
            }

            Log.EtcdMemberFailed(_log, member.ToString(), attempt.Fault);
            if (attempt.IsFinal)
            {
                break;
            }

            // The other cell's operation may have gone on to the next member already.
            Interlocked.CompareExchange(ref _member, (index + 1) % _address.Members.Count, index);
            if (tries % _address.Members.Count == 0)
            {
                await Task.Delay(Math.Min(_options.RetryMs, Math.Max(0, LeftMs(operation))), CancellationToken.None).ConfigureAwait(false);
            }
        }

        if (!_stop.IsCancellationRequested)
        {
            string said = faults.Count == 0 ? "others waited before it" : string.Join("; ", faults.Select(f => $"{f.Key} {f.Value}"));
            Log.EtcdUnknown(_log, operation.IsSwap ? "swap" : "read", key, _options.DeadlineMs, said);
        }

        return new RegisterResult(operation.Ticket, RegisterOutcome.Unknown, 0, default);
    }

    /// <summary>
    /// What an answer says of a swap. One version has one writer: where the next version is another's this swap did not take place, where it is
    /// its own it did. Otherwise it did not, unless a copy of it may still be under way, or took place and was written over.
    /// </summary>
    private static RegisterResult Result(Operation operation, in EtcdAnswer answer, bool mayTakePlace)
    {
        CellValue cell = answer.Cell;
        bool isMine = operation.IsSwap && (answer.IsWritten || cell.Nonce == operation.Value.Nonce);
        if (isMine)
        {
            return new RegisterResult(operation.Ticket, RegisterOutcome.Done, operation.Value.Version, operation.Value.Bytes);
        }

        bool isOthers = cell.Version == operation.ExpectedVersion + 1;
        RegisterOutcome outcome = !operation.IsSwap ? RegisterOutcome.Done : isOthers || !mayTakePlace ? RegisterOutcome.Mismatch : RegisterOutcome.Unknown;
        return outcome == RegisterOutcome.Unknown
            ? new RegisterResult(operation.Ticket, outcome, 0, default)
            : new RegisterResult(operation.Ticket, outcome, cell.Version, cell.Bytes);
    }

    private int LeftMs(Operation operation) => _options.DeadlineMs - (int)Math.Min(int.MaxValue, Stopwatch.GetElapsedTime(operation.Began).TotalMilliseconds);
}
