//! What overrides the file: environment variables, then flags.

use std::ffi::OsString;

use super::draft::Draft;
use super::mistake::{Place, quote_name};
use super::suggest::closest;
use super::value::Input;

/// The prefix of every variable that is ours.
const PREFIX: &str = "GAUGEWAY_";

/// Variables with our prefix that are not settings: they stand for command-line options; the last is
/// read when the program is built and may still be set when it runs.
const OPTIONS: [&str; 5] = [
    "GAUGEWAY_CONFIG",
    "GAUGEWAY_HEALTH_URL",
    "GAUGEWAY_ADMIN_URL",
    "GAUGEWAY_API_KEY",
    "GAUGEWAY_REVISION",
];

/// Settings given on the command line, as they were typed.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--listen ADDRESS:PORT`.
    pub listen: Option<String>,
    /// `--admin-listen ADDRESS:PORT`.
    pub admin_listen: Option<String>,
    /// `--set section.key=value`, in the order of the command line; they override the other two.
    pub set: Vec<String>,
}

/// Puts the environment's settings into the draft. Variables with our prefix that mean nothing are
/// mistakes: a typing error in one would otherwise be found in production.
pub(super) fn apply_environment(draft: &mut Draft, environment: &[(OsString, OsString)]) {
    for (name, value) in environment {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX)
            || OPTIONS.contains(&&*name)
            || is_service_variable(&name, value.to_str())
        {
            continue;
        }
        let place = Place::Environment(name.clone().into_owned());
        let known = draft.setting_names().find(|(section, key)| variable(section, key) == name);
        let Some((section, key)) = known else {
            let (what, advice) = unknown_variable(draft, &name);
            draft.mistake(place, String::new(), what, advice);
            continue;
        };
        match value.to_str() {
            Some(text) => draft.set(section, key, Input::Text(text), &|_| place.clone()),
            None => draft.mistake(place, String::new(), "is not UTF-8", "write UTF-8"),
        }
    }
}

/// Puts the flags' settings into the draft.
pub(super) fn apply_flags(draft: &mut Draft, flags: &Flags) {
    let Flags { listen, admin_listen, set } = flags;
    for (flag, key, value) in
        [("--listen", "listen", listen), ("--admin-listen", "admin_listen", admin_listen)]
    {
        if let Some(text) = value {
            let place = Place::Flag(flag.to_owned());
            draft.set("server", key, Input::Text(text), &|_| place.clone());
        }
    }
    for assignment in set {
        apply_assignment(draft, assignment);
    }
}

fn apply_assignment(draft: &mut Draft, assignment: &str) {
    let Some((setting, value)) = assignment.split_once('=') else {
        let what = format!("{} has no `=`", quote_name(assignment));
        let advice = "write --set section.key=value";
        return draft.mistake(Place::Flag("--set".into()), String::new(), what, advice);
    };
    let setting = setting.trim();
    let place = Place::Flag(format!("--set {}", quote_name(setting).trim_matches('"')));
    let known = draft
        .setting_names()
        .find(|(section, key)| setting.split_once('.') == Some((section, key)));
    if let Some((section, key)) = known {
        return draft.set(section, key, Input::Text(value.trim()), &|_| place.clone());
    }
    let advice = if is_endpoint(setting) {
        "write [[endpoint]] tables in a file: endpoints cannot be set by flags".to_owned()
    } else {
        let show = |(section, key)| format!("{section}.{key}");
        let likely = draft.setting_names().find(|(_, key)| *key == setting);
        let names: Vec<String> = draft.setting_names().map(show).collect();
        let near = || closest(setting, names.iter().map(String::as_str)).map(str::to_owned);
        match likely.map(show).or_else(near) {
            Some(name) => format!("did you mean {name}?"),
            None => "`gaugeway config --example` shows every setting".to_owned(),
        }
    };
    draft.mistake(place, String::new(), "is not a setting", advice);
}

/// The variable of a setting: `GAUGEWAY_SERVER__LISTEN`.
pub(super) fn variable(section: &str, key: &str) -> String {
    format!("{PREFIX}{section}__{key}").to_ascii_uppercase()
}

fn unknown_variable(draft: &Draft, name: &str) -> (&'static str, String) {
    let what = "is not a setting";
    if is_endpoint(&name[PREFIX.len()..]) {
        let advice = "write [[endpoint]] tables in a file: endpoints cannot be set here";
        return (what, advice.to_owned());
    }
    // The common prefix would make everything look alike.
    let bare = &name[PREFIX.len()..];
    let of_key = draft
        .setting_names()
        .find(|(_, key)| key.eq_ignore_ascii_case(bare))
        .map(|(section, key)| variable(section, key));
    let names: Vec<String> = draft
        .setting_names()
        .map(|(section, key)| variable(section, key))
        .chain(OPTIONS.map(str::to_owned))
        .collect();
    let near = || {
        let known = names.iter().map(|known| &known[PREFIX.len()..]);
        closest(bare, known).map(|known| format!("{PREFIX}{known}"))
    };
    let advice = match of_key.or_else(near) {
        Some(known) => format!("did you mean {known}?"),
        None => "unset it, or write GAUGEWAY_SECTION__KEY".to_owned(),
    };
    (what, advice)
}

fn is_endpoint(name: &str) -> bool {
    name.get(.."endpoint".len()).is_some_and(|start| start.eq_ignore_ascii_case("endpoint"))
}

/// Kubernetes and Docker links put such variables into every container beside a service that is
/// called `gaugeway` (`GAUGEWAY_SERVICE_HOST`, `GAUGEWAY_PORT_8080_TCP_ADDR`): not the user's.
fn is_service_variable(name: &str, value: Option<&str>) -> bool {
    let number_follows = |(_, rest): (&str, &str)| rest.starts_with(|c: char| c.is_ascii_digit());
    let is_url = value.is_some_and(|value| value.contains("://"));
    !name.contains("__")
        && (name.ends_with("_SERVICE_HOST")
            || name.contains("_SERVICE_PORT")
            || (name.ends_with("_PORT") && is_url)
            || name.split_once("_PORT_").is_some_and(number_follows))
}
