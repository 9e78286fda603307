//! Reads what a client asks for out of the request's head.
//!
//! In: method, URL and headers (ClickHouse's HTTP interface). Out: a [`Request`] that says
//! everything in our words, and the credentials presented. Parameters that are not the interface's
//! own are settings, as on a server.

use std::collections::BTreeMap;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap, Method,
    header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING},
    http::request::Parts,
};
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

use super::{Exception, answer::Params, decode::Coding, exception::code};

/// Settings and parameters a request may carry, together. Official clients send a dozen.
const N_PAIRS: usize = 1000;

/// Longest query id and session id, in bytes: they are kept in maps and repeated in headers.
const ID_BYTES: usize = 256;

/// Parameters of the interface that change nothing here: quotas and progress headers have no
/// counterpart, errors carry no stack traces, and Native blocks are always of revision 0.
const IGNORED: [&str; 8] = [
    "quota_key",
    "stacktrace",
    "buffer_size",
    "client_protocol_version",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "http_native_compression_disable_checksumming_on_decompress",
    "cancel_http_readonly_queries_on_client_close",
];

/// What a client asks for.
#[derive(Default)]
pub struct Request {
    /// `query` of the URL or of a multipart body.
    pub query: Vec<u8>,
    /// Values of `{name:Type}` placeholders.
    pub params: Params,
    /// Settings for this statement, sorted; `readonly` apart.
    pub settings: BTreeMap<String, String>,
    /// `readonly`: 1 allows reads only, 2 settings too.
    pub readonly: Option<String>,
    /// The statement is a GET, which must not change anything.
    pub is_get: bool,
    /// The database of unqualified names.
    pub database: Option<String>,
    /// Format of an answer, or of data, that the statement does not name.
    pub default_format: Option<String>,
    /// The client's id for this statement.
    pub query_id: Option<String>,
    /// The session it belongs to.
    pub session: Option<SessionRequest>,
    /// The answer goes out in ClickHouse's blocks.
    pub compress: bool,
    /// The body comes in ClickHouse's blocks.
    pub decompress: bool,
    /// Nothing is answered before the statement is finished.
    pub wait_end_of_query: bool,
    /// How the body is compressed.
    pub content_coding: Coding,
    /// How the answer may be compressed.
    pub accept_coding: Coding,
}

/// A session a request wants to be part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// Its id.
    pub id: String,
    /// Seconds it may be idle.
    pub timeout_s: u32,
    /// It must exist already (`session_check=1`).
    pub must_exist: bool,
}

/// What a client presents to be let in.
#[derive(Default)]
pub struct Credentials {
    /// The user's name; the engine has one user, so it must be `default` or nothing.
    pub user: Option<String>,
    /// The key.
    pub key: Option<Zeroizing<String>>,
    /// They came by `Authorization: Basic`, so a browser should be asked again.
    pub basic: bool,
}

