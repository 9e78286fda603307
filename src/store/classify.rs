//! Errors of ClickHouse by what is to be done about them.

use std::fmt;

/// What an error asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The rows or their shape are at fault: sending them again will not help. Bisect, quarantine.
    Data,
    /// Memory, disk, time-outs, network, a dying server: back off, verify, resend.
    Pressure,
    /// Table, database or rights are missing: stop, keep spooling, call the operator.
    Rights,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Data => "data",
            Class::Pressure => "pressure",
            Class::Rights => "rights",
        })
    }
}

/// Reads the number out of "Code: N. DB::Exception: …".
pub fn exception_code(message: &str) -> Option<u32> {
    let digits = message.split("Code: ").nth(1)?;
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    digits[..end].parse().ok()
}

/// Sorts an exception by its number (ClickHouse, `ErrorCodes.cpp`). 252 is two errors with one number:
/// too many parts is pressure, too many partitions in one insert is data.
pub fn class_of(code: u32, message: &str) -> Class {
    match code {
        252 if message.contains("partitions for single INSERT") => Class::Data,
        // NO_SUCH_COLUMN, INCORRECT_DATA (27, 117), CANNOT_READ_ALL_DATA, TYPE_MISMATCH, SYNTAX_ERROR,
        // CANNOT_INSERT_NULL, CANNOT_PARSE_*, VIOLATED_CONSTRAINT: the insert itself is wrong.
        6 | 16 | 26 | 27 | 33 | 38 | 41 | 53 | 62 | 72 | 117 | 131 | 349 | 469 => Class::Data,
        // UNKNOWN_TABLE, UNKNOWN_DATABASE, READONLY, ACCESS_DENIED,
        // AUTHENTICATION_FAILED, UNKNOWN_USER.
        60 | 81 | 164 | 192 | 193 | 194 | 497 | 516 => Class::Rights,
        _ => Class::Pressure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_can_be_two_errors() {
        let partitions = "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100).";
        let parts = "Code: 252. DB::Exception: Too many parts (3000) in all data parts in total. (TOO_MANY_PARTS)";
        for (message, class) in [(partitions, Class::Data), (parts, Class::Pressure)] {
            let code = exception_code(message).unwrap();
            assert_eq!((code, class_of(code, message)), (252, class));
        }
        assert_eq!(exception_code("connection reset"), None);
        assert_eq!(class_of(241, ""), Class::Pressure);
        assert_eq!(class_of(60, ""), Class::Rights);
    }
}
