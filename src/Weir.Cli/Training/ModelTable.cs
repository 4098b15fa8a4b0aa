using Weir.Client;
using Weir.Learn.Data;
using Weir.Learn.Logistic;

namespace Weir.Cli.Training;

/// <summary>A model as it stood in its table.</summary>
/// <param name="Model">The weights.</param>
/// <param name="Rows">Rows of the table, those of weight 0 included.</param>
internal sealed record ModelSnapshot(LinearModel Model, long Rows);

/// <summary>The job and the table of one run, under a name that no other run has. Both are gone from the cluster at the end.</summary>
internal sealed class ModelTable : IAsyncDisposable
{
    private const int SetRows = 16_384;

    // At the end of a run nobody waits long for a cluster that does not answer.
    private const int FarewellMs = 2000;

    private readonly WeirClient _client;
    private readonly ILinearTraining _training;

    private ModelTable(WeirClient client, Job job, WeirTable table, ILinearTraining training) =>
        (_client, Job, Table, _training) = (client, job, table, training);

    public Job Job { get; }

    public WeirTable Table { get; }

    /// <summary>The name of both.</summary>
    public string Name => Table.Name;

    /// <summary>Opens both in the cluster.</summary>
    public static async Task<ModelTable> OpenAsync(
        WeirClient client, ILinearTraining training, DataSummary data, TrainSettings settings, CancellationToken cancellation)
    {
        string name = TrainingName.New(data, training).ToString();
        var options = new JobOptions
        {
            Name = name,
            Workers = settings.Workers,
            Hosts = settings.Processes ? settings.Workers : 1,
            ContinueWithout = settings.ContinueWithout,
        };
        Job job = await client.OpenJobAsync(options, cancellation);
        WeirTable table = await client.OpenTableAsync(training.Table(name, job), cancellation);
        return new ModelTable(client, job, table, training);
    }

    /// <summary>Opens those of a run that goes on from a checkpoint, which was checked and loaded.</summary>
    public static async Task<ModelTable> ResumeAsync(WeirClient client, ILinearTraining training, ResumePoint resume, CancellationToken cancellation)
    {
        Job job = await client.FindJobAsync(resume.Job.Name, cancellation);
        return new ModelTable(client, job, await client.OpenTableAsync(training.Table(resume.Job.Name, job), cancellation), training);
    }

    /// <summary>Sets the weights to a model's.</summary>
    public async Task SetAsync(LinearModel model, CancellationToken cancellation)
    {
        ulong[] keys = model.Keys.ToArray();
        ReadOnlyMemory<float> rows = _training.Rows(model.Weights.ToArray());
        int width = Table.Width;
        if (model.InterceptKey is { } former && Array.IndexOf(keys, former) is >= 0 and int at)
        {
            keys[at] = LogisticOptions.InterceptKey;
        }

        for (int start = 0; start < keys.Length; start += SetRows)
        {
            int count = Math.Min(SetRows, keys.Length - start);
            await _client.SetAsync(Table, keys.AsMemory(start, count), rows.Slice(start * width, count * width), cancellation);
        }
    }

    /// <summary>Reads the whole table.</summary>
    /// <exception cref="ToolException">The training diverged.</exception>
    public async Task<ModelSnapshot> ReadAsync(CancellationToken cancellation)
    {
        try
        {
            (LinearModel model, long rows) = await _training.ReadModelAsync(_client, Table, cancellation);
            return new ModelSnapshot(model, rows);
        }
        catch (ArgumentException exception)
        {
            throw new ToolException(exception.Message.Split(" (Parameter")[0], exception);
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var limit = new CancellationTokenSource(FarewellMs);
        try
        {
            await _client.EndJobAsync(Job, limit.Token);
            await _client.DropTableAsync(Table, limit.Token);
        }
        catch (Exception exception) when (exception is WeirException or OperationCanceledException or ObjectDisposedException)
        {
            // The cluster is gone, and both with it.
        }
    }
}
