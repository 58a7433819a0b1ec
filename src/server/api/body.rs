//! A request's body: declared as JSON, of limited size, and in time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

use super::problem::{Code, Problem};

/// The whole body must come within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a JSON body of at most so many bytes. What is too large is not read to its end.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    check_type(headers)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if declared
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|it| it > bytes_max as u64)
    {
        return Err(too_large(bytes_max));
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(body, bytes_max)).await {
        Ok(collected) => collected,
        Err(_) => Err(Problem::new(Code::BodyTimeout, "the body did not come within 10 seconds")
            .header(header::CONNECTION, HeaderValue::from_static("close"))),
    }
}

async fn collect(body: &mut Body, bytes_max: usize) -> Result<Bytes, Problem> {
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::new(Code::Incomplete, format!("the body cannot be read: {error}"))
        })?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if collected.len() + data.len() > bytes_max {
            return Err(too_large(bytes_max));
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

fn too_large(bytes_max: usize) -> Problem {
    let message = format!("the body is larger than {bytes_max} bytes (api.max_body_bytes)");
    Problem::new(Code::BodyTooLarge, message)
        .field("body")
        .hint("send fewer publications in one request, or raise the limit")
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

/// A form of a web page cannot declare JSON, which is why it must be declared.
fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(header::CONTENT_TYPE).into_iter();
    let (first, second) = (types.next(), types.next());
    let is_json = first.and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let mut parts = value.split(';').map(str::trim);
        let is_json =
            parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
        is_json && parts.all(is_utf8_or_no_charset)
    });
    if is_json && second.is_none() {
        return Ok(());
    }
    let message = "the body must be JSON in UTF-8, and say so";
    Err(Problem::new(Code::BadContentType, message)
        .field("Content-Type")
        .hint("send the header `Content-Type: application/json`"))
}

fn is_utf8_or_no_charset(parameter: &str) -> bool {
    let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
    let value = value.trim().trim_matches('"');
    !name.trim().eq_ignore_ascii_case("charset")
        || ["utf-8", "utf8"].iter().any(|utf8| value.eq_ignore_ascii_case(utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_is_declared_as_json() {
        let check = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
            }
            check_type(&headers).is_ok()
        };
        for good in
            ["application/json", "Application/JSON ; charset=\"UTF-8\"", "application/json;"]
        {
            assert!(check(&[good]), "{good}");
        }
        for bad in ["", "text/plain", "application/json; charset=latin1", "application/jsonp"] {
            assert!(!check(&[bad]), "{bad}");
        }
        assert!(!check(&[]) && !check(&["application/json", "application/json"]));
    }
}
