//! The screens themselves, as people see them.

use std::time::Duration;

use insta::assert_snapshot;

use super::samples::{self, ascii, at, color, plain};
use crate::domain::{
    event::{Event, EventKind},
    served::Served,
    verdict::CheckResult,
    view::StatusView,
    workload::Track,
};
use crate::report::{
    findings::findings,
    history::history,
    human::Narrator,
    json,
    line::Painted,
    monitor::{self, Rates},
    progress::Progress,
    status::status,
    style::Style,
    table::releases,
};

const RATES: Rates = Rates {
    stable: Some(80.0),
    canary: Some(26.7),
};

fn narrated(style: Style) -> String {
    told(&samples::events(), style)
}

fn told(events: &[Event], style: Style) -> String {
    let mut narrator = Narrator::new(style, samples::invocation());
    let lines: Vec<Painted> = events.iter().filter_map(|e| narrator.line(e)).collect();
    lines.join("\n")
}

/// Returns the live block after the first `count` events.
fn live(count: usize, style: Style) -> String {
    shown(&samples::events(), count, style)
}

fn shown(events: &[Event], count: usize, style: Style) -> String {
    let mut progress = Progress::new("payment-api", "orion", &[], &[Duration::from_secs(300); 4]);
    events.iter().take(count).for_each(|e| progress.update(e));
    let now = events.get(count - 1).map_or(at(0), |e| e.at);
    progress.lines(now, &style).join("\n")
}

/// Returns the text with its escapes made visible.
fn visible(text: &str) -> String {
    text.replace('\u{1b}', "␛")
}

