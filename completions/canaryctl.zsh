#compdef canaryctl

autoload -U is-at-least

_canaryctl() {
    typeset -A opt_args
    typeset -a _arguments_options
    local ret=1

    if is-at-least 5.2; then
        _arguments_options=(-s -S -C)
    else
        _arguments_options=(-s -C)
    fi

    local context curcontext="$curcontext" state line
    _arguments "${_arguments_options[@]}" : \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'-V[Print version]' \
'--version[Print version]' \
":: :_canaryctl_commands" \
"*::: :->canaryctl" \
&& ret=0
    case $state in
    (canaryctl)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:canaryctl-command-$line[1]:"
        case $line[1] in
            (status)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'-A[All namespaces]' \
'--all-namespaces[All namespaces]' \
'--quick[Use only the API server, do not contact pods]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--dry-run[Server-side dry run]' \
'--no-journal[Keep no journal]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
':first -- The app; left out where -f names it, so that the weight comes first:_default' \
'::weight -- Share of the traffic\: 25, 25%, 0.5%, +10, -5:_default' \
&& ret=0
;;
(monitor)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'--interval=[Interval between evaluations]:TIME:_default' \
'--duration=[Stop after this time]:TIME:_default' \
'--until=[Exit when the release reaches this state]:STATE:((paused\:"The run waits for a person, or ended"
promoted\:"The release is promoted"
rolled-back\:"The release is rolled back"
ended\:"The run has ended, however"))' \
'--export=[Append every evaluation to this file (.csv or .jsonl)]:FILE:_files' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help (see more with '\''--help'\'')]' \
'--help[Print help (see more with '\''--help'\'')]' \
'::app -- The app:_default' \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--now[Shift traffic only; skip cleanup]' \
'(--now)--gradual[Roll back step by step, with a pause at each]' \
'--delete[Delete the canary Deployment at the end]' \
'--dry-run[Server-side dry run]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(promote)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'--steps=[Weights, such as 5,25,100 or 10\:5m,50\:1h\:approve]:LIST:_default' \
'--hold=[Time at each step]:TIME:_default' \
'--interval=[Interval between check evaluations]:TIME:_default' \
'--on-unknown=[Without enough data\: hold or rollback]:WHAT:_default' \
'--on-failure=[When a check is unhealthy\: rollback or hold]:WHAT:_default' \
'--on-interrupt=[On SIGINT or SIGTERM\: rollback or hold]:WHAT:_default' \
'--strategy=[How to promote\: template, image, swap or none]:HOW:_default' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--force[Promote even if checks are not healthy]' \
'-y[Skip confirmation]' \
'--yes[Skip confirmation]' \
'--dry-run[Server-side dry run]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(auto)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'--steps=[Weights, such as 5,25,100 or 10\:5m,50\:1h\:approve]:LIST:_default' \
'--hold=[Time at each step]:TIME:_default' \
'--interval=[Interval between check evaluations]:TIME:_default' \
'--on-unknown=[Without enough data\: hold or rollback]:WHAT:_default' \
'--on-failure=[When a check is unhealthy\: rollback or hold]:WHAT:_default' \
'--on-interrupt=[On SIGINT or SIGTERM\: rollback or hold]:WHAT:_default' \
'--strategy=[How to promote\: template, image, swap or none]:HOW:_default' \
'*--image=[Image to release, repeatable; in a group APP\[\:CONTAINER\]=IMAGE]:[CONTAINER=]IMAGE:_default' \
'--until=[Stop with success at paused, promoted or step=N]:STATE:_default' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--create-route[Create a route to the canary where there is none, and delete it at the end; \`check\` prints it]' \
'--once[One evaluation and at most one change, for cron; a hold continues between runs, for 6m at most]' \
'--skip-preflight[Skip preflight checks]' \
'--restart[Restart from the first step, even after a rollback]' \
'-y[Skip confirmation]' \
'--yes[Skip confirmation]' \
'--dry-run[Server-side dry run]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(approve)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'--steps=[Weights, such as 5,25,100 or 10\:5m,50\:1h\:approve]:LIST:_default' \
'--hold=[Time at each step]:TIME:_default' \
'--interval=[Interval between check evaluations]:TIME:_default' \
'--on-unknown=[Without enough data\: hold or rollback]:WHAT:_default' \
'--on-failure=[When a check is unhealthy\: rollback or hold]:WHAT:_default' \
'--on-interrupt=[On SIGINT or SIGTERM\: rollback or hold]:WHAT:_default' \
'--strategy=[How to promote\: template, image, swap or none]:HOW:_default' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--create-route[Check what \`auto --create-route\` needs]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
'--stable=[Name of the stable Deployment]:NAME:_default' \
'--canary=[Name of the canary Deployment]:NAME:_default' \
'--service=[Service that selects stable and canary]:NAME:_default' \
'--router=[Name of the router, instead of the detected one]:NAME:(replicas istio gateway nginx smi alb traefik pointer)' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app:_default' \
&& ret=0
;;
(sandbox)
_arguments "${_arguments_options[@]}" : \
'--port=[Port on loopback; any free one unless given]:PORT:_default' \
'--write-kubeconfig=[Where to write the kubeconfig]:FILE:_files' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--list[List the scenarios]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::scenario -- Scenario, or folder of objects:_default' \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
":: :_canaryctl__subcmd__generate_commands" \
"*::: :->generate" \
&& ret=0

    case $state in
    (generate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:canaryctl-generate-command-$line[1]:"
        case $line[1] in
            (completions)
_arguments "${_arguments_options[@]}" : \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
':shell -- The shell:(bash elvish fish powershell zsh)' \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
&& ret=0
;;
(rbac)
_arguments "${_arguments_options[@]}" : \
'*--verb=[What the Role is for]:VERB:_default' \
'--router=[How traffic is moved]:ROUTER:(replicas istio gateway nginx smi alb traefik pointer)' \
'*--without=[Leave out what only some releases need\: http, usage, forward, autoscaler, crds, create, delete, restore]:CASE:_default' \
'-n+[Namespace of the app]:NAME:_default' \
'--namespace=[Namespace of the app]:NAME:_default' \
'--context=[Context of the kubeconfig]:NAME:_default' \
'--kubeconfig=[Path of the kubeconfig]:FILE:_files' \
'-f+[Configuration of the release (canary.yaml)]:FILE:_files' \
'--file=[Configuration of the release (canary.yaml)]:FILE:_files' \
'-o+[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--output=[Output format\: human or json]:FORM:((human\:"For people"
json\:"One JSON document, or one object per line for what takes time"))' \
'--timeout=[Longest time of one API request]:TIME:_default' \
'--color=[When to colour\: auto, always or never]:WHEN:((auto\:"On a terminal"
always\:"Also in pipes"
never\:"Never"))' \
'--sandbox=[Run on a simulated cluster\: scenario or folder]::SCENARIO|DIR:_default' \
'--speed=[Simulated seconds per second \[20; sandbox\: 1\]]:N:_default' \
'--create-route[With what \`auto --create-route\` needs]' \
'--strict[Minimum permissions only]' \
'-A[A \`ClusterRole\`, to be bound in several namespaces]' \
'--all-namespaces[A \`ClusterRole\`, to be bound in several namespaces]' \
'(-v --verbose)-q[Print only the result]' \
'(-v --verbose)--quiet[Print only the result]' \
'*-v[Print every check result and wait, with odds and intervals]' \
'*--verbose[Print every check result and wait, with odds and intervals]' \
'-h[Print help]' \
'--help[Print help]' \
'::app -- The app\: then only its own journal may be written:_default' \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_canaryctl__subcmd__generate__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:canaryctl-generate-help-command-$line[1]:"
        case $line[1] in
            (completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rbac)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
;;
(help)
_arguments "${_arguments_options[@]}" : \
":: :_canaryctl__subcmd__help_commands" \
"*::: :->help" \
&& ret=0

    case $state in
    (help)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:canaryctl-help-command-$line[1]:"
        case $line[1] in
            (status)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(set)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(monitor)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rollback)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(promote)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(auto)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(approve)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(check)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(history)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(sandbox)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(generate)
_arguments "${_arguments_options[@]}" : \
":: :_canaryctl__subcmd__help__subcmd__generate_commands" \
"*::: :->generate" \
&& ret=0

    case $state in
    (generate)
        words=($line[1] "${words[@]}")
        (( CURRENT += 1 ))
        curcontext="${curcontext%:*:*}:canaryctl-help-generate-command-$line[1]:"
        case $line[1] in
            (completions)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(man)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(schema)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
(rbac)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
(help)
_arguments "${_arguments_options[@]}" : \
&& ret=0
;;
        esac
    ;;
esac
;;
        esac
    ;;
esac
}

(( $+functions[_canaryctl_commands] )) ||
_canaryctl_commands() {
    local commands; commands=(
'status:Show a release, or all releases of the namespace' \
'set:Move the canary to a share of the traffic' \
'monitor:Watch stable and canary side by side' \
'rollback:Take the canary out of the traffic, from any state' \
'promote:Make the canary'\''s version the stable one' \
'auto:Run a whole release, or resume one' \
'approve:Approve a waiting step' \
'check:Find what would break a release' \
'history:Show who released what, when and why' \
'sandbox:Serve a simulated cluster for kubectl and this tool' \
'generate:Print completions, man page or JSON Schema' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'canaryctl commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__approve_commands] )) ||
_canaryctl__subcmd__approve_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl approve commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__auto_commands] )) ||
_canaryctl__subcmd__auto_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl auto commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__check_commands] )) ||
_canaryctl__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl check commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate_commands] )) ||
_canaryctl__subcmd__generate_commands() {
    local commands; commands=(
'completions:Completion script of a shell' \
'man:Man page' \
'schema:JSON Schema of the configuration file' \
'rbac:Role with exactly the permissions that verbs need' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'canaryctl generate commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__completions_commands] )) ||
_canaryctl__subcmd__generate__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate completions commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help_commands() {
    local commands; commands=(
'completions:Completion script of a shell' \
'man:Man page' \
'schema:JSON Schema of the configuration file' \
'rbac:Role with exactly the permissions that verbs need' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'canaryctl generate help commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help__subcmd__completions_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate help completions commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help__subcmd__help_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate help help commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help__subcmd__man_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate help man commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help__subcmd__rbac_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help__subcmd__rbac_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate help rbac commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__help__subcmd__schema_commands] )) ||
_canaryctl__subcmd__generate__subcmd__help__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate help schema commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__man_commands] )) ||
_canaryctl__subcmd__generate__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate man commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__rbac_commands] )) ||
_canaryctl__subcmd__generate__subcmd__rbac_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate rbac commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__generate__subcmd__schema_commands] )) ||
_canaryctl__subcmd__generate__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl generate schema commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help_commands] )) ||
_canaryctl__subcmd__help_commands() {
    local commands; commands=(
'status:Show a release, or all releases of the namespace' \
'set:Move the canary to a share of the traffic' \
'monitor:Watch stable and canary side by side' \
'rollback:Take the canary out of the traffic, from any state' \
'promote:Make the canary'\''s version the stable one' \
'auto:Run a whole release, or resume one' \
'approve:Approve a waiting step' \
'check:Find what would break a release' \
'history:Show who released what, when and why' \
'sandbox:Serve a simulated cluster for kubectl and this tool' \
'generate:Print completions, man page or JSON Schema' \
'help:Print this message or the help of the given subcommand(s)' \
    )
    _describe -t commands 'canaryctl help commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__approve_commands] )) ||
_canaryctl__subcmd__help__subcmd__approve_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help approve commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__auto_commands] )) ||
_canaryctl__subcmd__help__subcmd__auto_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help auto commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__check_commands] )) ||
_canaryctl__subcmd__help__subcmd__check_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help check commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__generate_commands] )) ||
_canaryctl__subcmd__help__subcmd__generate_commands() {
    local commands; commands=(
'completions:Completion script of a shell' \
'man:Man page' \
'schema:JSON Schema of the configuration file' \
'rbac:Role with exactly the permissions that verbs need' \
    )
    _describe -t commands 'canaryctl help generate commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__generate__subcmd__completions_commands] )) ||
_canaryctl__subcmd__help__subcmd__generate__subcmd__completions_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help generate completions commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__generate__subcmd__man_commands] )) ||
_canaryctl__subcmd__help__subcmd__generate__subcmd__man_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help generate man commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__generate__subcmd__rbac_commands] )) ||
_canaryctl__subcmd__help__subcmd__generate__subcmd__rbac_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help generate rbac commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__generate__subcmd__schema_commands] )) ||
_canaryctl__subcmd__help__subcmd__generate__subcmd__schema_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help generate schema commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__help_commands] )) ||
_canaryctl__subcmd__help__subcmd__help_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help help commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__history_commands] )) ||
_canaryctl__subcmd__help__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help history commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__monitor_commands] )) ||
_canaryctl__subcmd__help__subcmd__monitor_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help monitor commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__promote_commands] )) ||
_canaryctl__subcmd__help__subcmd__promote_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help promote commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__rollback_commands] )) ||
_canaryctl__subcmd__help__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help rollback commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__sandbox_commands] )) ||
_canaryctl__subcmd__help__subcmd__sandbox_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help sandbox commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__set_commands] )) ||
_canaryctl__subcmd__help__subcmd__set_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help set commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__help__subcmd__status_commands] )) ||
_canaryctl__subcmd__help__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl help status commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__history_commands] )) ||
_canaryctl__subcmd__history_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl history commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__monitor_commands] )) ||
_canaryctl__subcmd__monitor_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl monitor commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__promote_commands] )) ||
_canaryctl__subcmd__promote_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl promote commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__rollback_commands] )) ||
_canaryctl__subcmd__rollback_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl rollback commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__sandbox_commands] )) ||
_canaryctl__subcmd__sandbox_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl sandbox commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__set_commands] )) ||
_canaryctl__subcmd__set_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl set commands' commands "$@"
}
(( $+functions[_canaryctl__subcmd__status_commands] )) ||
_canaryctl__subcmd__status_commands() {
    local commands; commands=()
    _describe -t commands 'canaryctl status commands' commands "$@"
}

if [ "$funcstack[1]" = "_canaryctl" ]; then
    _canaryctl "$@"
else
    compdef _canaryctl canaryctl
fi
