using Weir.Cli;

namespace Weir.Tests.Cli;

/// <summary>A wrong command line ends with exit code 2 and a line that says what to write instead, before anything was begun.</summary>
public class UsageTests
{
    [Theory]
    [InlineData("trian", "'trian' is not known; did you mean train?")]
    [InlineData("train --tset x", "'--tset' is not known; did you mean --test?")]
    [InlineData("train --sevrers=3", "'--sevrers' is not known; did you mean --servers?")]
    [InlineData("train --xyzzy", "'--xyzzy'")]
    [InlineData("", "command")]
    [InlineData("train --train", "'--train'")]
    [InlineData("train --servers 0", "--servers is '0'; it must be a whole number from 1 to 1,000")]
    [InlineData("train --workers 1001", "--workers is '1001'")]
    [InlineData("train --passes 0", "--passes is '0'")]
    [InlineData("train --batch -1", "--batch is '-1'")]
    [InlineData("train --method lbfgs", "--method is 'lbfgs'; it must be sgd or dbpg")]
    [InlineData("train --method dbpg --blocks 0", "--blocks is '0'; it must be a whole number from 1 to 65,536")]
    [InlineData("train --method dbpg --step 0", "--step is '0'; it must be a number above 0, or bound")]
    [InlineData("train --method dbpg --step fast", "--step is 'fast'")]
    [InlineData("train --method dbpg --loss-scale median", "--loss-scale is 'median'; it must be sum or mean")]
    [InlineData("train --method dbpg --delay none", "--delay none and --method dbpg contradict each other")]
    [InlineData("train --method dbpg --delay -1", "--delay is '-1'")]
    [InlineData("train --method dbpg --rule ftrl", "--rule and --method dbpg contradict each other")]
    [InlineData("train --method dbpg --batch 10", "--batch and --method dbpg contradict each other")]
    [InlineData("train --blocks 4", "--blocks needs --method dbpg")]
    [InlineData("train --method sgd --step bound", "--step needs --method dbpg")]
    [InlineData("train --alpha 0", "--alpha is '0'; it must be a number above 0")]
    [InlineData("train --l1 NaN", "--l1 is 'NaN'; it must be a number of at least 0")]
    [InlineData("train --l2 1e300", "--l2 is '1e300'")]
    [InlineData("train --seed -1", "--seed is '-1'")]
    [InlineData("train --rule lion", "--rule is 'lion'; it must be ftrl, adagrad, sgd, adam, momentum or proximal")]
    [InlineData("train --admit-after 101", "--admit-after is '101'; it must be a whole number from 1 to 100")]
    [InlineData("train --expire-after 0", "--expire-after is '0'; it must be a whole number from 1 to")]
    [InlineData("train --expire-after 9 --delay 0", "--expire-after contradicts --aggregate and --delay 0")]
    [InlineData("train --expire-after 9 --aggregate", "--expire-after contradicts --aggregate and --delay 0")]
    [InlineData("train --delay soon", "--delay is 'soon'; it must be a whole number from 0 to 1,000,000, or none")]
    [InlineData("train --segments 100", "--segments is '100'; it must be a power of two from 64 to 131072")]
    [InlineData("train --segments 262144", "--segments is '262144'")]
    [InlineData("train --cluster localhost", "'localhost' is no address: write host:port")]
    [InlineData("train --cluster 127.0.0.1:0", "port 0")]
    [InlineData("train --cluster 127.0.0.1:1,", "no address")]
    [InlineData("train --cluster 127.0.0.1:1 --servers 2", "--cluster and --servers contradict each other")]
    [InlineData("train --cluster 127.0.0.1:1 --segments 64", "--cluster and --segments contradict each other")]
    [InlineData("train --test x", "--test needs --train")]
    [InlineData("train --train x --evaluate-every 1", "add --test FILE")]
    [InlineData("train --rule sgd --l1 1", "--l1 is a penalty of --rule ftrl and proximal; sgd has none")]
    [InlineData("train --rule momentum --l2 1", "--l2 is a penalty of --rule ftrl and proximal; momentum has none")]
    [InlineData("train --rule sgd --beta 1", "--beta has no meaning for --rule sgd")]
    [InlineData("train --rule proximal --beta 1", "--beta has no meaning for --rule proximal")]
    [InlineData("train --rule adam --beta 1", "--beta must be below 1 for --rule adam: it is the decay of a mean")]
    [InlineData("train --rule momentum --beta 1", "--beta must be below 1 for --rule momentum: it is the decay of the velocity")]
    [InlineData("serve --listen 127.0.0.1:65536", "the port must be a number from 0 to 65535")]
    [InlineData("serve --memory 5", "--memory is '5'")]
    [InlineData("status", "--cluster")]
    [InlineData("train --namespace a/b", "--namespace: a namespace's name has 1 to 64 letters, digits, '.', '-' or '_' and begins with a letter or digit; 'a/b' is none")]
    [InlineData("status --cluster 127.0.0.1:1 --namespace .", "--namespace: a namespace's name has")]
    [InlineData("namespace a/b --cluster 127.0.0.1:1", "'a/b' is none")]
    [InlineData("namespace ads --quota-mb 5", "--cluster")]
    [InlineData("namespace ads --cluster 127.0.0.1:1 --quota-mb 0", "--quota-mb is '0'; it must be a whole number from 1 to 1,000,000,000")]
    [InlineData("namespace ads --cluster 127.0.0.1:1 --quota-mb 5 --no-quota", "--quota-mb and --no-quota contradict each other")]
    [InlineData("evaluate --model x", "--test")]
    [InlineData("predict --data x", "--model")]
    [InlineData("bench", "command")]
    [InlineData("bench push-pull --keys 0", "--keys is '0'")]
    [InlineData("bench push-pull --rule lion", "--rule is 'lion'; it must be add, assign, sgd, adagrad, adam, ftrl, momentum or proximal")]
    [InlineData("bench push-pull --filters gzip", "--filters is 'gzip'; it must be none, or one or more of key-cache, varint, zero, bf16, int8, lz4 and lossless")]
    [InlineData("train --filters bf16,int8", "--filters is 'bf16,int8'; a float is written in two bytes (bf16) or in one (int8): name one of them")]
    [InlineData("train --filters top-k:1.5", "--filters is 'top-k:1.5'; top-k:F needs a number above 0 and at most 1")]
    [InlineData("train --filters significant:none", "--filters is 'significant:none'; significant:X needs a number above 0")]
    [InlineData("train --filters skip:0.5,skip:0.6", "--filters is 'skip:0.5,skip:0.6'; it names skip twice")]
    [InlineData("train --filters skip", "--filters is 'skip'; it must be none, or one or more of key-cache, varint, zero, bf16, int8, lz4 and lossless (the first three), kkt, significant:X, top-k:F, skip:Q, with commas")]
    [InlineData("bench push-pull --filters skip:0.5", "--filters is 'skip:0.5'; it must be none, or one or more of")]
    [InlineData("train --method dbpg --filters zero,skip:0.5", "--filters zero,skip:0.5 and --method dbpg contradict each other")]
    [InlineData("train --filters kkt", "--filters kkt needs --method dbpg")]
    [InlineData("train --method dbpg --filters kkt,int8", "--filters kkt contradicts bf16 and int8")]
    [InlineData("train --method dbpg --filters kkt --blocks 4 --delay 4", "--filters kkt needs at least twice as many --blocks as the --delay of 4, and they are 4")]
    [InlineData("train --filters none,key-cache", "--filters is 'none,key-cache'")]
    [InlineData("train --filters key-cache,", "--filters is 'key-cache,'")]
    [InlineData("bench push-pull --transport udp", "--transport is 'udp'; it must be tcp or unix")]
    [InlineData("serve --listen unix:weir.sock", "the path of a socket begins at the root")]
    [InlineData("serve --listen 127.0.0.1:0 --transport unix", "--listen 127.0.0.1:0 and --transport unix contradict each other")]
    [InlineData("serve --register 10.0.0.1:2379", "--register: '10.0.0.1:2379' is no register: write etcd://host:port/prefix")]
    [InlineData("serve --register etcd://10.0.0.1:2379/weir --acceptors 10.0.0.1:4000 --cluster-number 7", "--register and --acceptors contradict each other")]
    [InlineData("serve --acceptors 10.0.0.1:4000,10.0.0.1:4000,10.0.0.2:4000 --cluster-number 7", "--acceptors names 10.0.0.1:4000, 10.0.0.1:4000, 10.0.0.2:4000; it must be 1, 3 or 5 different addresses")]
    [InlineData("serve --acceptors 10.0.0.1:4000 --cluster-number 7 --acceptor-folder x --acceptor-start replaced", "needs other acceptors to learn from, and --acceptors names 10.0.0.1:4000 alone. It is the register's only acceptor")]
    [InlineData("up --register etcd://10.0.0.1:2379/weir --register-peers 3", "--register-peers and --register contradict each other")]
    [InlineData("serve --listen unix:/run/weir.sock --transport tcp", "--listen unix:/run/weir.sock and --transport tcp contradict each other")]
    [InlineData("train --cluster 127.0.0.1:1 --transport unix", "--cluster and --transport contradict each other: the cluster's addresses say how it is reached")]
    [InlineData("bench push-pull --keys 5 --request-keys 7", "a request cannot have more keys than the table")]
    [InlineData("bench push-pull --keys 100000 --width 65536", "at most 268,435,456 floats")]
    [InlineData("sim cluster --seeds 0", "--seeds is '0'; it must be a whole number from 1 to 1,000,000,000")]
    [InlineData("bench filters --passes 0", "--passes is '0'; it must be a whole number from 1 to 100")]
    [InlineData("bench delay --step-ms 0", "--step-ms is '0'; it must be a whole number from 1 to 60,000")]
    [InlineData("bench store --rows 0", "--rows is '0'; it must be a whole number from 1 to 1,000,000,000")]
    [InlineData("bench store --width 65537", "--width is '65537'")]
    [InlineData("bench store --rule none", "--rule is 'none'; it must be add, assign,")]
    [InlineData("bench store --distribution normal", "--distribution is 'normal'; it must be uniform or zipf")]
    [InlineData("bench store --seconds 0", "--seconds is '0'; it must be a number above 0")]
    public async Task A_wrong_command_line_is_explained(string line, string expected)
    {
        ToolRun run = await ToolRun.Of(line.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        run.Complains(ExitCode.Usage, expected);
        Assert.Contains("--help", run.Error);
        Assert.Equal("", run.Output);
    }

    [Fact]
    public async Task All_faults_of_a_line_are_said_at_once() =>
        Assert.Equal(3, (await ToolRun.Of("train", "--servers", "0", "--workers", "x", "--delay", "-1")).Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);

    [Fact]
    public async Task The_help_page_of_bench_lists_its_benchmarks_and_theirs_every_option_with_its_default()
    {
        string help = (await ToolRun.Of("bench", "--help")).Output;
        Assert.Contains("push-pull", help);
        Assert.Contains("store", help);
        string[] options = [.. (await ToolRun.Of("bench", "store", "--help")).Output.Split('\n').Where(text => text.StartsWith("  --", StringComparison.Ordinal))];
        Assert.Equal(["--rows", "--width", "--rule", "--distribution", "--seconds", "--report"], options.Select(text => text.Trim().Split(' ')[0]));
        Assert.All(options, text => Assert.Contains("default", text, StringComparison.OrdinalIgnoreCase));
    }

    [Fact]
    public async Task The_help_page_of_train_gives_every_option_its_default_and_shows_no_hidden_one()
    {
        ToolRun run = await ToolRun.Of("train", "--help");
        run.IsDone();
        string[] options = [.. run.Output.Split('\n').Where(text => text.StartsWith("  --", StringComparison.Ordinal))];
        Assert.Equal(
            ["--train", "--test", "--out", "--report", "--seed", "--method", "--blocks", "--step", "--curvature", "--loss-scale", "--rule", "--alpha", "--beta", "--l1", "--l2", "--admit-after", "--expire-after", "--passes", "--batch", "--servers", "--replicas", "--workers",
                "--delay", "--aggregate", "--no-intercept", "--segments", "--processes", "--continue-without", "--transport", "--cluster", "--namespace", "--filters", "--plug-ins", "--init-from", "--evaluate-every",
                "--checkpoint", "--checkpoint-every", "--checkpoints-kept", "--resume"],
            options.Select(text => text.Trim().Split(' ')[0]));
        Assert.All(options, text => Assert.Contains("default", text, StringComparison.OrdinalIgnoreCase));
        string help = (await ToolRun.Of("--help")).Output;
        Assert.DoesNotContain("host-workers", help);
        Assert.DoesNotContain("bench-sink", help);
    }
}
