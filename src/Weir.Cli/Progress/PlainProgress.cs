using System.Globalization;
using Weir.Cli.Training;

namespace Weir.Cli.Progress;

/// <summary>A line every few seconds, for a file or a program that reads.</summary>
internal sealed class PlainProgress(ToolConsole console, int passes) : IProgressDisplay
{
    private const int LineMs = 2000;

    public async Task ShowAsync(TrainingMeter meter, Task work)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(LineMs));
        while (await Task.WhenAny(work, timer.WaitForNextTickAsync().AsTask()) != work)
        {
            console.Say(Line(meter.Now(), passes));
        }
    }

    public void Say(string line) => console.Say(line);

    public void Note(string line) => console.Complain(line);

    /// <summary>A moment as a line.</summary>
    public static string Line(TrainingMoment now, int passes)
    {
        string loss = double.IsNaN(now.Loss) ? "" : string.Create(CultureInfo.InvariantCulture, $", loss {now.Loss:F4}");
        string left = now.Share is > 0 and < 1 ? $", {Time(now.Left)} left" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{100 * now.Share,3:F0} %, pass {now.Pass} of {passes}, {now.RowsPerSecond:N0} rows/s{loss}{left}");
    }

    private static string Time(TimeSpan time) => time.TotalSeconds < 100
        ? string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:F0} s")
        : string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:F0} min");
}
