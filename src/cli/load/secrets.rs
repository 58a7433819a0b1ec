//! The token and the API's key: from files and the environment, never from the command line.

use std::fs::File;
use std::path::Path;

use crate::cli::publish::given_key;
use crate::config::{Secret, read_bounded};
use crate::load::Draft;

const TOKEN_VARIABLE: &str = "GAUGEWAY_LOAD_TOKEN";

/// Servers take no longer header.
const TOKEN_BYTES_MAX: u64 = 16 * 1_024;

/// The token of the file, else of the variable; an empty variable is none. Nothing of it is quoted.
pub(super) fn token(file: Option<&str>) -> Result<Option<Secret>, String> {
    let (name, text) = match file {
        Some(path) => {
            let bytes = read_bounded(File::open(path), TOKEN_BYTES_MAX, path)?;
            (path, String::from_utf8(bytes).ok())
        }
        None => match std::env::var_os(TOKEN_VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) => (TOKEN_VARIABLE, value.into_string().ok()),
            None => return Ok(None),
        },
    };
    let word = text.as_deref().map(str::trim).unwrap_or_default();
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("{name} holds no token: write it there, one word of visible ASCII"));
    }
    Ok(Some(Secret::new(word)))
}

/// The API's key, where the API is used.
pub(super) fn api_key(draft: &mut Draft) -> Result<Option<Secret>, String> {
    if !draft.has("api") {
        return Ok(None);
    }
    given_key(draft.text("key-file").as_deref().map(Path::new))
}
