//! Works on one statement, on a thread that may block.
//!
//! In: a request, its body, a connection to the engine. Out: the head of an answer, then its bytes. The order is that of a
//! statement's life: read, prepare the connection, admit, run. Promised: an insert is finished only after the body's own
//! end was read and decoded without an error; every other way out of this file cancels it.

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
    encode::Encoder,
    exception::code,
    ffi::Connection,
    formats,
    registry::{Running, Ticket},
    request::Request,
    session::Lease,
    statement::{Kind, Statement, Token, Tokens, is},
};

/// Longest statement without its data: the server's default `max_query_size`.
const STATEMENT_BYTES: usize = 256 << 10;

/// Data handed to the engine at once.
const APPEND_BYTES: usize = 256 << 10;

/// Longest message put behind an answer that fails half-way; clients look for it in one chunk.
const TRAILER_BYTES: usize = 16 << 10;

/// What the client learns before the first byte of an answer.
pub(super) struct Head {
    /// Format of the answer.
    pub(super) format: String,
    /// Counts known so far.
    pub(super) counts: Counts,
    /// What a failure half-way will be marked with.
    pub(super) tag: String,
}

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

/// Why work stopped early.
enum Stop {
    /// To be told to the client.
    Failed(Exception),
    /// Nobody is left to be told.
    Gone,
}

impl From<Exception> for Stop {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionAborted => Self::Gone,
            _ => Self::Failed(Exception::new(code::CANNOT_DECOMPRESS, error)),
        }
    }
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

