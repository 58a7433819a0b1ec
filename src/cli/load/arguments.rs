//! The flags, made from the table of keys.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::load::{Draft, KEYS, Key, THRESHOLDS, Takes};

/// What was asked by flags, as it was written; of `ONLY_THRESHOLDS` there are no others.
#[derive(Debug)]
pub(super) struct Asked<const ONLY_THRESHOLDS: bool>(Vec<(&'static Key, Vec<String>)>);

impl<const ONLY_THRESHOLDS: bool> Asked<ONLY_THRESHOLDS> {
    fn keys() -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(|key| !ONLY_THRESHOLDS || key.heading == THRESHOLDS)
    }

    /// Puts them above what is there.
    pub fn give_to(self, draft: &mut Draft) {
        for (key, values) in self.0 {
            draft.give_flag(key, values);
        }
    }
}

fn argument(key: &'static Key) -> Arg {
    let argument = Arg::new(key.name).help(key.help).help_heading(key.heading);
    if key.name == "url" {
        return argument.value_name(key.value_name).help_heading(None::<&str>);
    }
    let argument = argument.long(key.name);
    let argument = match key.short {
        Some(letter) => argument.short(letter),
        None => argument,
    };
    match key.takes {
        Takes::Switch => argument.action(ArgAction::SetTrue),
        Takes::List => argument.action(ArgAction::Append).value_name(key.value_name),
        Takes::Number => argument.value_name(key.value_name).allow_negative_numbers(true),
        Takes::Text | Takes::TextOrNumber => argument.value_name(key.value_name),
    }
}

impl<const ONLY_THRESHOLDS: bool> Args for Asked<ONLY_THRESHOLDS> {
    fn augment_args(command: Command) -> Command {
        command.args(Self::keys().map(argument))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<const ONLY_THRESHOLDS: bool> FromArgMatches for Asked<ONLY_THRESHOLDS> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let values = |key: &Key| -> Vec<String> {
            if key.takes == Takes::Switch {
                return matches.get_flag(key.name).then(|| "true".to_owned()).into_iter().collect();
            }
            matches.get_many(key.name).into_iter().flatten().cloned().collect()
        };
        let asked = Self::keys().map(|key| (key, values(key)));
        Ok(Self(asked.filter(|(_, values)| !values.is_empty()).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
