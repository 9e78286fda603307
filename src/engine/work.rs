//! Works on one statement, on a thread that may block.
//!
//! In: a request, its body, a connection to the engine. Out: the head of an answer, then its bytes.
//! The order is that of a statement's life: read, prepare the connection, admit, run. Promised: an
//! insert is finished only after the body's own end was read and decoded without an error; every
//! other way out of this file cancels it.

use std::{
    io::{self, Read},
    sync::Arc,
};

use tokio::sync::{mpsc, oneshot};

use super::{
    Exception,
    admission::admit,
    answer::{Class, Counts, Params},
    body::{BodyReader, Piece},
    decode::Data,
    exception::code,
    ffi::Connection,
    formats,
    prepare::{check_readonly, kill_by_client_id, prepare, remember, syntax_error},
    registry::{Running, Ticket},
    reply::{Head, Out, Stop},
    request::Request,
    session::Lease,
    statement::{Statement, Tokens, is},
};

/// Longest statement without its data: the server's default `max_query_size`.
const STATEMENT_BYTES: usize = 256 << 10;

/// Data handed to the engine at once.
const APPEND_BYTES: usize = 256 << 10;

/// One statement's work.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) body: BodyReader,
    pub(super) connection: Source,
    pub(super) ticket: Ticket,
    /// Sixteen random characters, so that no data can pass for the trailer.
    pub(super) tag: String,
    pub(super) head: oneshot::Sender<Result<Head, Exception>>,
    pub(super) reply: mpsc::Sender<Piece>,
}

/// Where the connection comes from.
pub(super) enum Source {
    /// A fresh one, so that nothing leaks from request to request.
    Fresh(Connection),
    /// The session's.
    Session(Lease),
}

impl Job {
    /// Does the work and answers. Returns when nothing of the statement is left in the engine.
    pub(super) fn run(self) {
        let Self {
            request,
            body,
            connection,
            ticket,
            tag,
            head,
            reply,
        } = self;
        let running = Arc::clone(&ticket.0);
        let mut out = Out {
            head: Some(head),
            reply,
            encoder: None,
            request: &request,
            tag,
        };
        match connection {
            Source::Fresh(mut connection) => {
                let end = work(&request, body, &mut connection, &running, &mut out);
                // Closed before the answer ends, so that "answered" means "over" in the engine too.
                drop(connection);
                drop(ticket);
                out.close(end);
            }
            Source::Session(mut lease) => {
                let end = match lease.connection.as_mut() {
                    Some(connection) => in_session(&request, body, connection, &running, &mut out),
                    None => Err(Stop::Gone),
                };
                drop(lease);
                drop(ticket);
                out.close(end);
            }
        }
    }
}

/// Runs a statement in a session: settings and database given with the request end with it.
fn in_session(
    request: &Request,
    body: BodyReader,
    connection: &mut Connection,
    running: &Running,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    let restore = remember(request, connection)?;
    let end = work(request, body, connection, running, out);
    if end.is_err() {
        // Rows formatted before an exception would come out with the next answer (26.7.3).
        drop(connection.query(b"SELECT 1", "Null", &Params::default()));
    }
    for statement in restore {
        // Refused in a read-only session, which then keeps what it has until it ends.
        drop(connection.query(statement.as_bytes(), "Null", &Params::default()));
    }
    end
}

fn work(
    request: &Request,
    body: BodyReader,
    connection: &mut Connection,
    running: &Running,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    let mut data = Data::new(body, request.content_coding, request.decompress)?;
    let (text, statement) = read_statement(request, &mut data)?;
    prepare(request, connection, running)?;
    let classified = match &statement {
        Statement::Insert { full, .. } => full,
        Statement::Other { text, .. } => text,
    };
    let analysis = connection.classify(classified);
    if analysis.statements == 0 {
        return Err(syntax_error(connection, classified).into());
    }
    admit(classified, analysis)?;
    check_readonly(request, classified, analysis.class)?;
    if running.is_cancelled() {
        return Err(Stop::Gone);
    }
    match statement {
        Statement::Insert {
            head,
            format,
            data: at,
            ..
        } => {
            let format = format.or_else(|| request.default_format.clone());
            let format = format.as_deref().unwrap_or("Values");
            let counts = insert(
                request,
                connection,
                running,
                &head,
                format,
                &text[at..],
                &mut data,
            )?;
            out.begin(format, counts)
        }
        Statement::Other {
            text,
            format,
            select,
        } => {
            let default = || request.default_format.clone();
            let format = format
                .or_else(default)
                .unwrap_or_else(|| "TabSeparated".to_owned());
            let text = kill_by_client_id(&text).unwrap_or(text);
            let streams = select
                && analysis.class == Class::Read
                && formats::is_streamed(&format)
                && !request.wait_end_of_query
                && !is_one_document(request, connection, &format, &text)?;
            if streams {
                stream(request, connection, running, &text, &format, out)
            } else {
                let answer = connection.query(&text, &format, &request.params)?;
                out.begin(&format, answer.counts)?;
                out.write(&answer.bytes)
            }
        }
    }
}

