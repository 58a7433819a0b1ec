//! The command line: arguments and exit codes, one file per subcommand.

pub mod check;
pub mod config;
pub mod health;
mod http;
pub mod load;
pub mod publish;
pub mod serve;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, Loaded, Sources, load as load_config};

/// Something failed while running.
pub const FAILED: u8 = 1;
/// What the user gave is wrong: arguments, configuration.
pub const BAD_INPUT: u8 = 2;

/// What the program was called with.
#[derive(Debug, Parser)]
#[command(
    name = "gaugeway",
    version,
    about = "A WebSocket notification gateway that tells its operators why connections die",
    long_about = "A WebSocket notification gateway that tells its operators why connections die.\n\n\
                  Without a subcommand it serves. Without a configuration file it listens on \
                  loopback only: clients on 127.0.0.1:8080, operators on 127.0.0.1:8081.",
    after_help = "Examples:\n  \
                  gaugeway                              serve with ./gaugeway.toml, or the defaults\n  \
                  gaugeway --listen 127.0.0.1:9000      serve on another port\n  \
                  gaugeway config --example > gaugeway.toml\n  \
                  gaugeway check -c gaugeway.toml       report all mistakes at once\n  \
                  gaugeway publish --to user:42 hello   one message, through the API\n  \
                  gaugeway load ws://127.0.0.1:8080/ws  put load on a server\n\n\
                  Exit codes: 0 well, 1 failed while running, 2 bad input.",
    args_conflicts_with_subcommands = true
)]
pub struct Arguments {
    /// What to do; nothing means `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The options of `serve`.
    #[command(flatten)]
    pub serve: ConfigOptions,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway (the default)
    Serve(ConfigOptions),
    /// Validate the configuration: report all mistakes, or say OK
    Check(ConfigOptions),
    /// Print the effective configuration, or the commented example
    Config(config::Options),
    /// Ask a running gateway whether it is ready (for a container's health check)
    Health(health::Options),
    /// Publish a message by hand: to a user, an endpoint or everyone
    Publish(publish::Options),
    /// Put load on any WebSocket server, and measure what comes of it
    Load(Box<load::Options>),
}

/// Where settings come from, on any subcommand that needs them.
#[derive(Debug, Clone, Default, Args)]
pub struct ConfigOptions {
    /// The configuration file [default: ./gaugeway.toml if there is one, else built-in defaults]
    #[arg(short, long, value_name = "FILE", env = "GAUGEWAY_CONFIG", hide_env_values = true)]
    pub config: Option<PathBuf>,
    /// Where clients connect, over file and environment; beyond loopback see the example file
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// Where operators connect (metrics, health, API), over file and environment
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<String>,
    /// One setting, over file and environment, such as compression.level=6; may be repeated
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl ConfigOptions {
    /// Loads the configuration. All mistakes go to standard error, and the exit code is 2.
    pub fn load(self) -> Result<Loaded, ExitCode> {
        load_from(&self.sources())
    }

    /// What the configuration is made from.
    pub fn sources(self) -> Sources {
        let flags = Flags { listen: self.listen, admin_listen: self.admin_listen, set: self.set };
        Sources::of_process(self.config, flags)
    }
}

/// Loads the configuration. All mistakes go to standard error, and the exit code is 2.
fn load_from(sources: &Sources) -> Result<Loaded, ExitCode> {
    load_config(sources).map_err(|mistakes| {
        complain(&mistakes.to_string());
        ExitCode::from(BAD_INPUT)
    })
}

/// Writes to standard output. A reader that has gone (`| head`) is no failure of ours.
fn print(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("standard output: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

/// Writes a line to standard error. Where even that is closed, the exit code must do.
fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_declaration_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_reach_their_command() {
        let parsed = |line: &str| Arguments::try_parse_from(line.split(' '));
        let bare = parsed("gaugeway -c f.toml --listen 127.0.0.1:0 --set a=1 --set b=2").unwrap();
        assert!(bare.command.is_none());
        assert_eq!(bare.serve.config, Some("f.toml".into()));
        assert_eq!(bare.serve.set, ["a=1", "b=2"]);
        assert!(matches!(
            parsed("gaugeway serve -c f.toml").unwrap().command,
            Some(Command::Serve(options)) if options.config == Some("f.toml".into())
        ));
        for line in ["gaugeway chek", "gaugeway -c f.toml check", "gaugeway check --nope"] {
            assert_eq!(parsed(line).unwrap_err().exit_code(), i32::from(BAD_INPUT), "{line}");
        }
    }
}
