//! The one declaration behind struct, default, reader, printer and description of a section.

use super::mistake::Problem;
use super::value::Input;

/// What is known about one setting.
pub(super) struct Field {
    /// Its name in the file.
    pub key: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The unit of its value.
    pub unit: &'static str,
    /// What it accepts, in words.
    pub range: fn() -> String,
    /// What it costs in memory, CPU or latency.
    pub costs: &'static str,
    /// It has no default.
    pub required: bool,
    /// `section.key` of the general setting that holds where this one is absent.
    pub inherits: Option<&'static str>,
    /// A reload (SIGHUP) changes it.
    pub live: bool,
}

/// A table of the file: its settings by name.
pub(super) trait Section {
    /// Its name in the file.
    fn name(&self) -> &'static str;

    /// What it is about.
    fn about(&self) -> &'static str;

    /// Its settings, in the order of their declaration.
    fn fields(&self) -> &'static [Field];

    /// Reads one setting. An unknown key changes nothing: the caller has looked it up.
    fn set(&mut self, key: &str, input: Input<'_>) -> Result<(), Vec<Problem>>;

    /// The value of one setting as TOML; `None` where it is not set, or unknown.
    fn get(&self, key: &str) -> Option<String>;
}

/// What a reload does with a section.
pub(super) trait Reload: Sized {
    /// The settings whose values differ.
    fn changed(&self, new: &Self) -> Vec<&'static Field>;

    /// Takes over the live settings.
    fn take_live(&mut self, new: &Self);
}

/// Declares a section: for each key its type, default, unit, range and costs.
///
/// ```text
/// settings! {
///     /// What the section is about.
///     struct Name in "section";
///
///     /// What the setting does.
///     key: Type = default,
///         unit: "…", range: Rule::…, costs: "…";
/// }
/// ```
///
/// `range` may be left out (whatever the type accepts). `required: true` demands the key,
/// `inherits: "section.key"` names the general setting behind an absent one, `live: true` says that
/// a reload changes it.
macro_rules! settings {
    (
        $(#[doc = $about:literal])*
        struct $name:ident in $section:literal;
        $(
            $(#[doc = $doc:literal])*
            $key:ident: $type:ty = $default:expr,
                unit: $unit:literal,
                $(range: $rule:expr,)?
                $(required: $required:literal,)?
                $(inherits: $inherits:literal,)?
                $(live: $live:literal,)?
                costs: $costs:literal;
        )*
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                #[doc = ""]
                #[doc = concat!("Unit: ", $unit, ". Default: `", stringify!($default), "`. Costs: ", $costs, ".")]
                pub $key: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl Section for $name {
            fn name(&self) -> &'static str {
                $section
            }

            fn about(&self) -> &'static str {
                concat!($($about),*)
            }

            fn fields(&self) -> &'static [Field] {
                &[$(Field {
                    key: stringify!($key),
                    doc: concat!($($doc),*),
                    unit: $unit,
                    range: || settings!(@range $type $(, $rule)?),
                    costs: $costs,
                    required: settings!(@first $($required,)? false),
                    inherits: settings!(@option $($inherits)?),
                    live: settings!(@first $($live,)? false),
                }),*]
            }

            fn set(&mut self, key: &str, input: Input<'_>) -> Result<(), Vec<Problem>> {
                match key {
                    $(stringify!($key) => {
                        let rule = settings!(@first $($rule,)? Rule::Any);
                        self.$key = Value::read(input, rule)?;
                    })*
                    _ => {}
                }
                Ok(())
            }

            fn get(&self, key: &str) -> Option<String> {
                match key {
                    $(stringify!($key) => self.$key.toml(),)*
                    _ => None,
                }
            }
        }

        impl Reload for $name {
            fn changed(&self, new: &Self) -> Vec<&'static Field> {
                let differs = [$(self.$key != new.$key),*];
                let fields = self.fields().iter().zip(differs);
                fields.filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
            }

            fn take_live(&mut self, new: &Self) {
                $(if settings!(@first $($live,)? false) {
                    self.$key.clone_from(&new.$key);
                })*
            }
        }
    };
    (@first $first:expr $(, $rest:expr)?) => { $first };
    (@option) => { None };
    (@option $some:literal) => { Some($some) };
    (@range $type:ty) => { <$type as Value>::ACCEPTS.to_owned() };
    (@range $type:ty, $rule:expr) => { $rule.to_string() };
}

/// Declares a setting's closed list of words: the enum, its reader and its description.
macro_rules! choices {
    (
        $(#[doc = $about:literal])*
        enum $name:ident { $($(#[doc = $doc:literal])* $variant:ident = $word:literal,)* }
        $accepts:literal
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $doc])* $variant,)* }

        impl $name {
            /// As it is written in the file.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Word for $name {
            const ACCEPTS: &'static str = $accepts;
            const ADVICE: &'static str = concat!("write ", $accepts);

            fn parse(text: &str, _: Rule) -> Result<Self, Problem> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(Problem::new(
                        format!("{} is not known to this version", quote(other)),
                        Self::ADVICE,
                    )),
                }
            }

            fn show(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

pub(super) use {choices, settings};
