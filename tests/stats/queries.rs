//! What the query API promises, one promise a test.
