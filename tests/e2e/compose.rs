//! `compose.yaml` as Docker Compose reads it: what it mounts exists, what it starts is pinned, and
//! the program accepts the settings that it gives.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Map, Value};

use super::support::{Gateway, Settings, Site, part_or_not_run, repository};

const KEYS: &str = "GAUGEWAY_API__KEYS";
const SOME_KEY: &str = "backend:0123456789abcdef01234567";

/// Runs Compose's own reader with these variables and no others.
fn read(reader: &Path, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(reader);
    command.arg(repository().join("compose.yaml")).env_clear();
    command.envs(variables.iter().copied()).output().unwrap()
}

/// The project with its defaults, or `None` where the part may lack.
#[track_caller]
fn project(test: &str) -> Option<Value> {
    let reader = part_or_not_run("compose-config", test)?;
    let output = read(&reader, &[(KEYS, SOME_KEY)]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn services(project: &Value) -> &Map<String, Value> {
    project["services"].as_object().unwrap()
}

/// The service of a profile that is not started by itself.
#[track_caller]
fn load_service(test: &str) -> Option<Value> {
    let reader = part_or_not_run("compose-config", test)?;
    let output = read(&reader, &[(KEYS, SOME_KEY), ("COMPOSE_PROFILES", "load")]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut project: Value = serde_json::from_slice(&output.stdout).unwrap();
    Some(project["services"]["load"].take())
}

/// A list of strings, empty if there is none.
fn words(value: &Value) -> Vec<&str> {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    list.iter().map(|word| word.as_str().unwrap()).collect()
}

/// The built program with the gateway's environment, its addresses replaced.
fn gaugeway(project: &Value, arguments: &[&str], replaced: &[(&str, &str)]) -> Output {
    let environment = project["services"]["gateway"]["environment"].as_object().unwrap();
    let pairs = environment.iter().map(|(name, value)| (name, value.as_str().unwrap()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_gaugeway"));
    command.current_dir(std::env::temp_dir()).env_clear().envs(pairs);
    command.envs(replaced.iter().copied()).args(arguments).output().unwrap()
}

#[test]
fn the_gateway_accepts_its_settings_without_a_warning_and_answers_its_health_check() {
    let test = "the_gateway_accepts_its_settings_without_a_warning_and_answers_its_health_check";
    let Some(project) = project(test) else { return };
    let checked = gaugeway(&project, &["check"], &[]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.is_empty(), "{said}");
    assert!(String::from_utf8_lossy(&checked.stdout).contains("clients on 0.0.0.0:8080"));
    // That a wrong setting is seen.
    assert!(
        !gaugeway(&project, &["check"], &[("GAUGEWAY_SERVER__NONSENSE", "1")]).status.success()
    );

    let test = words(&project["services"]["gateway"]["healthcheck"]["test"]);
    let ["CMD", "gaugeway", arguments @ ..] = test.as_slice() else { panic!("{test:?}") };
    let gateway = Gateway::start();
    let address = format!("0.0.0.0:{}", gateway.admin.port());
    let health = gaugeway(&project, arguments, &[("GAUGEWAY_SERVER__ADMIN_LISTEN", &address)]);
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
}

#[test]
fn without_a_key_of_the_api_compose_says_what_to_write() {
    let test = "without_a_key_of_the_api_compose_says_what_to_write";
    let Some(reader) = part_or_not_run("compose-config", test) else { return };
    for variables in [&[][..], &[(KEYS, "")]] {
        let output = read(&reader, variables);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("GAUGEWAY_API__KEYS=NAME:SECRET"));
    }
}

#[test]
fn gateways_can_be_scaled_and_are_not_killed_while_they_drain() {
    let test = "gateways_can_be_scaled_and_are_not_killed_while_they_drain";
    let Some(project) = project(test) else { return };
    let gateway = &project["services"]["gateway"];
    assert!(gateway["container_name"].is_null() && gateway["ports"].is_null());
    let seconds = |text: &Value| {
        let number = text.as_str().unwrap().strip_suffix('s').unwrap();
        number.parse::<u32>().unwrap()
    };
    let drain = seconds(&gateway["environment"]["GAUGEWAY_SERVER__DRAIN_TIMEOUT"]);
    let close_wait = 5;
    assert!(seconds(&gateway["stop_grace_period"]) > drain + close_wait);
    // Who depends on the gateways is stopped before them, and cuts their clients.
    let nginx = project["services"]["nginx"]["depends_on"].as_object().unwrap();
    assert!(!nginx.contains_key("gateway"));
    // The network whose proxies are believed is the one they are in.
    let subnet = &project["networks"]["default"]["ipam"]["config"][0]["subnet"];
    assert_eq!(subnet, &gateway["environment"]["GAUGEWAY_SERVER__TRUSTED_PROXIES"]);
}

#[test]
fn every_service_is_pinned_and_checked_and_every_mounted_path_exists() {
    let test = "every_service_is_pinned_and_checked_and_every_mounted_path_exists";
    let Some(project) = project(test) else { return };
    let dockerfile = std::fs::read_to_string(repository().join("Dockerfile")).unwrap();
    let mut mounts = 0;
    for (name, service) in services(&project) {
        if let Some(target) = service["build"]["target"].as_str() {
            assert!(dockerfile.contains(&format!(" AS {target}\n")), "{name}: no stage {target}");
        } else {
            assert_pinned(service["image"].as_str().unwrap());
        }
        let check = &service["healthcheck"];
        assert!(check["disable"] == true || words(&check["test"]).len() > 1, "{name}: no check");
        assert_ne!(service["privileged"], true, "{name}");
        for volume in service["volumes"].as_array().into_iter().flatten() {
            if volume["type"] == "bind" {
                mounts += 1;
                assert!(Path::new(volume["source"].as_str().unwrap()).exists(), "{volume}");
                assert_eq!(volume["read_only"], true, "{volume}");
            }
        }
    }
    assert_eq!(mounts, 2, "nginx's and Prometheus' configuration");
    for image in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        assert_pinned(image.split(' ').next().unwrap());
    }
    let rust = std::fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
    let version = rust.split('"').nth(1).unwrap();
    assert!(dockerfile.contains(&format!("FROM rust:{version}-")), "the pinned Rust, {version}");
    let start = words(&project["services"]["nginx"]["command"]);
    let script = start[1].strip_prefix("/gaugeway/").unwrap();
    let script = std::fs::read_to_string(repository().join("nginx").join(script)).unwrap();
    assert!(script.contains(" --forwarded replace"), "nginx is the first proxy there");
}

#[test]
fn ten_load_clients_start_only_when_asked_for_and_ask_for_what_the_program_does() {
    let test = "ten_load_clients_start_only_when_asked_for_and_ask_for_what_the_program_does";
    let Some(project) = project(test) else { return };
    assert!(!services(&project).contains_key("load"));
    let Some(load) = load_service(test) else { return };
    assert_eq!(load["deploy"]["replicas"], 10);
    assert_eq!(load["build"], project["services"]["gateway"]["build"], "the same image");
    assert_eq!(load["depends_on"]["nginx"]["condition"], "service_healthy");
    assert!(load["ports"].is_null() && load["read_only"] == true && load["user"].is_null());
    assert_eq!(words(&load["cap_drop"]), ["ALL"]);
    assert_eq!(load["healthcheck"]["disable"], true);

    let site = Site::start(Settings::new());
    let own = format!("wss://{}/", site.nginx.tls);
    let command = words(&load["command"]);
    let mut arguments: Vec<String> =
        command.iter().map(|word| word.replace("wss://nginx:8443/", &own)).collect();
    assert!(arguments.iter().any(|word| word.contains(&own)), "{arguments:?}");
    // Later flags win.
    let short = ["--connections=3", "--ramp=0s", "--duration=300ms", "--warm-up=0s"];
    arguments.extend(short.map(str::to_owned));
    arguments.extend(["--max-errors=0".to_owned(), "--no-progress".to_owned()]);
    let mut gaugeway = Command::new(env!("CARGO_BIN_EXE_gaugeway"));
    let output = gaugeway.args(&arguments).env_clear().output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("3 wanted, 3 opened"), "{output:?}");
}

/// With a version of at least two numbers.
#[track_caller]
fn assert_pinned(image: &str) {
    let tag = image.split_once(':').unwrap_or_else(|| panic!("{image} has no tag")).1;
    let version = tag.trim_start_matches('v').split('-').next().unwrap();
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    assert!(numbers > 1, "{image}: the tag is no version");
}

#[test]
fn only_nginx_and_prometheus_are_reachable_and_only_from_this_machine_unless_asked() {
    let test = "only_nginx_and_prometheus_are_reachable_and_only_from_this_machine_unless_asked";
    let Some(reader) = part_or_not_run("compose-config", test) else { return };
    let published = |variables: &[(&str, &str)]| {
        let output = read(&reader, &[variables, &[(KEYS, SOME_KEY)]].concat());
        let project: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut found = Vec::new();
        for (name, service) in services(&project) {
            for port in service["ports"].as_array().into_iter().flatten() {
                let said = |field: &str| port[field].as_str().unwrap().to_owned();
                found.push(format!("{name} {}:{}", said("host_ip"), said("published")));
            }
        }
        found
    };
    assert_eq!(
        published(&[]),
        ["nginx 127.0.0.1:8000", "nginx 127.0.0.1:8443", "prometheus 127.0.0.1:9090"]
    );
    let wide = [("BIND_ADDRESS", "0.0.0.0"), ("HTTPS_PORT", "443"), ("HTTP_PORT", "80")];
    assert_eq!(
        published(&wide),
        ["nginx 0.0.0.0:80", "nginx 0.0.0.0:443", "prometheus 127.0.0.1:9090"]
    );
}
