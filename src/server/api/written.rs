//! The body of a publish request as it is written: one publication, or an array of them.
//!
//! serde's derived readers take an array for an object; [`Object`] does not. Unknown and repeated
//! keys are errors.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Publications of one request.
pub(super) const BATCH_MAX: usize = 1000;

/// One publication.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted<'a> {
    pub(super) to: Object<To>,
    #[serde(default, borrow, deserialize_with = "present")]
    pub(super) data: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    pub(super) text: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) data_base64: Option<String>,
    #[serde(default = "yes")]
    pub(super) compress: bool,
}

/// Whom it is for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct To {
    #[serde(default, deserialize_with = "present")]
    pub(super) user: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) endpoint: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) everyone: Option<bool>,
}

const fn yes() -> bool {
    true
}

/// A key that is there has a value: `null` is one of `data`, and of nothing else.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A value that is written as an object and in no other way.
pub(super) struct Object<T>(pub(super) T);

/// What stands in the error when something else is there.
trait Expected {
    const WORDS: &'static str;
}

impl Expected for Wanted<'_> {
    const WORDS: &'static str = "a publication, which is an object with `to` and a payload";
}

impl Expected for To {
    const WORDS: &'static str = "an object with one of `user`, `endpoint` and `everyone`";
}

impl<'de, T: Deserialize<'de> + Expected> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Expected> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WORDS)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Up to [`BATCH_MAX`] publications; more are not even read.
pub(super) struct Several<'a>(pub(super) Vec<Wanted<'a>>);

impl<'de> Deserialize<'de> for Several<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(SeveralVisitor)
    }
}

struct SeveralVisitor;

impl<'de> Visitor<'de> for SeveralVisitor {
    type Value = Several<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of publications")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut several = Vec::new();
        while several.len() < BATCH_MAX {
            match seq.next_element()? {
                Some(Object(wanted)) => several.push(wanted),
                None => return Ok(Several(several)),
            }
        }
        match seq.next_element::<IgnoredAny>()? {
            None => Ok(Several(several)),
            Some(_) => Err(A::Error::custom(format!(
                "there are more than {BATCH_MAX} publications in one request"
            ))),
        }
    }
}
