//! The command line: a scenario's name, then `--name value` pairs.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What the program prints when it is called wrongly.
pub const USAGE: &str = "\
usage: bench-client SCENARIO --address IP:PORT --path PATH --pid SERVER_PID [options]

  idle       --connections 10000            memory per idle connection; --echo false where there is none
  handshake  --count 10000                  server CPU per connect + upgrade + close
  hold                                      as many connections as the newest line of stdin says, till its end
  echo       --connections 200 --size 128   --rate 0 (closed loop) or messages/s in all;
                                            --seconds 5, or --messages N for exactly N
  fanout     --connections 2000 --size 256  --rate publications/s, or 0: as fast as received, --window 128 under way;
                                            --seconds 5, or --publications N for exactly N
             --publisher-path PATH          one more connection publishes, there; without it the first receiver does
             --publisher-hello TEXT         its first message, which the server answers with one
             --publisher-frame TEXT         how it publishes: {} stands for the payload (default {})

{n} in the path becomes the connection's number, from 0
every scenario: --deflate true offers permessage-deflate and insists on it (default false)
                --hello TEXT is sent after each upgrade; the connection is open when one message has answered it
echo and fanout: --warm-up 1 seconds before the measured window
The result is one JSON object on stdout.";

/// The options that are left to be read.
pub struct Args {
    options: BTreeMap<String, String>,
}

impl Args {
    /// Splits the command line into the scenario and its options.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<(String, Self), String> {
        let scenario = words.next().ok_or("which scenario?")?;
        let mut options = BTreeMap::new();
        while let Some(word) = words.next() {
            let name =
                word.strip_prefix("--").ok_or_else(|| format!("'{word}' is not an option"))?;
            let value = words.next().ok_or_else(|| format!("--{name} needs a value"))?;
            options.insert(name.to_owned(), value);
        }
        Ok((scenario, Self { options }))
    }

    /// Takes an option that must be there.
    pub fn required<T: FromStr>(&mut self, name: &str) -> Result<T, String> {
        self.optional(name)?.ok_or_else(|| format!("--{name} is missing"))
    }

    /// Takes an option or its default.
    pub fn or<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        Ok(self.optional(name)?.unwrap_or(default))
    }

    /// Takes an option that may be absent.
    pub fn optional<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(text) = self.options.remove(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| format!("--{name} cannot be '{text}'"))
    }

    /// Refuses options that nobody took: a mistyped one must not be a silent default.
    pub fn finish(self) -> Result<(), String> {
        match self.options.keys().next() {
            Some(name) => Err(format!("this scenario has no option --{name}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<u64, &str>) {
        let result =
            Args::parse(line.split_whitespace().map(String::from)).and_then(|(_, mut args)| {
                let rate = args.or("rate", 7)?;
                args.finish().map(|()| rate)
            });
        assert_eq!(result, expected.map_err(String::from), "{line}");
    }

    #[test]
    fn mistakes_are_named() {
        check("echo", Ok(7));
        check("echo --rate 20", Ok(20));
        check("", Err("which scenario?"));
        check("echo --rate", Err("--rate needs a value"));
        check("echo --rate fast", Err("--rate cannot be 'fast'"));
        check("echo rate 20", Err("'rate' is not an option"));
        check("echo --rat 20", Err("this scenario has no option --rat"));
    }
}