impl Request {
    /// Reads a request's head.
    ///
    /// # Errors
    /// An exception naming the parameter that is wrong; the client must change its request.
    pub fn parse(head: &Parts) -> Result<(Self, Credentials), Exception> {
        let mut request = Self {
            is_get: head.method != Method::POST,
            ..Self::default()
        };
        let mut credentials = Credentials::from_headers(&head.headers)?;
        let query = head.uri.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (text_of(name, decoded(name))?, decoded(value));
            match name.as_str() {
                "user" => credentials.user = Some(text_of(&name, value)?),
                "password" => credentials.key = Some(Zeroizing::new(text_of(&name, value)?)),
                _ => request.set(&name, value)?,
            }
        }
        // The rest of a session means nothing without its id.
        request.session = request.session.filter(|session| !session.id.is_empty());
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(format) = header("x-clickhouse-format") {
            request.default_format = Some(format.to_owned());
        }
        if let Some(database) = header("x-clickhouse-database") {
            request.database = Some(database.to_owned());
        }
        request.content_coding = content_coding(&head.headers)?;
        // A setting on a server; here the header alone decides, unless the setting forbids it.
        let coded = request
            .settings
            .remove("enable_http_compression")
            .is_none_or(|on| on != "0");
        request.accept_coding = if coded {
            accept_coding(&head.headers)
        } else {
            Coding::Identity
        };
        Ok((request, credentials))
    }

    /// Takes in one parameter of the URL. Statements and values of placeholders are bytes, everything else is UTF-8.
    ///
    /// # Errors
    /// An exception naming the parameter that is wrong.
    fn set(&mut self, name: &str, value: Vec<u8>) -> Result<(), Exception> {
        if let Some(param) = name.strip_prefix("param_") {
            self.params.push(param, value);
        } else if name == "query" {
            self.query = value;
        } else {
            let value = text_of(name, value)?;
            match name {
                "database" => self.database = Some(value).filter(|name| !name.is_empty()),
                "default_format" => self.default_format = Some(value),
                "query_id" => self.query_id = Some(id(name, value)?).filter(|id| !id.is_empty()),
                "session_id" => self.session_mut().id = id(name, value)?,
                "session_timeout" => self.session_mut().timeout_s = number(name, &value)?,
                "session_check" => self.session_mut().must_exist = value == "1",
                "compress" => self.compress = value == "1",
                "decompress" => self.decompress = value == "1",
                "wait_end_of_query" => self.wait_end_of_query = value == "1",
                "readonly" => self.readonly = Some(value),
                "role" => {
                    let text =
                        format!("There is no role `{value}`: the embedded engine has no roles");
                    return Err(Exception::new(code::UNKNOWN_ROLE, text));
                }
                _ if IGNORED.contains(&name) => {}
                _ => {
                    check_setting_name(name)?;
                    self.settings.insert(name.to_owned(), value);
                }
            }
        }
        if self.params.len() + self.settings.len() > N_PAIRS {
            let text = format!("More than {N_PAIRS} settings and parameters in one request");
            return Err(Exception::new(code::BAD_ARGUMENTS, text));
        }
        Ok(())
    }

    fn session_mut(&mut self) -> &mut SessionRequest {
        // The server's `default_session_timeout`.
        let new = || SessionRequest {
            id: String::new(),
            timeout_s: 60,
            must_exist: false,
        };
        self.session.get_or_insert_with(new)
    }
}

impl Credentials {
    fn from_headers(headers: &HeaderMap) -> Result<Self, Exception> {
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let mut credentials = Self {
            user: header("x-clickhouse-user").map(str::to_owned),
            key: header("x-clickhouse-key").map(|key| Zeroizing::new(key.to_owned())),
            basic: false,
        };
        let Some(authorization) = headers.get(AUTHORIZATION) else {
            return Ok(credentials);
        };
        let malformed = || {
            Exception::new(
                code::AUTHENTICATION_FAILED,
                "Malformed Authorization header",
            )
        };
        let (scheme, value) = authorization
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .ok_or_else(malformed)?;
        if scheme.eq_ignore_ascii_case("bearer") {
            credentials.key = Some(Zeroizing::new(value.trim().to_owned()));
        } else if scheme.eq_ignore_ascii_case("basic") {
            let decoded = BASE64_STANDARD
                .decode(value.trim())
                .map_err(|_| malformed())?;
            let text = Zeroizing::new(String::from_utf8(decoded).map_err(|_| malformed())?);
            let (user, key) = text.split_once(':').ok_or_else(malformed)?;
            credentials.user = Some(user.to_owned());
            credentials.key = Some(Zeroizing::new(key.to_owned()));
            credentials.basic = true;
        }
        Ok(credentials)
    }
}

/// The bytes that a part of a URL stands for (WHATWG URL, application/x-www-form-urlencoded): no lossy text, because a
/// statement may hold any bytes.
fn decoded(part: &str) -> Vec<u8> {
    let spaced: Vec<u8> = part
        .bytes()
        .map(|byte| if byte == b'+' { b' ' } else { byte })
        .collect();
    percent_decode(&spaced).collect()
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, Exception> {
    String::from_utf8(bytes).map_err(|_| {
        let text = format!("{} is not UTF-8", name.escape_default());
        Exception::new(code::BAD_ARGUMENTS, text)
    })
}

fn id(name: &str, value: String) -> Result<String, Exception> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic());
    if printable && value.len() <= ID_BYTES {
        return Ok(value);
    }
    let text =
        format!("{name} must be at most {ID_BYTES} printable ASCII characters without spaces");
    Err(Exception::new(code::BAD_ARGUMENTS, text))
}

fn number(name: &str, value: &str) -> Result<u32, Exception> {
    // The server's `max_session_timeout` is an hour.
    value
        .parse()
        .ok()
        .filter(|seconds| (1..=3600).contains(seconds))
        .ok_or_else(|| {
            Exception::new(
                code::BAD_ARGUMENTS,
                format!("{name} must be between 1 and 3600 seconds"),
            )
        })
}

