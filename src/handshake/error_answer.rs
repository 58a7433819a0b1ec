//! The JSON of every error that the gateway answers over HTTP, whichever listener it is.

use schemars::JsonSchema;
use serde::Serialize;

/// What stands in the body: `{"error":{…}}`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorAnswer<'a> {
    error: ErrorDetail<'a>,
}

/// What is wrong.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ErrorDetail<'a> {
    /// For programs, from a closed list.
    code: &'a str,
    /// For people.
    message: &'a str,
    /// The path in the body (`[3].to.user`), the parameter or the header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl<'a> ErrorAnswer<'a> {
    /// `code` is for programs, `message` says what is wrong, `field` where and `hint` what to do.
    pub fn new(
        code: &'a str,
        message: &'a str,
        field: Option<&'a str>,
        hint: Option<&'a str>,
    ) -> Self {
        Self { error: ErrorDetail { code, message, field, hint } }
    }
}
