using System.Globalization;
using Microsoft.Extensions.Logging;
using Weir.Cli.Commands;
using Weir.Cli.Processes;
using Weir.Cli.Progress;
using Weir.Cli.Reports;
using Weir.Client;
using Weir.Host;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.Metrics;
using Weir.Learn.ProximalGradient;
using Weir.Selection;

namespace Weir.Cli.Training;

/// <summary>
/// One run of <c>weir train</c>: checks everything, brings up or finds the cluster, has the workers hosted, and ends with a model file, its
/// quality and a report.
/// </summary>
internal sealed class TrainingRun(TrainSettings settings, ToolConsole console, StopSignals signals)
{
    // A dead server is noticed by its process first; those who were talking to it know better what was lost.
    private const int ReasonMs = 15_000;

    // The model of a run that is stopped is read from servers that may be busy with the iteration under way.
    private const int LastModelMs = 30_000;

    // All passes are over: what looks at the last one's end has only to be scheduled.
    private const int CountMs = 1000;

    private readonly IProgressDisplay _display =
        console.IsTerminal ? new TerminalProgress(console, settings.Passes) : new PlainProgress(console, settings.Passes);

    /// <summary>Runs to the end.</summary>
    /// <returns>An exit code.</returns>
    public async Task<int> RunAsync()
    {
        CancellationToken stop = signals.Token;
        IReadOnlyList<Func<RowFilter>> ownFilters = settings.OwnFilters?.Load() ?? [];
        LinearModel? initial = settings.InitFrom is null ? null : ModelFile.Read(settings.InitFrom);
        if (initial?.InterceptKey is not null && !settings.Intercept)
        {
            throw new ToolException($"{settings.InitFrom} is a model with an intercept, and --no-intercept trains one without: its weights do not fit. Leave one of the two out");
        }

        ResumePoint? resume = settings.Resume is null ? null : await ResumePoint.FindAsync(settings.Resume, settings.Namespace, stop);
        JsonFile.Check(settings.Report);
        TrainingData data = await Task.Run(() => TrainingData.Open(settings.Data, stop), stop);
        StepChoice? step = settings.ProximalGradient is { } options ? await StepChoice.MakeAsync(options, data, stop) : null;
        ILinearTraining training = step is not null
            ? new ProximalGradientTraining(step.Options, data.Train, data.Summary)
            : new LogisticTraining(settings.Learning, data.Train, data.Summary) { OwnFilters = ownFilters };
        resume?.Check(training, data.Summary, settings.Workers);
        CheckpointPlace? checkpoints = settings.Checkpoints is null ? null : await CheckpointPlace.ToWriteAsync(settings.Checkpoints, stop);
        using OutputFolder output = OutputFolder.Open(settings.Out);
        SayData(data, training, step);

        using var loggers = new StandardErrorLog(console.Error, LogLevel.Warning);
        await using ICluster cluster = await StartClusterAsync(resume?.Checkpoint.SegmentBits ?? settings.SegmentBits, loggers, stop);
        await using WeirClient client = await cluster.ConnectAsync(settings.Filters, stop, settings.Namespace);
        await using ModelTable table = await TableAsync(client, training, data.Summary, resume, stop);
        if (initial is not null)
        {
            await table.SetAsync(initial, stop);
        }

        var best = new BestModel(data);
        var meter = new TrainingMeter(training, settings.Workers);
        long[] pauses = Pauses(meter.Iterations);
        IWorkerHosts hosts = Hosts(cluster, client, table, training, step, meter, data, pauses);
        await using var children = hosts as IAsyncDisposable;
        var bytes = new PassWire(hosts, meter, settings.Passes);
        SayCluster(cluster, hosts, training);
        ClusterStatus before = await client.GetStatusAsync(stop);

        try
        {
            await TrainAsync(cluster, client, hosts, table, meter, bytes, pauses, best, checkpoints, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return await KeepLastAsync(table, output, meter);
        }

        ClientCounters counted = hosts.Wire;
        IReadOnlyList<WireOfPass> byPass = bytes.ByPass();
        BinaryQuality? last = await best.OfferAsync(await table.ReadAsync(stop), stop);
        ClusterStatus status = await client.GetStatusAsync(stop);
        WireOfRun wire = Wire(counted, byPass, ReplicationBytes(before, status));
        meter.Schedule = client.ScheduleOf(table.Job);
        output.Write(best.Model!.Model);
        TrainReport report = Report(data, training, meter, best, output.ModelPath, status, wire);
        if (step is not null)
        {
            double loss = (await Evaluation.MeasureAsync(data.Train, best.Model.Model.LookupAsync, best.Model.Model.InterceptKey, stop)).LogLoss;
            report = report with
            {
                Objective = ((ProximalGradientTraining)training).Objective(best.Model.Model, loss),
                Step = step.Options.Step,
                StepBound = step.Bound,
            };
        }

        SayResult(report, last, best);
        if (settings.Report is not null)
        {
            JsonFile.Write(settings.Report, report, ReportJson.Default.TrainReport);
        }

        return ExitCode.Done;
    }

    private async Task<ModelTable> TableAsync(WeirClient client, ILinearTraining training, DataSummary data, ResumePoint? resume, CancellationToken stop)
    {
        if (resume is null)
        {
            return await ModelTable.OpenAsync(client, training, data, settings, stop);
        }

        await resume.LoadAsync(client, settings.Processes ? settings.Workers : 1, stop);
        console.Say(string.Create(CultureInfo.InvariantCulture, $"going on from checkpoint {resume.Checkpoint.Name}: {resume.Checkpoint.Rows:N0} rows, iteration {resume.Job.Clocks.Min() + 1}"));
        return await ModelTable.ResumeAsync(client, training, resume, stop);
    }

    private async Task<ICluster> StartClusterAsync(int? segmentBits, ILoggerFactory loggers, CancellationToken stop)
    {
        if (settings.Cluster is not null)
        {
            return new RunningCluster(settings.Cluster, loggers);
        }

        return settings.Processes
            ? await ServerProcesses.StartAsync(
                new ServerSet(settings.Servers, segmentBits ?? ServeOptions.SegmentBitsFor(settings.Servers), settings.Transport, settings.Replicas, ServerSet.PeersFor(settings.Servers, settings.Replicas)),
                console,
                loggers,
                stop)
            : new EmbeddedServers(settings.Servers, segmentBits, settings.Replicas, loggers);
    }

    private IWorkerHosts Hosts(
        ICluster cluster, WeirClient client, ModelTable table, ILinearTraining training, StepChoice? step, TrainingMeter meter, TrainingData data, long[] pauses)
    {
        if (!settings.Processes)
        {
            var gate = new PauseGate();
            var workers = new HostedWorkers(training, table.Table, pauses, gate, step => meter.Add(step, Environment.ProcessId));
            return new LocalHost(client, table.Job, workers, gate);
        }

        var order = new HostOrder
        {
            Addresses = [.. cluster.Addresses],
            Group = table.Job.Group,
            Table = table.Name,
            Data = settings.Data,
            Summary = data.Summary,
            Learning = settings.Learning,
            OwnFilters = settings.OwnFilters,
            ProximalGradient = step?.Options,
            Namespace = settings.Namespace,
            Filters = settings.Filters,
            Pauses = pauses,
        };
        return new WorkerProcesses(settings.Workers, order, settings.ContinueWithout, meter, _display.Note);
    }

    /// <summary>Iterations after which the model is measured; the end is measured in any case.</summary>
    private long[] Pauses(long iterations)
    {
        if (settings.EvaluateEveryPasses is not { } every)
        {
            return [];
        }

        double step = Math.Max(1, every * iterations / settings.Passes);
        return [.. Enumerable.Range(1, (int)Math.Min(1_000_000, iterations / step)).Select(k => (long)Math.Round(k * step)).Where(at => at < iterations).Distinct()];
    }

    private async Task TrainAsync(
        ICluster cluster, WeirClient client, IWorkerHosts hosts, ModelTable table, TrainingMeter meter, PassWire bytes, long[] pauses, BestModel best, CheckpointPlace? checkpoints, CancellationToken stop)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        meter.Start();
        Task work = hosts.RunAsync(end.Token);
        Task measuring = MeasureAsync(hosts, work, table, meter, pauses, best, end.Token);
        Task counting = bytes.RunAsync(end.Token);
        Task following = FollowScheduleAsync(client, table.Job, hosts, meter, end.Token);
        _ = RoomNotes.RunAsync(client, _display.Note, end.Token);
        Task saving = checkpoints is not null
            ? new CheckpointSchedule(client, checkpoints.Store, settings.CheckpointEvery, settings.CheckpointsKept).RunAsync(() => meter.LeastClock, _display.Say, _display.Note, end.Token)
            : Task.CompletedTask;
        Task all = Task.WhenAll(work, measuring);
        try
        {
            Task shown = Task.WhenAny(all, work.ContinueWith(_ => { }, TaskScheduler.Default), FailureOf(measuring), cluster.Died);
            await _display.ShowAsync(meter, shown);
            meter.Stop();
            if (cluster.Died.IsCompleted && !work.IsCompleted)
            {
                await Task.WhenAny(work, Task.Delay(ReasonMs, stop));
            }

            if (work.IsFaulted || work.IsCanceled)
            {
                await work;
            }

            if (cluster.Died.IsCompleted)
            {
                throw new ToolException(await cluster.Died);
            }

            await all;
            await Task.WhenAny(counting, Task.Delay(CountMs, stop));
        }
        finally
        {
            await end.CancelAsync();
            await Task.WhenAny(all);
            await Task.WhenAny(following);
            await Task.WhenAny(counting);
            await Task.WhenAny(saving);
        }
    }

