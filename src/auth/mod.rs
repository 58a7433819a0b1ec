//! Who somebody is, and whether he may: the keys of the API.

mod keys;

pub use keys::{ApiKeys, Denied};
