//! Help and generated files.

use insta::assert_snapshot;

use super::Console;

#[tokio::test(start_paused = true)]
async fn scenarios_are_listed() {
    let console = Console::new();
    assert_snapshot!(console.shows("sandbox --list").await, @r#"
    $ canaryctl sandbox --list
    exit 0
    --- stdout
    healthy          both versions work; the release should be promoted
    errors-at-25     the canary fails a quarter of its requests once it gets more than 20 % of them
    slow             the canary answers four times slower than stable
    crash-loop       the canary's container exits 20 s after each start
    never-ready      the canary's pods start but never pass their readiness probe
    image-missing    new canary pods cannot pull their image
    config-missing   the canary refers to a ConfigMap key that does not exist
    no-data          the canary's metrics endpoint answers null
    flapping         the canary fails for 40 s of every 3 minutes
    hpa-fights       an autoscaler keeps changing the size of stable during the release
    oom              the canary is killed for memory two to three minutes after each start
    late-errors      the canary turns bad six minutes after its start
    quota            the namespace's pod quota is full: new pods are refused
    low-traffic      one request every five seconds: evidence is scarce
    metrics          a Prometheus scrapes the pods; both versions work
    metrics-bad      the same, but the canary is slower, fails more, leaks memory and raises an alert
    prometheus-down  both versions work; Prometheus is gone from the third minute to the ninth
    "#);
    assert_snapshot!(console.shows("sandbox --list -o json").await, @r#"
    $ canaryctl sandbox --list -o json
    exit 0
    --- stdout
    {
      "version": 1,
      "scenarios": [
        {
          "name": "healthy",
          "about": "both versions work; the release should be promoted"
        },
        {
          "name": "errors-at-25",
          "about": "the canary fails a quarter of its requests once it gets more than 20 % of them"
        },
        {
          "name": "slow",
          "about": "the canary answers four times slower than stable"
        },
        {
          "name": "crash-loop",
          "about": "the canary's container exits 20 s after each start"
        },
        {
          "name": "never-ready",
          "about": "the canary's pods start but never pass their readiness probe"
        },
        {
          "name": "image-missing",
          "about": "new canary pods cannot pull their image"
        },
        {
          "name": "config-missing",
          "about": "the canary refers to a ConfigMap key that does not exist"
        },
        {
          "name": "no-data",
          "about": "the canary's metrics endpoint answers null"
        },
        {
          "name": "flapping",
          "about": "the canary fails for 40 s of every 3 minutes"
        },
        {
          "name": "hpa-fights",
          "about": "an autoscaler keeps changing the size of stable during the release"
        },
        {
          "name": "oom",
          "about": "the canary is killed for memory two to three minutes after each start"
        },
        {
          "name": "late-errors",
          "about": "the canary turns bad six minutes after its start"
        },
        {
          "name": "quota",
          "about": "the namespace's pod quota is full: new pods are refused"
        },
        {
          "name": "low-traffic",
          "about": "one request every five seconds: evidence is scarce"
        },
        {
          "name": "metrics",
          "about": "a Prometheus scrapes the pods; both versions work"
        },
        {
          "name": "metrics-bad",
          "about": "the same, but the canary is slower, fails more, leaks memory and raises an alert"
        },
        {
          "name": "prometheus-down",
          "about": "both versions work; Prometheus is gone from the third minute to the ninth"
        }
      ]
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn no_verb_shows_help() {
    let console = Console::new();
    assert_snapshot!(console.shows("").await, @r"
    $ canaryctl 
    exit 2
    --- stderr
    Canary releases on Kubernetes, one careful step at a time

    Usage: canaryctl [OPTIONS] <COMMAND>

    Commands:
      status    Show a release, or all releases of the namespace
      set       Move the canary to a share of the traffic
      monitor   Watch stable and canary side by side
      rollback  Take the canary out of the traffic, from any state
      promote   Make the canary's version the stable one
      auto      Run a whole release, or resume one
      approve   Approve a waiting step
      check     Find what would break a release
      history   Show who released what, when and why
      sandbox   Serve a simulated cluster for kubectl and this tool
      generate  Print completions, man page or JSON Schema
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Common options:
      -n, --namespace <NAME>          Namespace of the app
          --context <NAME>            Context of the kubeconfig
          --kubeconfig <FILE>         Path of the kubeconfig
      -f, --file <FILE>               Configuration of the release (canary.yaml)
      -o, --output <FORM>             Output format: human or json [default: human]
      -q, --quiet                     Print only the result
      -v, --verbose...                Print every check result and wait, with odds and intervals
          --timeout <TIME>            Longest time of one API request [default: 15s]
          --color <WHEN>              When to colour: auto, always or never [default: auto]
          --sandbox[=<SCENARIO|DIR>]  Run on a simulated cluster: scenario or folder
          --speed <N>                 Simulated seconds per second [20; sandbox: 1]

    Examples:
      canaryctl auto payment-api --sandbox        a whole release, without a cluster
      canaryctl auto payment-api --image IMAGE    the same on your cluster
      canaryctl status payment-api                where it is
      canaryctl rollback payment-api              out of the traffic, from any state
    ");
}

#[tokio::test(start_paused = true)]
async fn short_help() {
    let console = Console::new().columns(80);
    assert_snapshot!(console.shows("-h").await, @r"
    $ canaryctl -h
    exit 0
    --- stdout
    Canary releases on Kubernetes, one careful step at a time

    Usage: canaryctl [OPTIONS] <COMMAND>

    Commands:
      status    Show a release, or all releases of the namespace
      set       Move the canary to a share of the traffic
      monitor   Watch stable and canary side by side
      rollback  Take the canary out of the traffic, from any state
      promote   Make the canary's version the stable one
      auto      Run a whole release, or resume one
      approve   Approve a waiting step
      check     Find what would break a release
      history   Show who released what, when and why
      sandbox   Serve a simulated cluster for kubectl and this tool
      generate  Print completions, man page or JSON Schema
      help      Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version

    Common options:
      -n, --namespace <NAME>
              Namespace of the app
          --context <NAME>
              Context of the kubeconfig
          --kubeconfig <FILE>
              Path of the kubeconfig
      -f, --file <FILE>
              Configuration of the release (canary.yaml)
      -o, --output <FORM>
              Output format: human or json [default: human]
      -q, --quiet
              Print only the result
      -v, --verbose...
              Print every check result and wait, with odds and intervals
          --timeout <TIME>
              Longest time of one API request [default: 15s]
          --color <WHEN>
              When to colour: auto, always or never [default: auto]
          --sandbox[=<SCENARIO|DIR>]
              Run on a simulated cluster: scenario or folder
          --speed <N>
              Simulated seconds per second [20; sandbox: 1]

    Examples:
      canaryctl auto payment-api --sandbox        a whole release, without a cluster
      canaryctl auto payment-api --image IMAGE    the same on your cluster
      canaryctl status payment-api                where it is
      canaryctl rollback payment-api              out of the traffic, from any state
    ");
    assert_snapshot!(console.shows("set -h").await, @r"
    $ canaryctl set -h
    exit 0
    --- stdout
    Move the canary to a share of the traffic

    Usage: canaryctl set [OPTIONS] <APP> [WEIGHT]

    Arguments:
      <APP>     The app; left out where -f names it, so that the weight comes first
      [WEIGHT]  Share of the traffic: 25, 25%, 0.5%, +10, -5

    Options:
          --dry-run     Server-side dry run
          --no-journal  Keep no journal
      -h, --help        Print help

    Objects:
          --stable <NAME>   Name of the stable Deployment
          --canary <NAME>   Name of the canary Deployment
          --service <NAME>  Service that selects stable and canary
          --router <NAME>   Name of the router, instead of the detected one
                            [possible values: replicas, istio, gateway, nginx, smi,
                            alb, traefik, pointer]

    Common options:
      -n, --namespace <NAME>
              Namespace of the app
          --context <NAME>
              Context of the kubeconfig
          --kubeconfig <FILE>
              Path of the kubeconfig
      -f, --file <FILE>
              Configuration of the release (canary.yaml)
      -o, --output <FORM>
              Output format: human or json [default: human]
      -q, --quiet
              Print only the result
      -v, --verbose...
              Print every check result and wait, with odds and intervals
          --timeout <TIME>
              Longest time of one API request [default: 15s]
          --color <WHEN>
              When to colour: auto, always or never [default: auto]
          --sandbox[=<SCENARIO|DIR>]
              Run on a simulated cluster: scenario or folder
          --speed <N>
              Simulated seconds per second [20; sandbox: 1]

    Examples:
      canaryctl set payment-api 25
      canaryctl set payment-api +10
      canaryctl set payment-api 0.5% --dry-run
      canaryctl set 25 -f canary.yaml
    ");
    assert_snapshot!(console.shows("auto -h").await, @r"
    $ canaryctl auto -h
    exit 0
    --- stdout
    Run a whole release, or resume one

    Usage: canaryctl auto [OPTIONS] [APP]

    Arguments:
      [APP]  The app

    Options:
          --image <[CONTAINER=]IMAGE>
              Image to release, repeatable; in a group APP[:CONTAINER]=IMAGE
          --create-route
              Create a route to the canary where there is none, and delete it at the
              end; `check` prints it
          --until <STATE>
              Stop with success at paused, promoted or step=N
          --once
              One evaluation and at most one change, for cron; a hold continues
              between runs, for 6m at most
          --skip-preflight
              Skip preflight checks
          --restart
              Restart from the first step, even after a rollback
      -y, --yes
              Skip confirmation
          --dry-run
              Server-side dry run
      -h, --help
              Print help

    Objects:
          --stable <NAME>   Name of the stable Deployment
          --canary <NAME>   Name of the canary Deployment
          --service <NAME>  Service that selects stable and canary
          --router <NAME>   Name of the router, instead of the detected one
                            [possible values: replicas, istio, gateway, nginx, smi,
                            alb, traefik, pointer]

    Plan:
          --steps <LIST>         Weights, such as 5,25,100 or 10:5m,50:1h:approve
          --hold <TIME>          Time at each step
          --interval <TIME>      Interval between check evaluations
          --on-unknown <WHAT>    Without enough data: hold or rollback
          --on-failure <WHAT>    When a check is unhealthy: rollback or hold
          --on-interrupt <WHAT>  On SIGINT or SIGTERM: rollback or hold
          --strategy <HOW>       How to promote: template, image, swap or none

    Common options:
      -n, --namespace <NAME>
              Namespace of the app
          --context <NAME>
              Context of the kubeconfig
          --kubeconfig <FILE>
              Path of the kubeconfig
      -f, --file <FILE>
              Configuration of the release (canary.yaml)
      -o, --output <FORM>
              Output format: human or json [default: human]
      -q, --quiet
              Print only the result
      -v, --verbose...
              Print every check result and wait, with odds and intervals
          --timeout <TIME>
              Longest time of one API request [default: 15s]
          --color <WHEN>
              When to colour: auto, always or never [default: auto]
          --sandbox[=<SCENARIO|DIR>]
              Run on a simulated cluster: scenario or folder
          --speed <N>
              Simulated seconds per second [20; sandbox: 1]

    Examples:
      canaryctl auto payment-api --image registry.example/payment-api:2.0.0
      canaryctl auto payment-api --steps 5,25,50,100 --hold 5m
      canaryctl auto payment-api --once          (from cron)
      canaryctl auto payment-api --sandbox=errors-at-25
    ");
}

#[tokio::test(start_paused = true)]
async fn help_of_the_plugin() {
    let console = Console::new().columns(80).called("kubectl-canary");
    assert_snapshot!(console.shows("status --help").await, @r"
    $ kubectl-canary status --help
    exit 0
    --- stdout
    Show a release, or all releases of the namespace

    Usage: kubectl canary status [OPTIONS] [APP]

    Arguments:
      [APP]  The app

    Options:
      -A, --all-namespaces  All namespaces
          --quick           Use only the API server, do not contact pods
      -h, --help            Print help

    Objects:
          --stable <NAME>   Name of the stable Deployment
          --canary <NAME>   Name of the canary Deployment
          --service <NAME>  Service that selects stable and canary
          --router <NAME>   Name of the router, instead of the detected one
                            [possible values: replicas, istio, gateway, nginx, smi,
                            alb, traefik, pointer]

    Common options:
      -n, --namespace <NAME>
              Namespace of the app
          --context <NAME>
              Context of the kubeconfig
          --kubeconfig <FILE>
              Path of the kubeconfig
      -f, --file <FILE>
              Configuration of the release (canary.yaml)
      -o, --output <FORM>
              Output format: human or json [default: human]
      -q, --quiet
              Print only the result
      -v, --verbose...
              Print every check result and wait, with odds and intervals
          --timeout <TIME>
              Longest time of one API request [default: 15s]
          --color <WHEN>
              When to colour: auto, always or never [default: auto]
          --sandbox[=<SCENARIO|DIR>]
              Run on a simulated cluster: scenario or folder
          --speed <N>
              Simulated seconds per second [20; sandbox: 1]

    Examples:
      kubectl canary status payment-api -n shop
      kubectl canary status -A -o json
    ");
}

#[tokio::test(start_paused = true)]
async fn version() {
    let console = Console::new();
    assert_snapshot!(console.shows("--version").await, @r#"
    $ canaryctl --version
    exit 0
    --- stdout
    canaryctl 0.1.0
    "#);
}

#[tokio::test(start_paused = true)]
async fn generated_text_begins_as_it_should() {
    let console = Console::new();
    let mut heads = String::new();
    for what in [
        "completions bash",
        "completions zsh",
        "completions fish",
        "man",
        "schema",
    ] {
        let ran = console.run(&format!("generate {what}")).await;
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{what}");
        let head: Vec<&str> = ran.out.lines().take(4).collect();
        heads += &["== ", what, "\n", &head.join("\n"), "\n"].concat();
    }
    assert_snapshot!(heads, @r#"
    == completions bash
    _canaryctl() {
        local i cur prev opts cmd
        COMPREPLY=()
        if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
    == completions zsh
    #compdef canaryctl

    autoload -U is-at-least

    == completions fish
    # Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
    function __fish_canaryctl_global_optspecs
        string join \n n/namespace= context= kubeconfig= f/file= o/output= q/quiet v/verbose timeout= color= sandbox= speed= h/help V/version
    end
    == man
    .ie \n(.g .ds Aq \(aq
    .el .ds Aq '
    .TH canaryctl 1  "canaryctl 0.1.0" 
    .SH NAME
    == schema
    {
      "type": "object",
      "additionalProperties": false,
      "properties": {
    "#);
}

#[tokio::test(start_paused = true)]
async fn help_fits_eighty_columns() {
    let console = Console::new().columns(80);
    let verbs = "status set monitor rollback promote auto approve check history sandbox generate";
    for verb in verbs.split(' ').chain([""]) {
        for flag in ["-h", "--help"] {
            let ran = console.run(&format!("{verb} {flag}")).await;
            let wide = ran.out.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{verb} {flag}");
            let example = ran.out.contains("Example") && ran.out.contains("canaryctl ");
            assert!(example, "{verb} {flag} has no example");
        }
    }
}