/// Reads the statement, from the URL or from the beginning of the body. Data behind it stay in the
/// returned text and in `data`.
fn read_statement(request: &Request, data: &mut Data) -> Result<(Vec<u8>, Statement), Stop> {
    let mut text = request.query.clone();
    if !text.is_empty() {
        let statement = Statement::parse(&text);
        // With a default format, what the URL leaves out is not looked for in the body.
        let complete = match &statement {
            Statement::Insert { format, .. } => {
                format.is_some() || request.default_format.is_some()
            }
            Statement::Other { .. } => false,
        };
        if complete {
            check_length(text.len())?;
            return Ok((text, statement));
        }
        // As on a server, URL and body are one text.
        text.push(b'\n');
    }
    let limit = u64::try_from(STATEMENT_BYTES + 1).unwrap_or(u64::MAX);
    data.take(limit).read_to_end(&mut text)?;
    let statement = Statement::parse(&text);
    match &statement {
        Statement::Insert { full, .. } => check_length(full.len())?,
        Statement::Other { text, .. } if text.iter().all(u8::is_ascii_whitespace) => {
            return Err(Exception::new(code::SYNTAX_ERROR, "Syntax error: Empty query").into());
        }
        Statement::Other { text, .. } => check_length(text.len())?,
    }
    Ok((text, statement))
}

fn check_length(n_bytes: usize) -> Result<(), Exception> {
    if n_bytes <= STATEMENT_BYTES {
        return Ok(());
    }
    let text = format!(
        "Syntax error: Max query size exceeded (can be at most {STATEMENT_BYTES} bytes without data)"
    );
    Err(Exception::new(code::SYNTAX_ERROR, text))
}

fn stream(
    request: &Request,
    connection: &mut Connection,
    running: &Running,
    text: &[u8],
    format: &str,
    out: &mut Out<'_>,
) -> Result<(), Stop> {
    let mut rows = connection.stream(text, format, &request.params)?;
    let Some(first) = rows.next_chunk()? else {
        return out.begin(format, Counts::default());
    };
    let header = formats::header(format, &first.bytes).to_vec();
    out.begin(format, first.counts)?;
    out.write(&first.bytes)?;
    drop(first);
    while !running.is_cancelled() {
        let Some(chunk) = rows.next_chunk()? else {
            return Ok(());
        };
        out.write(formats::without_header(&header, &chunk.bytes))?;
    }
    Err(cancelled().into())
}

fn insert(
    request: &Request,
    connection: &mut Connection,
    running: &Running,
    head: &[u8],
    format: &str,
    inline: &[u8],
    data: &mut Data,
) -> Result<Counts, Stop> {
    let mut stream = connection.insert(head, format, &request.params)?;
    if !inline.is_empty() {
        stream.append(inline)?;
    }
    let mut buffer = vec![0; APPEND_BYTES];
    loop {
        // Any error drops the stream, and with it the insert.
        let n_bytes = fill(data, &mut buffer)?;
        if running.is_cancelled() {
            return Err(cancelled().into());
        }
        if n_bytes == 0 {
            return Ok(stream.finish()?);
        }
        stream.append(&buffer[..n_bytes])?;
    }
}

/// Reads until the buffer is full or the data end: the engine pays for every append.
fn fill(data: &mut Data, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n_bytes = 0;
    while n_bytes < buffer.len() {
        match data.read(&mut buffer[n_bytes..])? {
            0 => break,
            read => n_bytes += read,
        }
    }
    Ok(n_bytes)
}

fn cancelled() -> Exception {
    Exception::new(code::QUERY_WAS_CANCELLED, "Query was cancelled")
}

/// Settings that make an answer something that cannot be put together from chunks: JSONEachRow one array, and the header of
/// RowBinaryWithNamesAndTypes something else than strings.
const DOCUMENT_SETTINGS: [&str; 2] = [
    "output_format_json_array_of_rows",
    "output_format_binary_encode_types_in_binary_format",
];

/// Whether one of them is set: for this statement, in it, or in its session.
fn is_one_document(
    request: &Request,
    connection: &mut Connection,
    format: &str,
    text: &[u8],
) -> Result<bool, Exception> {
    let is_named = |setting: &&str| {
        request.settings.contains_key(*setting)
            || Tokens::new(text).any(|token| is(text, &token, setting))
    };
    if DOCUMENT_SETTINGS.iter().any(is_named) {
        return Ok(true);
    }
    let is_concerned = format.contains("JSON") || format.contains("RowBinary");
    if request.session.is_none() || !is_concerned {
        return Ok(false);
    }
    let asked = DOCUMENT_SETTINGS.map(|setting| format!("toBool(getSetting('{setting}'))"));
    let sql = format!("SELECT {}", asked.join(" OR "));
    let answer = connection.query(sql.as_bytes(), "TSVRaw", &Params::default())?;
    Ok(answer.bytes.trim_ascii() != b"false")
}
