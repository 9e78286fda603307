//! An exception as ClickHouse words it, and the HTTP status that goes with it.
//!
//! In: the engine's message, `Code: N. DB::Exception: text (NAME)`. Out: the number, the message
//! unchanged, the status a server would answer with. Clients parse the message, so exceptions of
//! our own have the same form.

use hyper::StatusCode;

/// An exception of the engine, or one of ours in the engine's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Exception {
    /// ClickHouse's error code.
    pub code: u32,
    /// `Code: N. DB::Exception: text (NAME)`, as clients expect it. It may quote the statement:
    /// it goes to the client that sent it and to no log.
    pub message: String,
}

/// Codes that brine itself gives, by their names in ClickHouse.
pub(super) mod code {
    macro_rules! codes {
        ($($name:ident = $number:literal),+ $(,)?) => {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub(crate) const $name: (u32, &str) = ($number, stringify!($name));
            )+
        };
    }
    codes! {
        CANNOT_READ_ALL_DATA = 33,
        BAD_ARGUMENTS = 36,
        NOT_IMPLEMENTED = 48,
        SYNTAX_ERROR = 62,
        UNKNOWN_SETTING = 115,
        READONLY = 164,
        TOO_MANY_SIMULTANEOUS_QUERIES = 202,
        QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING = 216,
        ABORTED = 236,
        CANNOT_DECOMPRESS = 271,
        SESSION_NOT_FOUND = 372,
        SESSION_IS_LOCKED = 373,
        QUERY_WAS_CANCELLED = 394,
        ACCESS_DENIED = 497,
        UNKNOWN_ROLE = 511,
        AUTHENTICATION_FAILED = 516,
        LOGICAL_ERROR = 49,
    }
}

impl Exception {
    /// Words an exception of our own.
    #[must_use]
    pub fn new((code, name): (u32, &str), text: impl std::fmt::Display) -> Self {
        Self {
            code,
            message: format!("Code: {code}. DB::Exception: {text}. ({name})"),
        }
    }

    /// Takes the engine's message and reads the code from its beginning.
    #[must_use]
    pub fn parse(message: String) -> Self {
        let code = message
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split_once('.'))
            .and_then(|(number, _)| number.parse().ok())
            .unwrap_or(code::LOGICAL_ERROR.0);
        Self { code, message }
    }

    /// The engine broke its own interface.
    #[must_use]
    pub fn lost(what: &str) -> Self {
        Self::new(code::LOGICAL_ERROR, what)
    }

    /// Returns the status a ClickHouse server answers with (`exceptionCodeToHTTPStatus`).
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.code {
            194 => StatusCode::UNAUTHORIZED,
            192 | 193 | 512 | 516 => StatusCode::FORBIDDEN,
            6 | 26 | 27 | 36 | 38 | 41 | 42 | 43 | 53 | 62 | 69 | 70 | 72 | 117 | 125 | 131
            | 386 | 427 | 441 | 456 | 457 | 467 | 675 | 676 => StatusCode::BAD_REQUEST,
            46 | 47 | 50 | 56 | 60 | 63 | 73 | 81 | 106 | 115 | 139 | 151 | 336 | 452 | 511 => {
                StatusCode::NOT_FOUND
            }
            223 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            76 | 202 | 209 | 439 => StatusCode::SERVICE_UNAVAILABLE,
            381 => StatusCode::LENGTH_REQUIRED,
            159 => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_is_read_from_the_engines_message() {
        let exception = Exception::parse("Code: 60. DB::Exception: no x. (UNKNOWN_TABLE)".into());
        assert_eq!(
            (exception.code, exception.status()),
            (60, StatusCode::NOT_FOUND)
        );
    }

    #[test]
    fn message_without_a_number_is_an_engine_fault() {
        let exception = Exception::parse("std::bad_alloc".into());
        assert_eq!(exception.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn own_exceptions_have_the_engines_form() {
        let exception = Exception::new(code::SESSION_IS_LOCKED, "session `a` is in use");
        assert_eq!(exception, Exception::parse(exception.message.clone()));
    }
}
