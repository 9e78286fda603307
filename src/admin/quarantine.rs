//! `POST /api/v1/quarantine` on the admin listener: what the spool has set aside, put back or deleted by an operator.
//!
//! Comes in: `{"action": …}`. Goes out: JSON. Everything in there is counted nowhere until somebody decides.

use bytes::Bytes;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::rights::desk::{NotReplayed, Rights};
use crate::route::{self, Reply, problem};
use crate::spool::{SegmentError, Spool};

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    List,
    Replay,
    Drop { file: String },
}

/// Returns what `access_log` says of a request that changes something.
pub(super) fn change(body: &Bytes) -> Option<&'static str> {
    match serde_json::from_slice(body) {
        Ok(Ask::Replay) => Some("quarantine replay"),
        Ok(Ask::Drop { .. }) => Some("quarantine drop"),
        _ => None,
    }
}

/// Answers one request.
pub(super) async fn answer(spool: &Spool, rights: &Rights, body: &Bytes) -> Reply {
    let ask: Ask = match serde_json::from_slice(body) {
        Ok(ask) => ask,
        Err(error) => {
            let detail = format!("{error}; actions are list, replay, drop");
            return problem(StatusCode::BAD_REQUEST, None, &detail);
        }
    };
    match ask {
        Ask::List => told(blocking(spool, list).await),
        Ask::Drop { file } => {
            let name = file.clone();
            let dropped = blocking(spool, move |spool| spool.drop_quarantined(&name)).await;
            told(dropped.map(|()| json!({ "dropped": file })))
        }
        Ask::Replay => match rights.replay_quarantine().await {
            Ok(replayed) => {
                tracing::info!(
                    files = replayed.files,
                    records = replayed.records,
                    damaged = replayed.damaged,
                    "quarantine replayed: its records are on their way to ClickHouse again"
                );
                let body = json!({
                    "files": replayed.files, "records": replayed.records, "damaged": replayed.damaged,
                });
                route::json(StatusCode::OK, &body)
            }
            Err(NotReplayed::Spool(error)) => told(Err(error)),
            Err(error) => problem(StatusCode::CONFLICT, None, &error.to_string()),
        },
    }
}

fn list(spool: &Spool) -> Result<Value, SegmentError> {
    let files = spool.quarantined()?.into_iter().map(|file| {
        let since = file.created_unix_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok());
        json!({
            "file": file.name, "bytes": file.bytes, "since": since.map(|at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            "can_be_replayed": file.replayable, "reason": file.reason,
        })
    });
    Ok(json!({ "files": files.collect::<Vec<_>>() }))
}

async fn blocking<T: Send + 'static>(
    spool: &Spool,
    work: impl FnOnce(&Spool) -> Result<T, SegmentError> + Send + 'static,
) -> Result<T, SegmentError> {
    let spool = spool.clone();
    let done = tokio::task::spawn_blocking(move || work(&spool)).await;
    done.unwrap_or_else(|error| Err(SegmentError::Quarantine(std::io::Error::other(error))))
}

fn told(done: Result<Value, SegmentError>) -> Reply {
    match done {
        Ok(body) => route::json(StatusCode::OK, &body),
        Err(SegmentError::Quarantine(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            problem(
                StatusCode::NOT_FOUND,
                None,
                "no such file in the quarantine",
            )
        }
        Err(SegmentError::Closed) => {
            problem(StatusCode::SERVICE_UNAVAILABLE, None, "brine is closing")
        }
        Err(error) => {
            let detail = format!("{:#}", anyhow::Error::new(error));
            problem(StatusCode::INTERNAL_SERVER_ERROR, None, &detail)
        }
    }
}