#[test]
fn status_tells_in_five_seconds() {
    assert_snapshot!(status(&samples::view(), at(130), plain(80)), @r"
    payment-api  namespace orion  router replicas  run a1b2
    state   watching at 25%, step 2 of 4, for 31s, run began 2m10s ago
    driver  ana@laptop, last seen 3s ago
    split   stable █████████████████████████████░░░░░░░░░░ canary 25% (3 of 12 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  registry.example.com/…/payment-api:1.4.2
    canary  3/3    0         7f3c1a2b  registry.example.com/…/payment-api:1.5.0

    checks  ? unknown (1 unhealthy, 1 unknown, 1 healthy)
    ✓ healthy    pods          3 of 3 ready, 0 restarts [limit ready, ≤ 3 restarts;
                               3 samples]
    ? unknown    success rate  96.08% (49 of 51 requests), 60 wanted [too few
                               requests; limit ≥ 95%; 51 samples]
    ✗ unhealthy  p95 latency   10.0.3.7: 812 is above 500 (2 looks in a row) [limit
                               ≤ 500; 3 samples; only warns]

    waiting 29s more at 25% (since 09:15:42Z, 31s)
    next    canaryctl monitor payment-api -n orion
    undo    canaryctl rollback payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names
    ");
}

#[test]
fn status_uses_the_room_of_a_wide_terminal() {
    assert_snapshot!(status(&samples::view(), at(130), plain(120)), @r"
    payment-api  namespace orion  router replicas  run a1b2
    state   watching at 25%, step 2 of 4, for 31s, run began 2m10s ago
    driver  ana@laptop, last seen 3s ago
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (3 of 12 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  registry.example.com/payments/backend/payment-api:1.4.2
    canary  3/3    0         7f3c1a2b  registry.example.com/payments/backend/payment-api:1.5.0

    checks  ? unknown (1 unhealthy, 1 unknown, 1 healthy)
    ✓ healthy    pods          3 of 3 ready, 0 restarts [limit ready, ≤ 3 restarts; 3 samples]
    ? unknown    success rate  96.08% (49 of 51 requests), 60 wanted [too few requests; limit ≥ 95%; 51 samples]
    ✗ unhealthy  p95 latency   10.0.3.7: 812 is above 500 (2 looks in a row) [limit ≤ 500; 3 samples; only warns]

    waiting 29s more at 25% (since 09:15:42Z, 31s)
    next    canaryctl monitor payment-api -n orion
    undo    canaryctl rollback payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names
    ");
}

#[test]
fn status_needs_no_unicode() {
    assert_snapshot!(status(&samples::view(), at(130), ascii(80)), @r"
    payment-api  namespace orion  router replicas  run a1b2
    state   watching at 25%, step 2 of 4, for 31s, run began 2m10s ago
    driver  ana@laptop, last seen 3s ago
    split   stable #############################.......... canary 25% (3 of 12 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  .../payment-api:1.4.2
    canary  3/3    0         7f3c1a2b  .../payment-api:1.5.0

    checks  ? unknown (1 unhealthy, 1 unknown, 1 healthy)
    ok         pods          3 of 3 ready, 0 restarts [limit ready, <= 3 restarts; 3
                             samples]
    ? unknown  success rate  96.08% (49 of 51 requests), 60 wanted [too few
                             requests; limit >= 95%; 51 samples]
    FAIL       p95 latency   10.0.3.7: 812 is above 500 (2 looks in a row) [limit <=
                             500; 3 samples; only warns]

    waiting 29s more at 25% (since 09:15:42Z, 31s)
    next    canaryctl monitor payment-api -n orion
    undo    canaryctl rollback payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names
    ");
}

#[test]
fn status_is_coloured_where_that_is_wanted() {
    assert_snapshot!(visible(&status(&samples::view(), at(130), color(80))), @r"
    ␛[1mpayment-api␛[0m␛[2m  namespace ␛[0morion␛[2m  router ␛[0mreplicas␛[2m  run ␛[0ma1b2
    ␛[2mstate␛[0m   ␛[1mwatching␛[0m at 25%, step 2 of 4, for 31s␛[2m, run began 2m10s ago␛[0m
    ␛[2mdriver␛[0m  ana@laptop, last seen 3s ago
    ␛[2msplit␛[0m   stable █████████████████████████████␛[36m░░░░░░░░░░␛[0m canary ␛[1m25%␛[0m ␛[2m(3 of 12 pods)␛[0m

            ␛[2mREADY␛[0m  ␛[2mRESTARTS␛[0m  ␛[2mREVISION␛[0m  ␛[2mIMAGE␛[0m
    ␛[1mstable␛[0m  9/9    0         7f3c1a2b  registry.example.com/…/payment-api:1.4.2
    ␛[1mcanary␛[0m  3/3    0         7f3c1a2b  registry.example.com/…/payment-api:1.5.0

    ␛[2mchecks␛[0m  ␛[33m? unknown␛[0m␛[2m (1 unhealthy, 1 unknown, 1 healthy)␛[0m
    ␛[32m✓ healthy␛[0m    pods          3 of 3 ready, 0 restarts␛[2m [limit ready, ≤ 3 restarts;␛[0m
                               ␛[2m3 samples]␛[0m
    ␛[33m? unknown␛[0m    success rate  96.08% (49 of 51 requests), 60 wanted␛[2m [too few␛[0m
                               ␛[2mrequests; limit ≥ 95%; 51 samples]␛[0m
    ␛[1m␛[31m✗ unhealthy␛[0m  p95 latency   10.0.3.7: 812 is above 500 (2 looks in a row)␛[2m [limit␛[0m
                               ␛[2m≤ 500; 3 samples; only warns]␛[0m

    ␛[2mwaiting␛[0m 29s more at 25%␛[2m (since 09:15:42Z, 31s)␛[0m
    ␛[2mnext␛[0m    ␛[1mcanaryctl monitor payment-api -n orion␛[0m
    ␛[2mundo␛[0m    ␛[1mcanaryctl rollback payment-api -n orion␛[0m
    ␛[2mfound␛[0m   ␛[2mpayment-api-stable and payment-api-canary by their names␛[0m
    ");
}

#[test]
fn status_of_a_bad_night_stays_readable() {
    assert_snapshot!(status(&samples::hostile(), at(130), plain(80)), @r"
    a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-producti
            on  namespace \x1b[2J\x1b[31mall is
            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}  router replicas  run
            \x1b[2J\x1b[31mall is well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
    state   rolling back at 25%, step 2 of 4, for 31s, run began 2m10s ago
    why     a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-
            production \x1b[2J\x1b[31mall is
            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
    driver  ana@laptop, last seen 3s ago
    split   stable ████████████████████████████████████████ canary 0%
            (wanted 50%, set to 40%, \x1b[2J\x1b[31mall is
            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b} = 0%)
            progressing: \x1b[2J\x1b[31mall is
            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
            pinned by this run:
            a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-
            production, \x1b[2J\x1b[31mall is
            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  registry.example.com/…/payment-api:1.4.2
    canary  0/12   8         7f3c1a2b  \x1b[2J\x1b[31mall is well\x1b[0m\r\n\u{202e…
                                       app=…vice-in-production:1.5.0\nfake: line
                                       sidecar=proxyv2:1.22@sha256:0123456789ab
            ! pods are refused: \x1b[2J\x1b[31mall is
              well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
            ! roll-out stalled:
              a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-i
              n-production
            ! 2 pods: app waits, CrashLoopBackOff: back-off 40s restarting failed
              container=app pod=payment-api-canary-7d9f-x2x4k
            ! 2 pods: last restart after OOMKilled
            ! 1 pod: no node: \x1b[2J\x1b[31mall is
              well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}

    checks  ✗ unhealthy (2 unhealthy, 2 unknown, 1 healthy)
    ✓ healthy    pods                        3 of 3 ready, 0 restarts [limit ready,
                                            ≤ 3 restarts; 3 samples]
    ? unknown    success rate                96.08% (49 of 51 requests), 60 wanted
                                            [too few requests; limit ≥ 95%; 51
                                            samples]
    ✗ unhealthy  p95 latency                 10.0.3.7: 812 is above 500 (2 looks in
                                            a row) [limit ≤ 500; 3 samples; only
                                            warns]
    ✗ unhealthy  \x1b[2J\x1b[31mall is wel…  \x1b[2J\x1b[31mall is
                                            well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1
                                            m\u{200b} [limit ≤ 500; 3 samples]
    ? unknown    a-very-long-name-that-som…  a-very-long-name-that-somebody-thought-
                                            was-a-good-idea-for-a-service-in-product
                                            ion [limit ≤ 500; 3 samples]

    waiting \x1b[2J\x1b[31mall is well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
            a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-
            production (since 09:15:42Z, 31s)
    next    canaryctl status a-very-long-name-that-somebody-thought-was-a-good-idea-
            for-a-service-in-production -n
            a-very-long-name-that-somebody-thought-was-a-good-idea-for-a-service-in-
            production
    undo    canaryctl rollback payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names;
            \x1b[2J\x1b[31mall is well\x1b[0m\r\n\u{202e}gnihtyreve\u{9b}1m\u{200b}
    ");
}

#[test]
fn status_of_an_app_without_a_run_and_a_canary() {
    assert_snapshot!(status(&samples::bare(), at(130), plain(80)), @r"
    payment-api  namespace orion  router replicas
    state   no run is recorded for this app
    split   ? unknown: the route could not be read

            READY  RESTARTS  REVISION  IMAGE
    stable  0/0    0         7f3c1a2b  registry.example.com/…/payment-api:1.4.2
    canary  none: the Deployment does not exist

    checks  none evaluated

    next    canaryctl check payment-api -n orion
    ");
}

#[test]
fn status_of_an_ended_run_says_how_and_when() {
    assert_snapshot!(status(&samples::ended(), at(3730), plain(80)), @r"
    payment-api  namespace orion  router replicas  run a1b2
    state   rolled back at 2025-04-12 09:19:55Z (56m18s ago), step 2 of 4, took
            5m52s
    why     success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    split   stable ████████████████████████████████████████ canary 0% (0 of 12 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  registry.example.com/…/payment-api:1.4.2
    canary  0/0    0         7f3c1a2b  registry.example.com/…/payment-api:1.5.0

    checks  none evaluated

    next    canaryctl history payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names
    ");
}

#[test]
fn unknown_verdicts_say_why() {
    assert_snapshot!(status(&samples::doubtful(), at(130), plain(120)), @r"
    payment-api  namespace orion  router replicas  run a1b2
    state   watching at 25%, step 2 of 4, for 31s, run began 2m10s ago
    driver  ana@laptop, last seen 3s ago
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (3 of 12 pods)

            READY  RESTARTS  REVISION  IMAGE
    stable  9/9    0         7f3c1a2b  registry.example.com/payments/backend/payment-api:1.4.2
    canary  3/3    0         7f3c1a2b  registry.example.com/payments/backend/payment-api:1.5.0

    checks  ? unknown (6 unknown)
    ? unknown  pending      no answer [needs another look; limit ≤ 500; 3 samples; holds the release]
    ? unknown  query        no answer [invalid query; limit ≤ 500; 3 samples; holds the release]
    ? unknown  no data      no answer [no data; limit ≤ 500; 3 samples; holds the release]
    ? unknown  no traffic   no answer [no traffic; limit ≤ 500; 3 samples; holds the release]
    ? unknown  too few      no answer [too few requests; limit ≤ 500; 3 samples; holds the release]
    ? unknown  source down  no answer [source unreachable; limit ≤ 500; 3 samples; holds the release]

    waiting 29s more at 25% (since 09:15:42Z, 31s)
    next    canaryctl monitor payment-api -n orion
    undo    canaryctl rollback payment-api -n orion
    found   payment-api-stable and payment-api-canary by their names
    ");
}

#[test]
fn releases_of_all_namespaces() {
    assert_snapshot!(releases(&samples::releases(), true, at(130), plain(80)), @r"
    NAMESPACE  APP                STATE        STEP  WEIGHT  SINCE  DRIVER
    orion      payment-api        watching     2/4   25%     31s    ana@laptop
    orion      auth               rolled back  2/4   25%     31s    ana@laptop
    shop       cart               promoting    2/4   25%     31s    ana@laptop
    shop       a-very-long-name…  draining     2/4   25%     31s    https://ci.exam…
    ");
}

#[test]
fn releases_of_one_namespace() {
    assert_snapshot!(releases(&samples::releases()[..2], false, at(130), plain(80)), @r"
    APP          STATE        STEP  WEIGHT  SINCE  DRIVER
    payment-api  watching     2/4   25%     31s    ana@laptop
    auth         rolled back  2/4   25%     31s    ana@laptop
    ");
}

#[test]
fn history_names_who_did_what() {
    assert_snapshot!(history(&samples::history(), plain(80)), @r"
    payment-api  orion  1 recorded run

    run a1b2  rolled back  2025-04-12 09:14:03Z, took 1m20s
      payment-api:1.4.2 → payment-api:1.5.0
      by ana@laptop
      09:14:03Z  Started        release a1b2 started: payment-api 1.4.2 → 1.5.0,
                                steps 5% → 25%
      09:14:15Z  WeightReached  canary at 25% (wanted 5%, 1 of 4 pods)
      by ci job 7
      09:15:14Z  RollingBack    rolling back: success rate: 46.67 % (7 of 15
                                requests), below 95 % with evidence 410:1
      09:15:23Z  RolledBack     rolled back, verified at 0%
    ");
}

#[test]
fn findings_begin_with_the_worst() {
    assert_snapshot!(findings(&samples::findings(), plain(80)), @r"
    ✗ error    the selector of stable also matches the canary's pods
               where  Service orion/payment-api-stable
               why    the weight of the route would not be the canary's share:
                      stable's share would reach it too
               fix    add track: stable to spec.selector

    ! warning  an HPA scales stable
               where  HorizontalPodAutoscaler orion/payment-api
               why    it would undo the replica counts that make the split
               fix    let the run pin it: --pin-hpa

    ✓ ok       both Deployments exist (Deployment orion/payment-api)
    ✓ ok       you may patch Deployments (namespace orion)

    not ready: fix the errors above (1 error, 1 warning, 0 notes, 2 ok)
    ");
}

#[test]
fn findings_need_no_unicode() {
    assert_snapshot!(findings(&samples::findings(), ascii(120)), @r"
    FAIL       the selector of stable also matches the canary's pods
               where  Service orion/payment-api-stable
               why    the weight of the route would not be the canary's share: stable's share would reach it too
               fix    add track: stable to spec.selector

    ! warning  an HPA scales stable
               where  HorizontalPodAutoscaler orion/payment-api
               why    it would undo the replica counts that make the split
               fix    let the run pin it: --pin-hpa

    ok         both Deployments exist (Deployment orion/payment-api)
    ok         you may patch Deployments (namespace orion)

    not ready: fix the errors above (1 error, 1 warning, 0 notes, 2 ok)
    ");
}

#[test]
fn monitor_shows_both_sides() {
    assert_snapshot!(monitor::screen_of(&samples::view(), RATES, at(130), plain(80)), @r"
    payment-api  orion  09:16:13Z
    state   watching, step 2 of 4
    split   stable █████████████████████████████░░░░░░░░░░ canary 25% (3 of 12 pods)

                  STABLE       CANARY
    deployment    payment-api  payment-api
    pods ready    9/9          3/3
    restarts      0            0
    requests/s    80           26.7
    pods          -            ✓ 3 of 3 ready
    success rate  -            ? 96.08% (limit ≥ 95%)
    p95 latency   -            ✗ 812 (limit ≤ 500, only warns)

    verdict ? unknown
    waiting 29s more at 25%
    next    canaryctl monitor payment-api -n orion
    undo    canaryctl rollback payment-api -n orion
    ");
}

#[test]
fn monitor_without_a_canary() {
    assert_snapshot!(monitor::screen_of(&samples::bare(), Rates::default(), at(130), plain(80)), @r"
    payment-api  orion  09:16:13Z
    split   ? unknown: the route could not be read

                STABLE       CANARY
    deployment  payment-api  none
    pods ready  0/0          none
    restarts    0            -

    verdict ? unknown: nothing was checked
    next    canaryctl check payment-api -n orion
    ");
}

#[test]
fn monitor_in_a_line_names_what_is_not_well() {
    assert_snapshot!(monitor::line_of(&samples::view(), RATES, at(130), plain(120)), @r"
    09:16:13Z  canary 25%  stable 9/9  canary 3/3  80 and 26.7 req/s  ✗ p95 latency: 812  ? success rate: 96.08%  ✓ 1
               healthy
    ");
}

#[test]
fn a_release_is_narrated_by_its_changes() {
    assert_snapshot!(narrated(plain(80)), @r"
    09:14:03Z  started      run a1b2: payment-api:1.4.2 → payment-api:1.5.0, steps
                            5% → 25% → 50% → 100%
    09:14:03Z  phase        preparing the canary
    09:14:04Z  apply        give payment-api-canary the image payment-api:1.5.0
    09:14:05Z  waiting      payment-api-canary: 0/1 pods available
    09:14:15Z  step 1 of 4  moving traffic to 5%
    09:14:15Z  apply        scale payment-api-canary to 1 and payment-api to 3
    09:14:23Z  reached      canary at 25% (wanted 5%, 1 of 4 pods = 25%)
    09:14:23Z  step 1 of 4  watching at 5%
    09:14:24Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:14:24Z  ? unknown    success rate: 100 % (20 of 20 requests), 60 wanted
    09:14:54Z  ✓ healthy    success rate: 100 % (70 of 70 requests)
    09:14:54Z  waiting      4m 29s more at 5%
    09:16:00Z  waiting      3m 23s more at 5% (for 1m37s)
    09:19:23Z  step 2 of 4  moving traffic to 25%
    09:19:24Z  reached      canary at 25% (1 of 4 pods)
    09:19:24Z  step 2 of 4  watching at 25%
    09:19:33Z  drift        the replicas of payment-api were changed from 3 to 5 by
                            kubectl-edit: re-applied
    09:19:38Z  ✓ healthy    pods: 1 of 1 ready, 0 restarts
    09:19:38Z  ✗ unhealthy  success rate: 46.67 % (7 of 15 requests), below 95 %
                            with evidence 410:1
    09:19:38Z  ROLLING BACK from 25%: success rate: 46.67 % (7 of 15 requests),
                            below 95 % with evidence 410:1
    09:19:38Z  rollback     moving traffic to stable
    09:19:39Z  apply        scale payment-api to 4, then payment-api-canary to 0
    09:19:44Z  reached      canary at 0% (0 of 4 pods)
    09:19:44Z  phase        draining
    09:19:54Z  phase        cleaning up
    09:19:55Z  ROLLED BACK after 5m52s: verified at 0%: success rate: 46.67 % (7 of
               15 requests), below 95 % with evidence 410:1
               weights  0% → 25% → 0%
               live     stable 100% on 4 ready pods, canary 0% on 0 ready pods
               next     canaryctl history payment-api -n orion
    ");
}

#[test]
fn a_pause_says_how_to_go_on_and_how_to_undo() {
    assert_snapshot!(told(&samples::paused(), plain(80)), @r"
    09:14:03Z  started      run c3d4: payment-api:1.4.2 → payment-api:1.5.0, steps
                            5% → 50%
    09:14:12Z  reached      canary at 5% (1 of 20 pods)
    09:15:03Z  step 1 of 2  waiting for approval at 5%
    09:15:04Z  PAUSED with the split live after 1m01s: waits for approval of step 1
               weights  0% → 5%
               was      at 09:14:12Z: stable 95% on 19 ready pods, canary 5% on 1
                        ready pod
               next     canaryctl approve payment-api -n orion
               undo     canaryctl rollback payment-api -n orion
    ");
}

#[test]
fn an_end_that_is_not_one_pages_somebody() {
    assert_snapshot!(told(&samples::incomplete(), plain(80)), @r"
    09:14:03Z  started      run c3d4: payment-api:1.4.2 → payment-api:1.5.0, steps
                            5% → 50%
    09:14:12Z  reached      canary at 50% (10 of 20 pods)
    09:15:03Z  ROLLING BACK from 50%: interrupted by SIGTERM
    09:20:03Z  INCOMPLETE after 6m00s: the rollback is not complete: 2 stable pods
               to be ready
               page     on-call: this could not be finished or verified
               weights  0% → 50%
               was      at 09:14:12Z: stable 50% on 10 ready pods, canary 50% on 10
                        ready pods
               next     canaryctl rollback payment-api -n orion
    ");
}

#[test]
fn a_promotion_ends_with_the_path_of_the_weights() {
    assert_snapshot!(told(&samples::promoted(), plain(80)), @r"
    09:14:03Z  started      run c3d4: payment-api:1.4.2 → payment-api:1.5.0, steps
                            5% → 50%
    09:14:12Z  reached      canary at 5% (1 of 20 pods)
    09:15:42Z  reached      canary at 50% (10 of 20 pods)
    09:16:43Z  promoting    moving all traffic to the canary
    09:16:53Z  reached      canary at 100% (20 of 20 pods)
    09:16:54Z  promoting    updating stable
    09:18:23Z  reached      canary at 0% (0 of 20 pods)
    09:18:33Z  PROMOTED after 4m30s: payment-api runs the new version
               weights  0% → 5% → 50% → 100% → 0%
               live     stable 100% on 20 ready pods, canary 0% on 0 ready pods
               next     canaryctl status payment-api -n orion
    ");
}

#[test]
fn live_block_of_a_promotion() {
    assert_snapshot!(shown(&samples::promoted(), 6, plain(80)), @r"
    payment-api  orion  run c3d4  2m51s
    steps   ✓5%  ✓50%
    split   stable ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ canary 100% (20 of 20 pods)
    now     promoting: updating stable
    ");
}

#[test]
fn narration_needs_no_unicode() {
    assert_snapshot!(narrated(ascii(120)), @r"
    09:14:03Z  started      run a1b2: payment-api:1.4.2 -> payment-api:1.5.0, steps 5% -> 25% -> 50% -> 100%
    09:14:03Z  phase        preparing the canary
    09:14:04Z  apply        give payment-api-canary the image payment-api:1.5.0
    09:14:05Z  waiting      payment-api-canary: 0/1 pods available
    09:14:15Z  step 1 of 4  moving traffic to 5%
    09:14:15Z  apply        scale payment-api-canary to 1 and payment-api to 3
    09:14:23Z  reached      canary at 25% (wanted 5%, 1 of 4 pods = 25%)
    09:14:23Z  step 1 of 4  watching at 5%
    09:14:24Z  ok           pods: 1 of 1 ready, 0 restarts
    09:14:24Z  ? unknown    success rate: 100 % (20 of 20 requests), 60 wanted
    09:14:54Z  ok           success rate: 100 % (70 of 70 requests)
    09:14:54Z  waiting      4m 29s more at 5%
    09:16:00Z  waiting      3m 23s more at 5% (for 1m37s)
    09:19:23Z  step 2 of 4  moving traffic to 25%
    09:19:24Z  reached      canary at 25% (1 of 4 pods)
    09:19:24Z  step 2 of 4  watching at 25%
    09:19:33Z  drift        the replicas of payment-api were changed from 3 to 5 by kubectl-edit: re-applied
    09:19:38Z  ok           pods: 1 of 1 ready, 0 restarts
    09:19:38Z  FAIL         success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    09:19:38Z  ROLLING BACK from 25%: success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    09:19:38Z  rollback     moving traffic to stable
    09:19:39Z  apply        scale payment-api to 4, then payment-api-canary to 0
    09:19:44Z  reached      canary at 0% (0 of 4 pods)
    09:19:44Z  phase        draining
    09:19:54Z  phase        cleaning up
    09:19:55Z  ROLLED BACK after 5m52s: verified at 0%: success rate: 46.67 % (7 of 15 requests), below 95 % with evidence
               410:1
               weights  0% -> 25% -> 0%
               live     stable 100% on 4 ready pods, canary 0% on 0 ready pods
               next     canaryctl history payment-api -n orion
    ");
}

#[test]
fn live_block_before_the_first_split() {
    assert_snapshot!(live(4, plain(80)), @r"
    payment-api  orion  run a1b2  2s
    steps   ▶5%  ·25%  ·50%  ·100%
    now     preparing the canary
    waiting payment-api-canary: 0/1 pods available
    ");
}

#[test]
fn live_block_while_holding() {
    assert_snapshot!(live(11, plain(80)), @r"
    payment-api  orion  run a1b2  36s
    steps   ▶5%  ·25%  ·50%  ·100%
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25%
            (wanted 5%, 1 of 4 pods = 25%)
    hold    ▱▱▱▱▱▱▱▱▱▱ 16s of 5m00s
    ✓ pods            1 of 1 ready, 0 restarts
    ? success rate    100 % (40 of 40 requests), 60 wanted
    waiting more requests for success rate
    ");
}

#[test]
fn live_block_of_a_rollback() {
    assert_snapshot!(live(24, plain(80)), @r"
    payment-api  orion  run a1b2  5m36s
    steps   ✓5%  ✗25%  ·50%  ·100%
    split   stable ██████████████████████████████░░░░░░░░░░ canary 25% (1 of 4 pods)
    now     rolling back
    why     success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    ✓ pods            1 of 1 ready, 0 restarts
    ✗ success rate    46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    note    09:19:33Z the replicas of payment-api were changed from 3 to 5 by kubec…
    apply   scale payment-api to 4, then payment-api-canary to 0
    ");
}

#[test]
fn live_block_in_ascii() {
    assert_snapshot!(live(24, ascii(80)), @r"
    payment-api  orion  run a1b2  5m36s
    steps   5% done  25% failed  50%  100%
    split   stable ##############################.......... canary 25% (1 of 4 pods)
    now     rolling back
    why     success rate: 46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    ok   pods            1 of 1 ready, 0 restarts
    FAIL success rate    46.67 % (7 of 15 requests), below 95 % with evidence 410:1
    note    09:19:33Z the replicas of payment-api were changed from 3 to 5 by kub...
    apply   scale payment-api to 4, then payment-api-canary to 0
    ");
}

#[test]
fn live_block_in_colour() {
    assert_snapshot!(visible(&live(11, color(80))), @r"
    ␛[1mpayment-api␛[0m  orion␛[2m  run ␛[0ma1b2  36s
    ␛[2msteps␛[0m   ␛[1m▶5%␛[0m  ␛[2m·25%␛[0m  ␛[2m·50%␛[0m  ␛[2m·100%␛[0m
    ␛[2msplit␛[0m   stable ██████████████████████████████␛[36m░░░░░░░░░░␛[0m canary ␛[1m25%␛[0m
            ␛[2m(wanted 5%, 1 of 4 pods = 25%)␛[0m
    ␛[2mhold␛[0m    ␛[2m▱▱▱▱▱▱▱▱▱▱␛[0m 16s of 5m00s
    ␛[32m✓␛[0m pods            1 of 1 ready, 0 restarts
    ␛[33m?␛[0m success rate    100 % (40 of 40 requests), 60 wanted
    ␛[2mwaiting␛[0m more requests for success rate
    ");
}

#[test]
fn events_are_one_json_object_per_line() {
    assert_snapshot!(samples::events()[7..11].iter().map(|e| json::event(e).unwrap()).collect::<Vec<_>>().join("\n"), @r#"
    {"version":1,"at":"2025-04-12T09:14:23Z","event":"phase-changed","phase":"holding","step":1,"steps":4,"weight":5.0}
    {"version":1,"at":"2025-04-12T09:14:24Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"test","verdict":"healthy","limit":"≤ 500","samples":3,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"},{"name":"success rate","probe":"test","verdict":"unknown","limit":"≤ 500","samples":3,"severity":"rollback","text":"success rate: 100 % (20 of 20 requests), 60 wanted"}]}
    {"version":1,"at":"2025-04-12T09:14:24Z","event":"waiting","what":"not enough data: success rate: 100 % (20 of 20 requests), 60 wanted","since":"2025-04-12T09:14:23Z"}
    {"version":1,"at":"2025-04-12T09:14:39Z","event":"checked","track":"canary","results":[{"name":"pods","probe":"test","verdict":"healthy","limit":"≤ 500","samples":3,"severity":"rollback","text":"pods: 1 of 1 ready, 0 restarts"},{"name":"success rate","probe":"test","verdict":"unknown","limit":"≤ 500","samples":3,"severity":"rollback","text":"success rate: 100 % (40 of 40 requests), 60 wanted"}]}
    "#);
}

#[test]
fn what_users_get_stands_under_the_split() {
    let served = |percent: f64, as_weighted| Served {
        canary_percent: percent,
        canary_requests: percent * 24.68,
        requests: 2468.0,
        seconds: 58.0,
        at: at(120),
        as_weighted,
    };
    let shown = |served: Served| {
        let view = StatusView {
            served: Some(served),
            ..samples::view()
        };
        let screens = [
            status(&view, at(130), plain(80)).to_string(),
            monitor::screen_of(&view, RATES, at(130), plain(80)).to_string(),
            monitor::line_of(&view, RATES, at(130), plain(120)).to_string(),
        ];
        let lines = screens.iter().flat_map(|screen| screen.lines());
        let users: Vec<String> = lines
            .filter(|line| line.contains("users"))
            .map(str::to_owned)
            .collect();
        users.join("\n")
    };
    assert_snapshot!(shown(served(24.8, true)), @r"
    users   24.8% of the requests reach the canary (612 of 2468 in 58s)
    users   24.8% of the requests reach the canary (612 of 2468 in 58s)
    09:16:13Z  canary 25% (users 24.8%)  stable 9/9  canary 3/3  80 and 26.7 req/s  ✗ p95 latency: 812  ? success rate:
    ");
    assert_snapshot!(shown(served(8.1, false)), @r"
    users   8.1% of the requests reach the canary (200 of 2468 in 58s), not 25%
    users   8.1% of the requests reach the canary (200 of 2468 in 58s), not 25%
    09:16:13Z  canary 25% (users 8.1%)  stable 9/9  canary 3/3  80 and 26.7 req/s  ✗ p95 latency: 812  ? success rate:
    ");
}

/// With `-v` each look is said, also what was said before, and how sure it is.
#[test]
fn verbose_says_every_look_with_odds_and_interval() {
    let results = samples::checks().into_iter().map(|result| CheckResult {
        evidence: result.value.map(|_| 0.25),
        interval: result.value.map(|_| (0.881, 0.993)),
        ..result
    });
    let kind = EventKind::Checked {
        track: Track::Canary,
        results: results.collect(),
    };
    let look = Event { at: at(0), kind };
    let narrator = || Narrator::new(plain(120), samples::invocation());
    let (mut brief, mut verbose) = (narrator(), narrator().verbose(true));
    assert!(brief.line(&look).is_some() && brief.line(&look).is_none());
    verbose.line(&look);
    assert_snapshot!(verbose.line(&look).unwrap(), @r"
    09:14:03Z  ✓ healthy    pods: 3 of 3 ready, 0 restarts
    09:14:03Z  ? unknown    success rate: 96.08% (49 of 51 requests), 60 wanted [odds 1:4, between 88.1% and 99.3%]
    09:14:03Z  ✗ unhealthy  p95 latency: 10.0.3.7: 812 is above 500 (2 looks in a row) [odds 1:4, between 0.881 and 0.993]
    ");
}
