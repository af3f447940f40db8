//! Size, speed and memory of the release binary, beside its goals and beside kubectl.
//!
//! `status` and `kubectl get` read the same two Deployments of the same `canaryctl sandbox` over
//! loopback. Run it with `cargo bench --profile release --bench binary`. Needs Linux: the numbers are those of /proc.

use std::{
    fs,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const BINARY: &str = env!("CARGO_BIN_EXE_canaryctl");

/// Unit of the times in /proc/PID/stat, the same on every Linux that Rust runs on.
const TICK: Duration = Duration::from_millis(10);

/// Longest wait for a process to do what it should.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at a process, and looks in a row without work after which it is idle.
const LOOK: Duration = Duration::from_millis(20);
const IDLE: u32 = 25;

/// Bytes a pipe holds on Linux.
const PIPE: usize = 64 * 1024;

fn main() {
    row("", "measured", "goal");
    let size = fs::metadata(BINARY).expect("the binary").len();
    row("size of the binary", &megabytes(size), "≤ 12 MB");
    let help = cost(200, || quiet(BINARY, &["--help"]));
    row("--help, CPU", &millis(help.cpu), "< 5 ms");
    let sandbox = Sandbox::start();
    let config = sandbox.config.to_str().expect("a path");
    let status = ["status", "payment-api", "--kubeconfig", config];
    let ours = cost(50, || quiet(BINARY, &status));
    row("status, CPU", &millis(ours.cpu), "");
    row("status, from start to end", &millis(ours.wall), "");
    row("status, peak memory", &megabytes(peak(&status)), "≤ 25 MB");
    let get = [
        "get",
        "deployments",
        "payment-api-stable",
        "payment-api-canary",
        "--kubeconfig",
        config,
    ];
    if Command::new("kubectl").arg("help").output().is_err() {
        row("kubectl get", "kubectl is not there", "");
        return;
    }
    let theirs = cost(50, || quiet("kubectl", &get));
    row("kubectl get of the same two, CPU", &millis(theirs.cpu), "");
    row(
        "kubectl get of the same two, from start to end",
        &millis(theirs.wall),
        "",
    );
}

// === what is measured ===

/// A simulated cluster on loopback; it ends with this.
struct Sandbox {
    process: Child,
    config: PathBuf,
}

impl Sandbox {
    fn start() -> Self {
        let name = format!("canaryctl-bench-{}.kubeconfig", std::process::id());
        let config = std::env::temp_dir().join(name);
        let process = clean(BINARY)
            .args(["sandbox", "--port", "0", "--speed", "1"])
            .arg("--write-kubeconfig")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a sandbox");
        let sandbox = Self { process, config };
        within_patience("the sandbox", || sandbox.config.exists().then_some(()));
        sandbox
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_file(&self.config));
    }
}

/// Returns a command that knows nothing of this shell's settings.
fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    let ours = |name: &str| name.starts_with("CANARYCTL_") || name == "KUBECONFIG";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn quiet(program: &str, args: &[&str]) {
    let output = clean(program).args(args).output().expect("a program");
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the most memory `canaryctl` with these arguments ever holds, in bytes.
///
/// Its output goes into a pipe that is full: when all is done but the saying, it waits, and can be
/// looked at.
fn peak(args: &[&str]) -> u64 {
    let (mut from, mut to) = io::pipe().expect("a pipe");
    to.write_all(&vec![b' '; PIPE]).expect("a full pipe");
    let mut process = clean(BINARY)
        .args(args)
        .stdout(to)
        .spawn()
        .expect("the binary");
    let most = rest(process.id());
    let mut said = String::new();
    from.read_to_string(&mut said).expect("its output");
    assert!(process.wait().expect("its end").success());
    assert!(said.contains("payment-api-stable"), "{said}");
    most
}

/// Waits until a process does nothing any more and returns the most memory it ever held, in bytes.
fn rest(process: u32) -> u64 {
    let read = |name: &str| fs::read_to_string(format!("/proc/{process}/{name}"));
    let mut before = String::new();
    let mut idle = 0;
    while idle < IDLE {
        sleep(LOOK);
        let worked = read("schedstat").expect("the process lives");
        idle = if worked == before { idle + 1 } else { 0 };
        before = worked;
    }
    let status = read("status").expect("the process lives");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = most.and_then(|most| most.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.expect("a number") * 1024
}

// === measuring ===

/// Mean cost of one run.
struct Cost {
    cpu: Duration,
    wall: Duration,
}

fn cost(runs: u32, work: impl Fn()) -> Cost {
    work();
    let (cpu, began) = (cpu_of_children(), Instant::now());
    for _ in 0..runs {
        work();
    }
    Cost {
        cpu: cpu_of_children().saturating_sub(cpu) / runs,
        wall: began.elapsed() / runs,
    }
}

/// Returns the CPU time of all processes this one has started and seen end.
fn cpu_of_children() -> Duration {
    let text = fs::read_to_string("/proc/self/stat").expect("Linux");
    // Behind the name, which is in brackets, fields count from the third.
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(13).take(2);
    let ticks: u32 = ticks.map(|n| n.parse::<u32>().expect("a number")).sum();
    TICK * ticks
}

fn within_patience<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} takes too long");
        sleep(Duration::from_millis(5));
    }
}

// === telling ===

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are small")]
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[expect(clippy::print_stdout, reason = "a benchmark prints")]
fn row(what: &str, measured: &str, goal: &str) {
    println!("{what:<46}  {measured:>10}  {goal}");
}
