//! Passes the child's log on to the parent's.
//!
//! In: the child's standard error, one JSON object a line. Out: tracing events with the child's
//! level and message. Promised: nothing else gets through. Whatever is not of this form was written
//! by the engine library itself (a crash report, for instance) and may quote statements; it is
//! counted and dropped.

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Longest line that is looked at. Ours are a tenth of it.
const LINE_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Line {
    level: String,
    fields: serde_json::Map<String, serde_json::Value>,
}

/// Relays until the child closes its end.
pub(super) async fn relay(stderr: impl AsyncRead + Unpin) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut n_foreign = 0_u64;
    while let Ok(bytes) = stderr.fill_buf().await {
        if bytes.is_empty() {
            break;
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let n_bytes = part.len() + usize::from(end.is_some());
        stderr.consume(n_bytes);
        if end.is_some() {
            n_foreign += u64::from(!say(&line));
            line.clear();
        }
    }
    if n_foreign > 0 {
        tracing::warn!(
            lines = n_foreign,
            "engine library wrote lines of its own, which are not shown: they may quote statements"
        );
    }
}

/// Says one line in the parent's log; `false` if it is not one of ours.
fn say(line: &[u8]) -> bool {
    let Ok(Line { level, mut fields }) = serde_json::from_slice::<Line>(line) else {
        return false;
    };
    let message = fields.remove("message");
    let message = message
        .as_ref()
        .and_then(|text| text.as_str())
        .unwrap_or_default();
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let fields = fields.join(" ");
    match level.as_str() {
        "ERROR" => tracing::error!(target: "brine::engine", "{message} {fields}"),
        "WARN" => tracing::warn!(target: "brine::engine", "{message} {fields}"),
        "INFO" => tracing::info!(target: "brine::engine", "{message} {fields}"),
        _ => tracing::debug!(target: "brine::engine", "{message} {fields}"),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_of_the_library_is_not_said() {
        assert!(!say(b"terminate called: SELECT secret"));
        assert!(say(
            br#"{"level":"INFO","fields":{"message":"engine ends","statements":0}}"#
        ));
    }
}
