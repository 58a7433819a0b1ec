//! A network of a test's own: an `ip netns` in which the test runs itself again.

use std::process::Command;

use super::part_or_not_run;

const INSIDE: &str = "TEST_RUNS_INSIDE_A_NAMESPACE";

/// A network namespace; it goes with the test.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

/// Runs the test of this name again in a namespace of its own, where `inside` may do to the loopback
/// interface what it likes. Reported as not run where namespaces cannot be made.
#[track_caller]
pub fn in_namespace(test: &str, inside: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let Some(ip) = part_or_not_run("netns", test) else { return };
    let last = test.rsplit("::").next().unwrap();
    let name = format!("gw-{}-{}", std::process::id(), &last[..last.len().min(24)]);
    let namespace = Namespace(name);
    let run = |arguments: &[&str]| Command::new(&ip).args(arguments).status().unwrap().success();
    assert!(run(&["netns", "add", &namespace.0]));
    assert!(run(&["-n", &namespace.0, "link", "set", "lo", "up"]));
    let output = Command::new(&ip)
        .args(["netns", "exec", &namespace.0])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "yes")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
