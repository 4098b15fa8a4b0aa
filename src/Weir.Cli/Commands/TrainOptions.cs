using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Numerics;
using Weir.Cli.Processes;
using Weir.Cli.Training;
using Weir.Keys;
using Weir.Learn.Data;
using Weir.Learn.Logistic;
using Weir.Learn.ProximalGradient;

namespace Weir.Cli.Commands;

/// <summary>The options of <c>weir train</c>, each with its default and the reason for it.</summary>
internal sealed class TrainOptions
{
    private const int MostServers = 1000;
    private const int MostWorkers = 1000;
    private const string ProximalGradientName = "dbpg";

    private static readonly Dictionary<string, UpdateRuleKind> Rules = new()
    {
        ["ftrl"] = UpdateRuleKind.Ftrl,
        ["adagrad"] = UpdateRuleKind.Adagrad,
        ["sgd"] = UpdateRuleKind.Sgd,
        ["adam"] = UpdateRuleKind.Adam,
        ["momentum"] = UpdateRuleKind.Momentum,
        ["proximal"] = UpdateRuleKind.ProximalSgd,
    };

    private static readonly UpdateRuleKind[] Penalised = [UpdateRuleKind.Ftrl, UpdateRuleKind.ProximalSgd];
    private static readonly UpdateRuleKind[] WithoutBeta = [UpdateRuleKind.Sgd, UpdateRuleKind.ProximalSgd];
    private static readonly UpdateRuleKind[] WithDecay = [UpdateRuleKind.Adam, UpdateRuleKind.Momentum];

    private readonly Option<string?> _train = CheckedOption.Text(
        "--train", "Rows to train on, LIBSVM text, plain or gzip. Default: a generated click log of 200,000 rows, so that it runs without data.", "FILE");

    private readonly Option<string?> _test = CheckedOption.Text(
        "--test", "Rows to measure the model on. Default: none with --train; with the click log its own 50,000 test rows.", "FILE");

    private readonly Option<string> _out = new("--out")
    {
        Description = "Folder of the model, written to model.weir in it. The default lies beside the data of a first try.",
        HelpName = "DIR",
        DefaultValueFactory = _ => "weir-model",
    };

    private readonly Option<string?> _report = CheckedOption.Text("--report", "Also write what was measured as JSON. Default: no file.", "FILE.json");

    private readonly Option<ulong> _seed = new("--seed")
    {
        Description = "Draws the generated click log, its true weights and its rows, and the order of the blocks of dbpg. The default is as good as any.",
        HelpName = "S",
        DefaultValueFactory = _ => 1,
        CustomParser = ParseSeed,
    };

    private readonly Option<string> _method = CheckedOption.Word(
        "--method",
        "sgd goes through batches of rows; dbpg, delayed block proximal gradient, through blocks of features, each step with all rows, which have to be in the workers' memory: "
        + "it ends at the optimum of losses and penalties, where sgd ends near it. Default sgd: it needs a few passes and no memory.",
        ["sgd", ProximalGradientName], [], "sgd");

    private readonly Option<long?> _blocks = CheckedOption.WholeOrNone(
        "--blocks", "dbpg: blocks of the features, one an iteration. Default 16: more allow a larger step and cost more messages.", 1, ProximalGradientOptions.MostBlocks, "B");

    private readonly Option<double?> _step = new("--step")
    {
        Description = "dbpg: the step, or bound for the largest one for which convergence is known (docs/convergence.md). Default bound. A larger one often does well, and may not converge.",
        HelpName = "GAMMA|bound",
        CustomParser = ParseStep,
    };

    private readonly Option<string> _curvature = CheckedOption.Word(
        "--curvature",
        "dbpg: what a gradient is divided by: the largest second derivative that the loss has anywhere (bound) or near the weights (local), which takes longer steps and for which "
        + "no step is known to converge. Default bound.",
        ["bound", "local"], [], "bound");

    private readonly Option<string> _lossScale = CheckedOption.Word(
        "--loss-scale",
        "dbpg: whether the objective has the sum or the mean of the rows' losses beside the penalties. Default sum, as in the papers and in LIBLINEAR with C = 1.",
        ["sum", "mean"], [], "sum");

    private readonly Option<string> _rule = new("--rule")
    {
        Description = "Update rule at the servers; proximal is SGD with penalties. The default makes weights exactly zero, as proximal does, and fits its rates to rare keys.",
        HelpName = string.Join('|', Rules.Keys),
        DefaultValueFactory = _ => "ftrl",
        CustomParser = ParseRule,
    };

