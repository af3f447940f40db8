# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_canaryctl_global_optspecs
    string join \n n/namespace= context= kubeconfig= f/file= o/output= q/quiet v/verbose timeout= color= sandbox= speed= h/help V/version
end

function __fish_canaryctl_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_canaryctl_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_canaryctl_using_subcommand
    set -l cmd (__fish_canaryctl_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c canaryctl -n "__fish_canaryctl_needs_command" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_needs_command" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -s V -l version -d 'Print version'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "status" -d 'Show a release, or all releases of the namespace'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "set" -d 'Move the canary to a share of the traffic'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "monitor" -d 'Watch stable and canary side by side'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "rollback" -d 'Take the canary out of the traffic, from any state'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "promote" -d 'Make the canary\'s version the stable one'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "auto" -d 'Run a whole release, or resume one'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "approve" -d 'Approve a waiting step'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "check" -d 'Find what would break a release'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "history" -d 'Show who released what, when and why'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "sandbox" -d 'Serve a simulated cluster for kubectl and this tool'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "generate" -d 'Print completions, man page or JSON Schema'
complete -c canaryctl -n "__fish_canaryctl_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s A -l all-namespaces -d 'All namespaces'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -l quick -d 'Use only the API server, do not contact pods'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand status" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l dry-run -d 'Server-side dry run'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -l no-journal -d 'Keep no journal'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand set" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l interval -d 'Interval between evaluations' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l duration -d 'Stop after this time' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l until -d 'Exit when the release reaches this state' -r -f -a "paused\t'The run waits for a person, or ended'
promoted\t'The release is promoted'
rolled-back\t'The release is rolled back'
ended\t'The run has ended, however'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l export -d 'Append every evaluation to this file (.csv or .jsonl)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand monitor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l now -d 'Shift traffic only; skip cleanup'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l gradual -d 'Roll back step by step, with a pause at each'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l delete -d 'Delete the canary Deployment at the end'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -l dry-run -d 'Server-side dry run'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand rollback" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l steps -d 'Weights, such as 5,25,100 or 10:5m,50:1h:approve' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l hold -d 'Time at each step' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l interval -d 'Interval between check evaluations' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l on-unknown -d 'Without enough data: hold or rollback' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l on-failure -d 'When a check is unhealthy: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l on-interrupt -d 'On SIGINT or SIGTERM: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l strategy -d 'How to promote: template, image, swap or none' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l force -d 'Promote even if checks are not healthy'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s y -l yes -d 'Skip confirmation'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -l dry-run -d 'Server-side dry run'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand promote" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l steps -d 'Weights, such as 5,25,100 or 10:5m,50:1h:approve' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l hold -d 'Time at each step' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l interval -d 'Interval between check evaluations' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l on-unknown -d 'Without enough data: hold or rollback' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l on-failure -d 'When a check is unhealthy: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l on-interrupt -d 'On SIGINT or SIGTERM: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l strategy -d 'How to promote: template, image, swap or none' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l image -d 'Image to release, repeatable; in a group APP[:CONTAINER]=IMAGE' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l until -d 'Stop with success at paused, promoted or step=N' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l create-route -d 'Create a route to the canary where there is none, and delete it at the end; `check` prints it'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l once -d 'One evaluation and at most one change, for cron; a hold continues between runs, for 6m at most'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l skip-preflight -d 'Skip preflight checks'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l restart -d 'Restart from the first step, even after a rollback'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s y -l yes -d 'Skip confirmation'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -l dry-run -d 'Server-side dry run'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand auto" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand approve" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l steps -d 'Weights, such as 5,25,100 or 10:5m,50:1h:approve' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l hold -d 'Time at each step' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l interval -d 'Interval between check evaluations' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l on-unknown -d 'Without enough data: hold or rollback' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l on-failure -d 'When a check is unhealthy: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l on-interrupt -d 'On SIGINT or SIGTERM: rollback or hold' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l strategy -d 'How to promote: template, image, swap or none' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -l create-route -d 'Check what `auto --create-route` needs'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand check" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l stable -d 'Name of the stable Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l canary -d 'Name of the canary Deployment' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l service -d 'Service that selects stable and canary' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l router -d 'Name of the router, instead of the detected one' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand history" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l port -d 'Port on loopback; any free one unless given' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l write-kubeconfig -d 'Where to write the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -l list -d 'List the scenarios'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand sandbox" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -f -a "completions" -d 'Completion script of a shell'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -f -a "man" -d 'Man page'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -f -a "schema" -d 'JSON Schema of the configuration file'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -f -a "rbac" -d 'Role with exactly the permissions that verbs need'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and not __fish_seen_subcommand_from completions man schema rbac help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from completions" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from man" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l verb -d 'What the Role is for' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l router -d 'How traffic is moved' -r -f -a "replicas\t''
istio\t''
gateway\t''
nginx\t''
smi\t''
alb\t''
traefik\t''
pointer\t''"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l without -d 'Leave out what only some releases need: http, usage, forward, autoscaler, crds, create, delete, restore' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s n -l namespace -d 'Namespace of the app' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l context -d 'Context of the kubeconfig' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l kubeconfig -d 'Path of the kubeconfig' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s f -l file -d 'Configuration of the release (canary.yaml)' -r -F
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s o -l output -d 'Output format: human or json' -r -f -a "human\t'For people'
json\t'One JSON document, or one object per line for what takes time'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l timeout -d 'Longest time of one API request' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l color -d 'When to colour: auto, always or never' -r -f -a "auto\t'On a terminal'
always\t'Also in pipes'
never\t'Never'"
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l sandbox -d 'Run on a simulated cluster: scenario or folder' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l speed -d 'Simulated seconds per second [20; sandbox: 1]' -r
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l create-route -d 'With what `auto --create-route` needs'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -l strict -d 'Minimum permissions only'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s A -l all-namespaces -d 'A `ClusterRole`, to be bound in several namespaces'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s q -l quiet -d 'Print only the result'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s v -l verbose -d 'Print every check result and wait, with odds and intervals'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from rbac" -s h -l help -d 'Print help'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "completions" -d 'Completion script of a shell'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "man" -d 'Man page'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "schema" -d 'JSON Schema of the configuration file'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "rbac" -d 'Role with exactly the permissions that verbs need'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand generate; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "status" -d 'Show a release, or all releases of the namespace'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "set" -d 'Move the canary to a share of the traffic'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "monitor" -d 'Watch stable and canary side by side'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "rollback" -d 'Take the canary out of the traffic, from any state'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "promote" -d 'Make the canary\'s version the stable one'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "auto" -d 'Run a whole release, or resume one'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "approve" -d 'Approve a waiting step'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "check" -d 'Find what would break a release'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "history" -d 'Show who released what, when and why'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "sandbox" -d 'Serve a simulated cluster for kubectl and this tool'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "generate" -d 'Print completions, man page or JSON Schema'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and not __fish_seen_subcommand_from status set monitor rollback promote auto approve check history sandbox generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "completions" -d 'Completion script of a shell'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "man" -d 'Man page'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "schema" -d 'JSON Schema of the configuration file'
complete -c canaryctl -n "__fish_canaryctl_using_subcommand help; and __fish_seen_subcommand_from generate" -f -a "rbac" -d 'Role with exactly the permissions that verbs need'