    /// <summary>Tells of workers that join and leave, and has the hosts know of them.</summary>
    private async Task FollowScheduleAsync(WeirClient client, Job job, IWorkerHosts hosts, TrainingMeter meter, CancellationToken cancellation)
    {
        WorkerSchedule told = meter.Schedule;
        while (true)
        {
            WorkerSchedule schedule = await client.ScheduleAfterAsync(job, told, cancellation);
            meter.Schedule = schedule;
            hosts.Joined(schedule.Workers);
            for (int worker = 0; worker < schedule.Workers; worker++)
            {
                (long first, long last) = (schedule.FirstIteration(worker), schedule.LastIteration(worker));
                if (first > 1 && (worker >= told.Workers || told.FirstIteration(worker) != first))
                {
                    _display.Say($"worker {worker} joins from iteration {first} on");
                }

                if (last != long.MaxValue && (worker >= told.Workers || told.LastIteration(worker) != last))
                {
                    _display.Say($"worker {worker} leaves after iteration {last}");
                }
            }

            told = schedule;
        }
    }

    /// <summary>
    /// At each pause, once all workers have come to it: measures the model, then lets them go on. Where workers joined, the passes may be over
    /// before the last pauses.
    /// </summary>
    private async Task MeasureAsync(IWorkerHosts hosts, Task work, ModelTable table, TrainingMeter meter, long[] pauses, BestModel best, CancellationToken cancellation)
    {
        for (int pause = 0; pause < pauses.Length; pause++)
        {
            Task reached = meter.ReachedAsync(pauses[pause]);
            if (await Task.WhenAny(reached, work).WaitAsync(cancellation) != reached)
            {
                return;
            }

            BinaryQuality quality = (await best.OfferAsync(await table.ReadAsync(cancellation), cancellation))!;
            double pass = (double)pauses[pause] * settings.Passes / meter.Iterations;
            _display.Say(string.Create(CultureInfo.InvariantCulture, $"after {pass:0.##} passes: test log-loss {quality.LogLoss:F4}, AUC {quality.Auc:F4}"));
            hosts.Lift(pause + 1);
        }
    }