    private readonly Option<double?> _alpha = CheckedOption.Real(
        "--alpha",
        "Learning rate. Default: 0.15 for ftrl, 0.1 adagrad, 0.0003 sgd, 0.005 adam, 0.00015 momentum, 0.0003 proximal, which did well on the click log and on UCI Adult.",
        false, "A");

    private readonly Option<double?> _beta = CheckedOption.Real(
        "--beta", "ftrl: smoothing of the rate (default 10: a batch's summed gradients are large); adagrad: added to the root (default 1); "
        + "adam: decay of the mean, below 1 (default 0.9, its paper's); momentum: how much of the velocity a push leaves, below 1 (default 0.5: delayed pushes swing up a larger one).", true, "B");

    private readonly Option<double?> _l1 = CheckedOption.Real(
        "--l1",
        "L1 penalty, for ftrl, proximal and dbpg. Default for ftrl 5: in units of summed gradient, so that a key seen a few times weighs nothing; for proximal, which "
        + "takes it off at each push, 0.2; for --method dbpg 1 row's loss, that is 1 for --loss-scale sum.",
        true, "X");

    private readonly Option<double?> _l2 = CheckedOption.Real(
        "--l2", "L2 penalty, for ftrl, proximal and dbpg. Default for ftrl 1: hardly more than keeps rare keys small; for the others 0.", true, "X");

    private readonly Option<long> _admitAfter = CheckedOption.Whole(
        "--admit-after",
        "A key gets a row with the so many-th batch that has it; what the ones before taught is lost. Default 1: at once. More saves the memory of rare keys; "
        + "the bits of --delay 0 are then the same for the same --segments.",
        1, 1, 100);

    private readonly Option<long?> _expireAfter = CheckedOption.WholeOrNone(
        "--expire-after",
        "Forget a weight once every worker is more than so many iterations past its last push. Default: never. Below the iterations of a pass it forgets keys that each pass has.",
        1, int.MaxValue, "CLOCKS");

    private readonly Option<long> _passes = CheckedOption.Whole(
        "--passes", "Passes over the data. Default 3: a fourth gains less than it costs; for --method dbpg 100: each is one step of every weight.", 3, 1, 1_000_000, "P");

    private readonly Option<long?> _batch = CheckedOption.WholeOrNone(
        "--batch",
        "Rows between a worker's pushes. Default 4096: what a message costs by itself then does not show; where that is more than a "
        + "twentieth of the data, a hundredth of it, for enough updates a pass.",
        1, 1 << 24, "B");

    private readonly Option<long> _servers = CheckedOption.Whole(
        "--servers", "Server nodes to start. Default 2: the model is divided, which is what the tool is about, and small machines have two cores.", 2, 1, MostServers);

    private readonly Option<long> _replicas = ServeCommand.ReplicasOption(
        "How many servers hold each part of the model beside the one that leads it, so that as many may die. Default 0: single copies.");

    private readonly Option<long> _workers = CheckedOption.Whole(
        "--workers", "Workers, each with its share of the rows. Default 2, for two cores.", 2, 1, MostWorkers);

    private readonly Option<int?> _delay = new("--delay")
    {
        Description = "How many iterations a worker may be ahead of the slowest; none for no bound; 0 is sequential, sums the workers' gradients "
            + "and gives the same bits every time; dbpg always sums and needs a bound. Default 1: the next pull overlaps the computation, at no loss of quality.",
        HelpName = "T|none",
        DefaultValueFactory = _ => 1,
        CustomParser = ParseDelay,
    };

    private readonly Option<bool> _aggregate = new("--aggregate")
    {
        Description = "Sum the workers' gradients of an iteration and apply the rule once. Default: only with --delay 0, since others need not wait for the sum.",
    };

    private readonly Option<bool> _noIntercept = new("--no-intercept")
    {
        Description = "Rows have no intercept, the weight that each has with value 1. Default: they have one, since few data are centred; without it a run can be compared with solvers that have none.",
    };

    private readonly Option<int?> _segments = SegmentsOption(
        "Slices of the key space, a power of two from 64 to 131072. Default: the smallest number that gives a server 100, so that they can be shared out evenly.");