/// Returns the statements that undo what [`prepare`] is about to do.
fn remember(request: &Request, connection: &mut Connection) -> Result<Vec<String>, Exception> {
    let mut restore = Vec::new();
    if !request.settings.is_empty() {
        let mut params = Params::default();
        let names: Vec<&str> = request.settings.keys().map(String::as_str).collect();
        // Checked to be plain names when they were read.
        params.push("names", format!("['{}']", names.join("','")));
        let sql = b"SELECT name, changed, value FROM system.settings WHERE has({names:Array(String)}, name)";
        let answer = connection.query(sql, "TSVRaw", &params)?;
        for line in String::from_utf8_lossy(&answer.bytes).lines() {
            let mut fields = line.splitn(3, '\t');
            if let (Some(name), Some(changed), Some(value)) =
                (fields.next(), fields.next(), fields.next())
            {
                let value = if changed == "1" {
                    literal(value)
                } else {
                    "DEFAULT".to_owned()
                };
                restore.push(format!("SET {name} = {value}"));
            }
        }
    }
    if request.database.is_some() {
        let answer = connection.query(b"SELECT currentDatabase()", "TSVRaw", &Params::default())?;
        let name = String::from_utf8_lossy(&answer.bytes).trim_end().to_owned();
        restore.push(format!("USE {}", identifier(&name)));
    }
    Ok(restore)
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
                && !is_array_of_rows(request, &text);
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

/// Reads the statement, from the URL or from the beginning of the body. Data behind it stay in the returned text
/// and in `data`.
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

/// Applies database and settings. Connect arguments would be shorter, but ignore unknown settings without a word.
fn prepare(
    request: &Request,
    connection: &mut Connection,
    running: &Running,
) -> Result<(), Exception> {
    if let Some(database) = &request.database {
        let sql = format!("USE {}", identifier(database));
        connection.query(sql.as_bytes(), "Null", &Params::default())?;
    }
    let mut comment = running.id.clone();
    if let Some(own) = request.settings.get("log_comment") {
        comment = format!("{comment} {own}");
    }
    let mut sql = format!("SET log_comment = {}", literal(&comment));
    for (name, value) in request
        .settings
        .iter()
        .filter(|(name, _)| *name != "log_comment")
    {
        sql.push_str(&format!(", {name} = {}", literal(value)));
    }
    // Last, because nothing can be set after it; and not in a session, where it could not be taken back.
    if let Some(readonly) = request
        .readonly
        .as_ref()
        .filter(|_| request.session.is_none())
    {
        sql.push_str(&format!(", readonly = {}", literal(readonly)));
    }
    match connection.query(sql.as_bytes(), "Null", &Params::default()) {
        Ok(_) => Ok(()),
        // A session that was made read-only by a SET of its own. It runs without a comment to kill it by.
        Err(refused) if refused.code == code::READONLY.0 && request.settings.is_empty() => Ok(()),
        Err(refused) => Err(refused),
    }
}

/// What the engine does not enforce by the setting: a GET only reads, and a request that wants to be read-only inside a session
/// that is not.
fn check_readonly(request: &Request, text: &[u8], class: Class) -> Result<(), Exception> {
    let level = request
        .readonly
        .as_deref()
        .filter(|_| request.session.is_some())
        .unwrap_or("0");
    let mut tokens = Tokens::new(text);
    let sets = tokens.next().is_some_and(|first| is(text, &first, "SET"))
        || tokens.any(|token| is(text, &token, "SETTINGS"));
    let refused = match (class, level) {
        (Class::Read, "1") => sets,
        (Class::Read, _) => false,
        (_, "0") => request.is_get,
        (_, "1") => true,
        _ => !sets,
    };
    if refused {
        let text = "Cannot execute query in readonly mode";
        return Err(Exception::new(code::READONLY, text));
    }
    Ok(())
}

/// Has the engine say what is wrong with a text that its parser refused. The text is not run: the parser that
/// classifies and the one that runs might disagree.
fn syntax_error(connection: &mut Connection, text: &[u8]) -> Exception {
    let mut params = Params::default();
    params.push("statement", escape_tsv(text));
    match connection.query(b"SELECT formatQuery({statement:String})", "Null", &params) {
        Err(exception) => exception,
        Ok(_) => Exception::new(code::SYNTAX_ERROR, "Syntax error: not a statement"),
    }
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

/// `KILL QUERY WHERE query_id = '…'`, as clients send it, means their own id; the engine knows it as a comment.
fn kill_by_client_id(text: &[u8]) -> Option<Vec<u8>> {
    let tokens: Vec<Token> = Tokens::new(text).collect();
    let [kill, query, r#where, name, equals, id, rest @ ..] = tokens.as_slice() else {
        return None;
    };
    let shape = is(text, kill, "KILL")
        && is(text, query, "QUERY")
        && is(text, r#where, "WHERE")
        && is(text, name, "query_id")
        && equals.kind == Kind::Sign(b'=')
        && id.kind == Kind::Text;
    let mode = match rest {
        [] => "ASYNC",
        [mode] if is(text, mode, "SYNC") => "SYNC",
        [mode] if is(text, mode, "ASYNC") => "ASYNC",
        [mode] if is(text, mode, "TEST") => "TEST",
        _ => return None,
    };
    let id = std::str::from_utf8(&text[id.span.clone()]).ok()?;
    let sql = format!(
        "KILL QUERY WHERE query_id = {id} OR splitByChar(' ', Settings['log_comment'])[1] = {id} {mode}"
    );
    shape.then(|| sql.into_bytes())
}

/// Whether JSONEachRow is one array, which cannot be put together from chunks.
fn is_array_of_rows(request: &Request, text: &[u8]) -> bool {
    const SETTING: &str = "output_format_json_array_of_rows";
    request.settings.contains_key(SETTING)
        || Tokens::new(text).any(|token| is(text, &token, SETTING))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Values of String parameters are read as in TSV.
fn escape_tsv(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\t' => escaped.extend_from_slice(b"\\t"),
            0 => escaped.extend_from_slice(b"\\0"),
            _ => escaped.push(*byte),
        }
    }
    escaped
}

/// The way back to the client.
struct Out<'r> {
    head: Option<oneshot::Sender<Result<Head, Exception>>>,
    reply: mpsc::Sender<Piece>,
    encoder: Option<Encoder>,
    request: &'r Request,
    tag: String,
}

impl Out<'_> {
    fn begin(&mut self, format: &str, counts: Counts) -> Result<(), Stop> {
        self.encoder = Some(Encoder::new(
            self.request.accept_coding,
            self.request.compress,
        )?);
        let head = Head {
            format: format.to_owned(),
            counts,
            tag: self.tag.clone(),
        };
        match self.head.take().map(|sender| sender.send(Ok(head))) {
            Some(Ok(())) => Ok(()),
            _ => Err(Stop::Gone),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let Self {
            encoder: Some(encoder),
            reply,
            ..
        } = self
        else {
            return Err(Stop::Gone);
        };
        encoder.encode(bytes, |step| {
            reply
                .blocking_send(Piece::Data(step.into()))
                .map_err(|_| Stop::Gone)
        })
    }

    /// Ends the answer. Whatever goes wrong here, the channel closes without an end and the client sees a cut.
    fn close(mut self, end: Result<(), Stop>) {
        match end {
            Err(Stop::Gone) => return,
            Err(Stop::Failed(exception)) => {
                if let Some(head) = self.head.take() {
                    // A client that is gone does not mind.
                    drop(head.send(Err(exception)));
                    return;
                }
                if self.write(&self.trailer(&exception)).is_err() {
                    return;
                }
            }
            Ok(()) => {}
        }
        let Some(Ok(last)) = self.encoder.take().map(Encoder::finish) else {
            return;
        };
        if !last.is_empty() && self.reply.blocking_send(Piece::Data(last.into())).is_err() {
            return;
        }
        drop(self.reply.blocking_send(Piece::End));
    }

    /// What a server (since 25.11) puts behind an answer that fails half-way.
    fn trailer(&self, exception: &Exception) -> Vec<u8> {
        let mut message = exception.message.as_str();
        while message.len() > TRAILER_BYTES {
            message = &message[..message.floor_char_boundary(TRAILER_BYTES)];
        }
        let (tag, n_bytes) = (&self.tag, message.len() + 1);
        format!("\r\n__exception__\r\n{tag}\r\n{message}\n{n_bytes} {tag}\r\n__exception__\r\n")
            .into_bytes()
    }
}