    private async Task<int> KeepLastAsync(ModelTable table, OutputFolder output, TrainingMeter meter)
    {
        using var limit = new CancellationTokenSource(LastModelMs);
        string at = $"stopped by {signals.Reason} after iteration {meter.LeastClock} of {meter.Iterations}";
        try
        {
            ModelSnapshot last = await table.ReadAsync(limit.Token);
            output.Write(last.Model);
            console.Complain($"{at}; the model so far is in {output.ModelPath}");
        }
        catch (Exception exception) when (exception is OperationCanceledException or WeirException)
        {
            console.Complain($"{at}; the model so far could not be read: {exception.Message}");
        }

        return ExitCode.Failed;
    }

    private TrainReport Report(TrainingData data, ILinearTraining training, TrainingMeter meter, BestModel best, string path, ClusterStatus status, WireOfRun wire)
    {
        long rows = 0;
        var workers = new List<WorkerOfRun>();
        WorkerSchedule schedule = meter.Schedule;
        for (int worker = 0; worker < schedule.Workers; worker++)
        {
            (int process, long gone, long clock, long staleness, double compute, double wait) = meter.Worker(worker);
            rows += gone;
            workers.Add(new WorkerOfRun(
                worker, process, gone, clock, schedule.FirstIteration(worker), Math.Min(clock, schedule.LastIteration(worker)), staleness < 0 ? null : staleness, compute, wait));
        }

        return new TrainReport(
            new TrainedRows(data.Summary.Rows, data.Summary.Nonzeros, settings.Passes, meter.Seconds, rows / meter.Seconds),
            best.Quality is null ? null : QualityText.Of(best.Quality, data.Summary.BaseRate),
            new ModelOfRun(best.Model!.Rows, best.Model.Model.Count, path),
            new ClusterOfRun(
                [.. status.Servers.Select(server => new ServerOfRun(server.Id, server.ProcessId, server.Address, server.Rows))],
                workers,
                training.DelayBound,
                status.Segments),
            wire);
    }