    private readonly Option<bool> _processes = new("--processes")
    {
        Description = "Every server and every worker's host is a process of its own. Default: all in this process, which starts sooner and copies less.",
    };

    private readonly Option<bool> _continueWithout = new("--continue-without")
    {
        Description = "When a process that hosts workers dies, go on without them. Default: another hosts them, so that all rows are gone through and the "
            + "model is the same.",
    };

    private readonly Option<Transport> _transport = TransportOption.Create(
        "What the processes of --processes talk over: tcp, or unix for sockets in a temporary folder. Default tcp: what a cluster of many machines uses. "
        + "Without --processes no sockets are used, and it makes no difference.");

    private readonly Option<string[]?> _cluster = CheckedOption.Addresses(
        "--cluster", $"Train on servers started with `weir serve`; gives up after {ClusterConnection.ConnectMs / 1000} s where nobody answers. Default: servers of its own.");

    private readonly Option<string> _namespace = CheckedOption.Namespace(
        "Work in this namespace, which keeps the run's job and table apart from others' and may have a quota of memory: see `weir namespace`.");

    private readonly Option<string?> _plugIns = CheckedOption.Text(
        "--plug-ins", "A folder of assemblies with filters of rows of your own, which --filters names as NAME or NAME:ARGUMENT (docs/functions.md). Default: none.", "FOLDER");

    private readonly Option<TrainingFilters> _filters;

    private readonly Option<string?> _initFrom = CheckedOption.Text("--init-from", "Begin with the weights of this model file. Default: all weights are 0.", "FILE");

    private readonly Option<double?> _evaluateEvery = CheckedOption.Real(
        "--evaluate-every",
        "Measure on the test rows after every so many passes (0.5 is twice a pass) and write the model that measured best. Default: "
        + "measure once, at the end, and write the last model, since every measurement makes the workers wait.",
        false, "PASSES");

    private readonly Option<string?> _checkpoint = CheckedOption.Checkpoints(
        "--checkpoint", "Write checkpoints to this folder, or this prefix of a bucket, while training; nobody waits for them. Default: none.", required: false);

    private readonly Option<CheckpointInterval> _checkpointEvery = new("--checkpoint-every")
    {
        Description = "How often: 30s, 10m, 2h, or 100clocks of the slowest worker. Default 5m: what is lost is then small against what training it took.",
        HelpName = "T",
        DefaultValueFactory = _ => CheckpointInterval.Default,
        CustomParser = ParseInterval,
    };

    private readonly Option<long> _checkpointsKept = CheckedOption.Whole(
        "--checkpoints-kept", "How many stay; older ones are deleted. Default 2: the last, and one in case that it is damaged.", 2, 1, 1_000_000);

    private readonly Option<string?> _resume = CheckedOption.Checkpoints(
        "--resume",
        "Go on from the last checkpoint in this folder or below this prefix, with the same data and options but any number of servers. --delay, but for 0, and --passes may differ. "
        + "Default: begin anew.",
        required: false);

    private readonly Option<long> _rows = Hidden(CheckedOption.Whole("--rows", "Rows of the click log.", ClickLog.DefaultTrainRows, 1, int.MaxValue));

    private readonly Option<long> _testRows = Hidden(CheckedOption.Whole("--test-rows", "Test rows of the click log.", ClickLog.DefaultTestRows, 1, int.MaxValue));

    public TrainOptions() => _filters = FilterOption.CreateForTraining(
        "What makes requests and answers shorter: key-cache, varint and zero change no bit; bf16 and int8 round gradients and pulled weights at random, right on the average; "
        + "significant:X holds a key's gradients back until they sum up to more than X, top-k:F pushes the part F of a batch's keys with the largest gradients and holds the others back, "
        + "kkt, of dbpg, leaves out weights that are zero and will stay so; "
        + "skip:Q pushes a key's gradient with the chance Q, multiplied by 1/Q, and drops the others. What is held back is pushed in the last pass. Default none: within a machine bytes are cheaper than the time to leave them out.",
        _plugIns);

    /// <summary>All of them, in the order of the help page.</summary>
    public IEnumerable<Option> All =>
        [_train, _test, _out, _report, _seed, _method, _blocks, _step, _curvature, _lossScale, _rule, _alpha, _beta, _l1, _l2, _admitAfter, _expireAfter, _passes, _batch, _servers, _replicas, _workers, _delay, _aggregate, _noIntercept, _segments,
            _processes, _continueWithout, _transport, _cluster, _namespace, _filters, _plugIns, _initFrom, _evaluateEvery, _checkpoint, _checkpointEvery, _checkpointsKept, _resume,
            _rows, _testRows];

