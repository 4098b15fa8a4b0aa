using Weir.Cli.Training;

namespace Weir.Cli.Progress;

/// <summary>Shows how a run goes. Thread-safe.</summary>
internal interface IProgressDisplay
{
    /// <summary>Shows the meter's moments until the work is done; the work's failure is the caller's to see.</summary>
    Task ShowAsync(TrainingMeter meter, Task work);

    /// <summary>Says a result in between, as part of the output.</summary>
    void Say(string line);

    /// <summary>Says in between what a person should know, on the error stream where that is another.</summary>
    void Note(string line);
}
