//! Query parameters that come as `multipart/form-data`, the way the official Rust client sends
//! them.
//!
//! In: a body. Out: the same parameters as if they stood in the URL, which is too short for long
//! ones. External tables, the other use of multipart in ClickHouse's interface, are not supported.

use http_body_util::BodyExt;
use hyper::{HeaderMap, body::Incoming, header::CONTENT_TYPE};
use multer::{Constraints, Multipart, SizeLimit};

use super::{Exception, exception::code, request::Request};

/// Statement and parameters together; the statement alone may have a quarter of a MiB
/// (`max_query_size`).
const BODY_BYTES: u64 = 16 << 20;

/// Returns the boundary if the body is a form.
pub(super) fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    multer::parse_boundary(content_type).ok()
}

/// Reads all fields into `request`.
pub(super) async fn read(
    body: Incoming,
    boundary: String,
    request: &mut Request,
) -> Result<(), Exception> {
    let limit = Constraints::new().size_limit(SizeLimit::new().whole_stream(BODY_BYTES));
    let mut form = Multipart::with_constraints(body.into_data_stream(), boundary, limit);
    let malformed = |error: multer::Error| {
        Exception::new(
            code::CANNOT_READ_ALL_DATA,
            format!("Malformed multipart body: {error}"),
        )
    };
    while let Some(field) = form.next_field().await.map_err(malformed)? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() || !(name == "query" || name.starts_with("param_")) {
            let text = "External tables are not supported by the embedded engine";
            return Err(Exception::new(code::NOT_IMPLEMENTED, text));
        }
        let value = field.bytes().await.map_err(malformed)?;
        match name.strip_prefix("param_") {
            Some(param) => request.params.push(param, value.to_vec()),
            None => request.query = value.to_vec(),
        }
    }
    Ok(())
}