/// Names go into the text of a SET statement, so they must be names.
fn check_setting_name(name: &str) -> Result<(), Exception> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if !name.is_empty() && name.len() <= 128 && name.bytes().all(plain) {
        return Ok(());
    }
    Err(Exception::new(
        code::UNKNOWN_SETTING,
        format!("Unknown setting '{}'", name.escape_default()),
    ))
}

fn content_coding(headers: &HeaderMap) -> Result<Coding, Exception> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(Coding::Identity);
    };
    value.to_str().ok().and_then(Coding::parse).ok_or_else(|| {
        Exception::new(
            code::NOT_IMPLEMENTED,
            format!("Content-Encoding {value:?} is not supported: gzip, zstd and lz4 are"),
        )
    })
}

/// Picks the cheapest coding the client accepts (RFC 9110 section 12.5.3; an order of preference is
/// not looked for, a weight of zero is).
fn accept_coding(headers: &HeaderMap) -> Coding {
    let accepted: Vec<Coding> = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|item| {
            let (token, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = weight.trim().strip_prefix("q=").unwrap_or("1");
            let refused = weight.parse::<f32>().is_ok_and(|weight| weight == 0.0);
            Coding::parse(token).filter(|_| !refused)
        })
        .collect();
    let cheapest = [Coding::Lz4, Coding::Zstd, Coding::Gzip];
    cheapest
        .into_iter()
        .find(|coding| accepted.contains(coding))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(uri: &str, headers: &[(&str, &str)]) -> Result<(Request, Credentials), Exception> {
        let mut builder = hyper::Request::post(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        Request::parse(&builder.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn url_parameters_are_told_from_settings() {
        let (request, _) = parse(
            "/?query=SELECT+1&max_threads=1&param_a=b&session_id=s&readonly=1",
            &[],
        )
        .unwrap();
        assert_eq!(request.query, b"SELECT 1");
        assert_eq!(
            request.settings,
            BTreeMap::from([("max_threads".into(), "1".into())])
        );
        assert_eq!(request.params.len(), 1);
        assert_eq!(request.session.unwrap().id, "s");
        assert_eq!(request.readonly.as_deref(), Some("1"));
    }

    #[test]
    fn statements_and_values_keep_their_bytes_and_names_are_text() {
        let (request, _) = parse("/?query=SELECT+'%FF%2B'&param_a=%FE+b", &[]).unwrap();
        assert_eq!(request.query, b"SELECT '\xff+'");
        assert_eq!(
            request.params.pairs(),
            [(b"a".to_vec(), b"\xfe b".to_vec())]
        );
        for uri in ["/?database=%FF", "/?%FF=1", "/?password=%FF"] {
            assert_eq!(
                parse(uri, &[]).err().unwrap().code,
                code::BAD_ARGUMENTS.0,
                "{uri}"
            );
        }
    }

    #[test]
    fn there_is_no_session_without_its_id() {
        for uri in ["/?session_timeout=60", "/?session_check=1", "/?session_id="] {
            assert_eq!(parse(uri, &[]).unwrap().0.session, None, "{uri}");
        }
    }

    #[test]
    fn key_is_taken_from_every_place_clients_put_it() {
        let basic = format!("Basic {}", BASE64_STANDARD.encode("default:k"));
        for (uri, header) in [
            ("/?user=default&password=k", ("x", "y")),
            ("/", ("X-ClickHouse-Key", "k")),
            ("/", ("Authorization", "Bearer k")),
            ("/", ("Authorization", &basic)),
        ] {
            let (_, credentials) = parse(uri, &[header]).unwrap();
            assert_eq!(
                credentials.key.as_deref().map(String::as_str),
                Some("k"),
                "{header:?}"
            );
        }
    }

    #[test]
    fn setting_name_that_is_no_name_is_refused() {
        let error = parse("/?a%27%2Creadonly%3D0--=1", &[]).err().unwrap();
        assert_eq!(error.code, code::UNKNOWN_SETTING.0);
    }

    #[test]
    fn coding_with_zero_weight_is_refused_by_the_client() {
        let (request, _) = parse("/", &[("Accept-Encoding", "br, lz4;q=0, gzip;q=0.5")]).unwrap();
        assert_eq!(request.accept_coding, Coding::Gzip);
    }

    #[test]
    fn unknown_content_coding_is_refused() {
        assert_eq!(
            parse("/", &[("Content-Encoding", "br")])
                .err()
                .unwrap()
                .code,
            48
        );
    }
}