    /// <summary>The option of a cluster's segments; its value is their number in bits.</summary>
    public static Option<int?> SegmentsOption(string help) => new("--segments")
    {
        Description = help,
        HelpName = "N",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int segments)
                && segments is >= 64 and <= 131_072 && BitOperations.IsPow2(segments))
            {
                return BitOperations.Log2((uint)segments);
            }

            result.AddError($"--segments is '{text}'; it must be a power of two from 64 to 131072");
            return null;
        },
    };

    /// <summary>Adds an error for every pair of options that contradict each other.</summary>
    public void CheckTogether(CommandResult result)
    {
        Contradict(_test, _train, needs: true, "the generated click log has its own test rows");
        Contradict(_cluster, _servers, needs: false, "the cluster has the servers that it has");
        Contradict(_cluster, _replicas, needs: false, "the cluster has the replicas that its first server was told");
        Contradict(_cluster, _segments, needs: false, "the first server fixed the number of segments");
        Contradict(_cluster, _transport, needs: false, "the cluster's addresses say how it is reached");
        Contradict(_checkpointEvery, _checkpoint, needs: true, "it says how often they are written");
        Contradict(_checkpointsKept, _checkpoint, needs: true, "it says how many of them stay");
        Contradict(_resume, _initFrom, needs: false, "the checkpoint has the weights");
        Contradict(_resume, _segments, needs: false, "the checkpoint has the number that it was written with");
        Contradict(_train, _rows, needs: false, "it is the click log's size");
        Contradict(_train, _testRows, needs: false, "it is the click log's size");
        if (result.IsGiven(_evaluateEvery) && result.IsGiven(_train) && !result.IsGiven(_test))
        {
            result.AddError("--evaluate-every needs rows to measure on: add --test FILE");
        }

        if (result.IsGiven(_expireAfter) && (result.IsGiven(_aggregate) || (result.GetResult(_delay)?.Tokens is [Token delay, ..] && delay.Value == "0")))
        {
            result.AddError("--expire-after contradicts --aggregate and --delay 0: summed gradients give the same bits always, and when a weight is forgotten does not");
        }

        CheckRule(result);
        CheckMethod(result);

        void Contradict(Option option, Option other, bool needs, string reason)
        {
            if (result.IsGiven(option) && result.IsGiven(other) != needs)
            {
                result.AddError(needs ? $"{option.Name} needs {other.Name}: {reason}" : $"{option.Name} and {other.Name} contradict each other: {reason}");
            }
        }
    }

    /// <summary>The values of a command line that parsed.</summary>
    public TrainSettings Read(ParseResult parsed)
    {
        return new TrainSettings
        {
            Data = new DataSettings(
                parsed.GetValue(_train), parsed.GetValue(_test), parsed.GetValue(_seed), parsed.GetValue(_rows), parsed.GetValue(_testRows)),
            Out = parsed.GetValue(_out)!,
            Report = parsed.GetValue(_report),
            Learning = new LogisticOptions
            {
                Rule = Rules[parsed.GetValue(_rule)!],
                Alpha = (float?)parsed.GetValue(_alpha),
                Beta = (float?)parsed.GetValue(_beta),
                L1 = (float?)parsed.GetValue(_l1),
                L2 = (float?)parsed.GetValue(_l2),
                AdmitAfterSightings = (int)parsed.GetValue(_admitAfter),
                ExpireAfterClocks = (int?)parsed.GetValue(_expireAfter),
                Passes = (int)parsed.GetValue(_passes),
                BatchRows = (int?)parsed.GetValue(_batch),
                DelayBound = parsed.GetValue(_delay),
                Aggregate = parsed.GetValue(_aggregate) ? true : null,
                Intercept = !parsed.GetValue(_noIntercept),
                SignificantThreshold = parsed.GetValue(_filters).Significant,
                LargestFraction = parsed.GetValue(_filters).TopK,
                SendChance = parsed.GetValue(_filters).Skip,
            },
            ProximalGradient = parsed.GetValue(_method) == ProximalGradientName ? ReadProximalGradient(parsed) : null,
            Servers = (int)parsed.GetValue(_servers),
            Replicas = (int)parsed.GetValue(_replicas),
            Workers = (int)parsed.GetValue(_workers),
            SegmentBits = parsed.GetValue(_segments),
            Processes = parsed.GetValue(_processes),
            ContinueWithout = parsed.GetValue(_continueWithout),
            Transport = parsed.GetValue(_transport),
            // The parser's own default for a list is an empty one.
            Cluster = parsed.GetValue(_cluster) is { Length: > 0 } addresses ? addresses : null,
            Namespace = parsed.GetValue(_namespace)!,
            Filters = parsed.GetValue(_filters).Wire,
            OwnFilters = parsed.GetValue(_filters).Own is { } own ? new OwnFilters(Path.GetFullPath(parsed.GetValue(_plugIns)!), own) : null,
            InitFrom = parsed.GetValue(_initFrom),
            EvaluateEveryPasses = parsed.GetValue(_evaluateEvery),
            Checkpoints = parsed.GetValue(_checkpoint),
            CheckpointEvery = parsed.GetValue(_checkpointEvery),
            CheckpointsKept = (int)parsed.GetValue(_checkpointsKept),
            Resume = parsed.GetValue(_resume),
        };
    }

    private ProximalGradientOptions ReadProximalGradient(ParseResult parsed)
    {
        var standard = new ProximalGradientOptions();
        return standard with
        {
            Blocks = (int?)parsed.GetValue(_blocks) ?? standard.Blocks,
            Passes = parsed.GetResult(_passes) is { Implicit: false } ? (int)parsed.GetValue(_passes) : standard.Passes,
            DelayBound = parsed.GetValue(_delay)!.Value,
            Step = parsed.GetValue(_step),
            Curvature = parsed.GetValue(_curvature) == "local" ? CurvatureKind.Local : CurvatureKind.UpperBound,
            L1 = parsed.GetValue(_l1),
            L2 = parsed.GetValue(_l2) ?? standard.L2,
            LossScale = parsed.GetValue(_lossScale) == "mean" ? LossScale.Mean : LossScale.Sum,
            Kkt = parsed.GetValue(_filters).Kkt,
            Intercept = !parsed.GetValue(_noIntercept),
            Seed = parsed.GetValue(_seed),
        };
    }

    /// <summary>Adds an error for every option that the method does not have. It looks at words, since values are not known yet.</summary>
    private void CheckMethod(CommandResult result)
    {
        if (result.GetResult(_method)?.Tokens is not [Token method, ..] || !method.Value.Equals(ProximalGradientName, StringComparison.OrdinalIgnoreCase))
        {
            foreach (Option own in ((Option[])[_blocks, _step, _curvature, _lossScale]).Where(own => result.IsGiven(own)))
            {
                result.AddError($"{own.Name} needs --method {ProximalGradientName}");
            }

            if (Names(result, FilterOption.Kkt))
            {
                result.AddError($"--filters {FilterOption.Kkt} needs --method {ProximalGradientName}: others have no condition by which a weight is known to stay zero");
            }

            return;
        }

        foreach (Option other in ((Option[])[_rule, _alpha, _beta, _batch, _admitAfter, _expireAfter, _aggregate]).Where(other => result.IsGiven(other)))
        {
            result.AddError($"{other.Name} and --method {ProximalGradientName} contradict each other: it has a rule of its own, and sums the gradients of all rows");
        }

        if (result.IsGiven(_plugIns))
        {
            result.AddError($"{_plugIns.Name} and --method {ProximalGradientName} contradict each other: it pushes a curvature with each gradient, and both must be of the same rows");
        }

        if (result.GetResult(_filters)?.Tokens is [Token filters, ..] && filters.Value.Contains(':', StringComparison.Ordinal))
        {
            result.AddError($"--filters {filters.Value} and --method {ProximalGradientName} contradict each other: it pushes a curvature with each gradient, and both must be of the same rows");
        }

        if (Names(result, FilterOption.Kkt) && (Names(result, "bf16") || Names(result, "int8")))
        {
            result.AddError($"--filters {FilterOption.Kkt} contradicts bf16 and int8: workers must see the same gradients to leave out the same weights");
        }

        long blocks = Number(_blocks, new ProximalGradientOptions().Blocks), bound = Number(_delay, new ProximalGradientOptions().DelayBound);
        if (Names(result, FilterOption.Kkt) && blocks / 2 < bound)
        {
            result.AddError($"--filters {FilterOption.Kkt} needs at least twice as many --blocks as the --delay of {bound}, and they are {blocks}: a block must not come again while a step of it is on the way");
        }

        long Number(Option option, long standard) =>
            result.GetResult(option)?.Tokens is [Token number, ..] && long.TryParse(number.Value, NumberStyles.None, CultureInfo.InvariantCulture, out long given) ? given : standard;

        if (result.GetResult(_delay)?.Tokens is [Token delay, ..] && delay.Value.Equals("none", StringComparison.OrdinalIgnoreCase))
        {
            result.AddError($"--delay none and --method {ProximalGradientName} contradict each other: no step is known to converge without a bound of the delay");
        }
    }

    private bool Names(CommandResult result, string filter) =>
        result.GetResult(_filters)?.Tokens is [Token filters, ..] && filters.Value.Split(',').Any(word => word.Trim().Equals(filter, StringComparison.OrdinalIgnoreCase));

    /// <summary>Adds an error for every parameter that the rule does not have. It looks at words, since values are not known yet.</summary>
    private void CheckRule(CommandResult result)
    {
        string name = result.GetResult(_rule)?.Tokens is [Token token, ..] ? token.Value : "ftrl";
        if (!Rules.TryGetValue(name.ToLowerInvariant(), out UpdateRuleKind rule))
        {
            return;
        }

        foreach (Option penalty in (Option[])[_l1, _l2])
        {
            if (result.IsGiven(penalty) && !Penalised.Contains(rule))
            {
                result.AddError($"{penalty.Name} is a penalty of --rule ftrl and proximal; {name} has none");
            }
        }

        if (result.IsGiven(_beta) && WithoutBeta.Contains(rule))
        {
            result.AddError($"--beta has no meaning for --rule {name}");
        }

        if (WithDecay.Contains(rule) && result.GetResult(_beta)?.Tokens is [Token beta, ..]
            && double.TryParse(beta.Value, NumberStyles.Float, CultureInfo.InvariantCulture, out double decay) && decay >= 1)
        {
            result.AddError($"--beta must be below 1 for --rule {name}: it is the decay of {(rule == UpdateRuleKind.Adam ? "a mean" : "the velocity")}");
        }
    }

    private static Option<long> Hidden(Option<long> option)
    {
        option.Hidden = true;
        return option;
    }

    private static CheckpointInterval ParseInterval(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        foreach ((string unit, long milliseconds) in (ReadOnlySpan<(string, long)>)[("clocks", 0), ("s", 1000), ("m", 60_000), ("h", 3_600_000)])
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && long.TryParse(text[..^unit.Length], NumberStyles.None, CultureInfo.InvariantCulture, out long count) && count is >= 1 and <= 1_000_000)
            {
                return milliseconds == 0 ? new CheckpointInterval(0, count) : new CheckpointInterval(count * milliseconds, 0);
            }
        }

        result.AddError($"--checkpoint-every is '{text}'; it must be a whole number from 1 to 1,000,000 with a unit: 30s, 10m, 2h or 100clocks");
        return CheckpointInterval.Default;
    }

    private static ulong ParseSeed(ArgumentResult result)
    {
        if (!ulong.TryParse(result.Tokens[0].Value, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed))
        {
            result.AddError($"--seed is '{result.Tokens[0].Value}'; it must be a whole number from 0 to 2^64-1");
        }

        return seed;
    }

    private static string ParseRule(ArgumentResult result)
    {
        string text = result.Tokens[0].Value.ToLowerInvariant();
        if (!Rules.ContainsKey(text))
        {
            result.AddError($"--rule is '{result.Tokens[0].Value}'; it must be {string.Join(", ", Rules.Keys.SkipLast(1))} or {Rules.Keys.Last()}");
        }

        return text;
    }

    private static double? ParseStep(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (text.Equals("bound", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        // The rule computes in float, so a step that is none there is out of range.
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double step) && (float)step > 0 && float.IsFinite((float)step))
        {
            return step;
        }

        result.AddError($"--step is '{text}'; it must be a number above 0, or bound");
        return null;
    }

    private static int? ParseDelay(ArgumentResult result)
    {
        string text = result.Tokens[0].Value;
        if (text.Equals("none", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int delay) || delay > 1_000_000)
        {
            result.AddError($"--delay is '{text}'; it must be a whole number from 0 to 1,000,000, or none");
        }

        return delay;
    }
}