    private WireOfRun Wire(ClientCounters counters, IReadOnlyList<WireOfPass> byPass, long replicationBytes) => new(
        counters.PushBytes,
        counters.PullBytes,
        counters.UncompressedBytes,
        replicationBytes,
        counters.Keys,
        counters.Values,
        Filters,
        (counters.ByFilter ?? []).ToDictionary(filter => filter.Filter, filter => new WireOfFilter(filter.BytesIn, filter.BytesOut)),
        byPass);

    /// <summary>What the servers sent down chains between two looks; one that came since, or was started again, began at 0.</summary>
    private static long ReplicationBytes(ClusterStatus before, ClusterStatus after) => after.Servers.Sum(server =>
        server.ReplicationBytes - (before.Servers.FirstOrDefault(s => s.Id == server.Id && s.ProcessId == server.ProcessId)?.ReplicationBytes ?? 0));

    private string Filters => FilterOption.Text(new TrainingFilters(settings.Filters, settings.Learning.SignificantThreshold, settings.Learning.LargestFraction, settings.Learning.SendChance, settings.ProximalGradient?.Kkt ?? false) { Own = settings.OwnFilters?.Words });

    private static async Task FailureOf(Task task)
    {
        await Task.WhenAny(task);
        if (task.IsCompletedSuccessfully)
        {
            await Task.Delay(Timeout.Infinite);
        }
    }

    private void SayData(TrainingData data, ILinearTraining training, StepChoice? step)
    {
        DataSummary summary = data.Summary;
        console.Say($"training on {data.Train.Name}: {Count(summary.Rows, "row")}, {Count(summary.Nonzeros, "non-zero")}, {Count(settings.Passes, "pass", "passes")}");
        if (step is not null)
        {
            console.Say(step.Describe());
            if (step.Warning is { } warning)
            {
                console.Complain(warning);
            }
        }
        else if (settings.Learning.BatchRows is null && training.Cut.BatchRows < LogisticOptions.LargestDefaultBatchRows)
        {
            console.Say($"batches of {Count(training.Cut.BatchRows, "row")}: the default of {LogisticOptions.LargestDefaultBatchRows} is more than a twentieth of the data; --batch sets another");
        }
    }

    private void SayCluster(ICluster cluster, IWorkerHosts hosts, ILinearTraining training)
    {
        string delay = training.DelayBound is { } bound ? $"delay {bound}" : "no delay bound";
        console.Say($"{cluster.Description}; {hosts.Description}; {delay}{(training.Aggregates ? ", gradients summed" : "")}{(Filters == FilterOption.None ? "" : $", filters {Filters}")}");
    }

    private void SayResult(TrainReport report, BinaryQuality? last, BestModel best)
    {
        console.Say(string.Create(
            CultureInfo.InvariantCulture,
            $"trained {report.Train.RowsPerSecond * report.Train.Seconds:N0} rows in {report.Train.Seconds:F1} s ({report.Train.RowsPerSecond:N0} rows/s)"));
        foreach (string line in report.Test is null ? [] : QualityText.Lines(report.Test, "the training set's base rate"))
        {
            console.Say(line);
        }

        if (report.Objective is { } objective)
        {
            string scale = settings.ProximalGradient!.LossScale == LossScale.Sum ? "sum" : "mean";
            console.Say(string.Create(CultureInfo.InvariantCulture, $"objective {objective:G9} ({scale} of the training losses and penalties)"));
        }

        if (last is not null && last.LogLoss > best.Quality!.LogLoss)
        {
            console.Say(string.Create(CultureInfo.InvariantCulture, $"this is the best model measured; the last one's log-loss is {last.LogLoss:F4}"));
        }

        console.Say($"model {report.Model.Path}: {Count(report.Model.NonZero, "weight")} of {Count(report.Model.Rows, "row")} not 0");
    }

    private static string Count(long number, string one, string? many = null) =>
        string.Create(CultureInfo.InvariantCulture, $"{number:N0} {(number == 1 ? one : many ?? one + "s")}");
}
