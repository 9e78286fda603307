//! The C interface of libchdb, and all the unsafe code of brine.
//!
//! In: the path of a libchdb and SQL as bytes. Out: owned bytes, counts and exceptions; no pointer
//! leaves this file. Promised: a statement never outlives its connection (lifetimes see to it),
//! every handle is destroyed exactly once, and the library stays mapped until the process ends. The
//! declarations follow `chdb.h` of libchdb 26.7.3; another major.minor is refused before any other
//! symbol is called, because these signatures are all the checking there is.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    marker::PhantomData,
    path::Path,
    ptr::{NonNull, null},
    slice,
    sync::Arc,
};

use libloading::{Library, Symbol};

use super::{
    Exception, LibraryError, TESTED_SERIES,
    answer::{Analysis, Answer, Class, Counts, Params},
};

/// `chdb_connection`: an opaque handle.
type Conn = *mut c_void;
/// `chdb_result *`: an opaque handle.
type Res = *mut c_void;
/// `chdb_insert_stream`: an opaque handle.
type Ins = *mut c_void;
type Strings = *const *const c_char;
type Lengths = *const usize;

/// `chdb_query_analysis_v1`. These bytes are shared with the library: never reorder.
#[repr(C)]
#[derive(Default)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

type Run = unsafe extern "C" fn(
    Conn,
    *const c_char,
    usize,
    *const c_char,
    usize,
    Strings,
    Lengths,
    Strings,
    Lengths,
    usize,
) -> *mut c_void;
type Classify = unsafe extern "C" fn(
    Conn,
    *const c_char,
    usize,
    *const c_char,
    usize,
    *mut RawAnalysis,
) -> c_int;

/// The symbols brine uses, copied out of the library once.
struct Api {
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut Conn,
    close: unsafe extern "C" fn(*mut Conn),
    query: Run,
    stream: Run,
    fetch: unsafe extern "C" fn(Conn, Res) -> Res,
    cancel: unsafe extern "C" fn(Conn, Res),
    destroy: unsafe extern "C" fn(Res),
    buffer: unsafe extern "C" fn(Res) -> *mut c_char,
    length: unsafe extern "C" fn(Res) -> usize,
    error: unsafe extern "C" fn(Res) -> *const c_char,
    elapsed: unsafe extern "C" fn(Res) -> f64,
    result_rows: unsafe extern "C" fn(Res) -> u64,
    result_bytes: unsafe extern "C" fn(Res) -> u64,
    read_rows: unsafe extern "C" fn(Res) -> u64,
    read_bytes: unsafe extern "C" fn(Res) -> u64,
    written_rows: unsafe extern "C" fn(Res) -> u64,
    written_bytes: unsafe extern "C" fn(Res) -> u64,
    insert: Run,
    append: unsafe extern "C" fn(Ins, *const c_void, usize) -> c_int,
    done: unsafe extern "C" fn(Ins) -> Res,
    cancel_insert: unsafe extern "C" fn(Ins),
    insert_error: unsafe extern "C" fn(Ins) -> *const c_char,
    destroy_insert: unsafe extern "C" fn(Ins),
    classify: Classify,
}

/// A loaded libchdb. One per process: it keeps its state in globals.
pub struct Engine {
    api: Api,
    version: String,
}

impl Engine {
    /// Loads the library at `path`, for good.
    ///
    /// # Errors
    /// [`LibraryError`] if it cannot be loaded, lacks a symbol, or is of another series than
    /// [`TESTED_SERIES`]; the operator fetches the pinned one.
    pub fn load(path: &Path) -> Result<Arc<Self>, LibraryError> {
        let unloadable = |source| LibraryError::Unloadable {
            path: path.display().to_string(),
            source,
        };
        // SAFETY: dlopen runs the library's initialisers. The file is the one whose hash `fetch`
        // checked, or one the operator named, who may run any program as this user anyway.
        let library = unsafe { Library::new(path) }.map_err(unloadable)?;
        // SAFETY: `chdb_version` takes nothing and returns a static string in every release.
        let version = unsafe {
            let version: Symbol<'_, unsafe extern "C" fn() -> *const c_char> =
                library.get(b"chdb_version\0").map_err(unloadable)?;
            text(version()).unwrap_or_default()
        };
        if version != TESTED_SERIES && !version.starts_with(&format!("{TESTED_SERIES}.")) {
            return Err(LibraryError::Untested {
                path: path.display().to_string(),
                version,
            });
        }
        // SAFETY: each type below is the declaration of that name in `chdb.h` of the series just
        // checked.
        let (api, set_signal_handlers) = unsafe {
            let api = Api {
                connect: *symbol(&library, b"chdb_connect\0", path)?,
                close: *symbol(&library, b"chdb_close_conn\0", path)?,
                query: *symbol(&library, b"chdb_query_with_params_n\0", path)?,
                stream: *symbol(&library, b"chdb_stream_query_with_params_n\0", path)?,
                fetch: *symbol(&library, b"chdb_stream_fetch_result\0", path)?,
                cancel: *symbol(&library, b"chdb_stream_cancel_query\0", path)?,
                destroy: *symbol(&library, b"chdb_destroy_query_result\0", path)?,
                buffer: *symbol(&library, b"chdb_result_buffer\0", path)?,
                length: *symbol(&library, b"chdb_result_length\0", path)?,
                error: *symbol(&library, b"chdb_result_error\0", path)?,
                elapsed: *symbol(&library, b"chdb_result_elapsed\0", path)?,
                result_rows: *symbol(&library, b"chdb_result_rows_read\0", path)?,
                result_bytes: *symbol(&library, b"chdb_result_bytes_read\0", path)?,
                read_rows: *symbol(&library, b"chdb_result_storage_rows_read\0", path)?,
                read_bytes: *symbol(&library, b"chdb_result_storage_bytes_read\0", path)?,
                written_rows: *symbol(&library, b"chdb_result_rows_written\0", path)?,
                written_bytes: *symbol(&library, b"chdb_result_bytes_written\0", path)?,
                insert: *symbol(&library, b"chdb_stream_insert_with_params_n\0", path)?,
                append: *symbol(&library, b"chdb_stream_append\0", path)?,
                done: *symbol(&library, b"chdb_stream_done\0", path)?,
                cancel_insert: *symbol(&library, b"chdb_stream_cancel_insert\0", path)?,
                insert_error: *symbol(&library, b"chdb_stream_insert_error\0", path)?,
                destroy_insert: *symbol(&library, b"chdb_destroy_insert_stream\0", path)?,
                classify: *symbol(&library, b"chdb_classify_query_n\0", path)?,
            };
            let set: unsafe extern "C" fn(c_int) =
                *symbol(&library, b"chdb_set_signal_handlers_enabled\0", path)?;
            (api, set)
        };
        // The function pointers in `api` and the engine's threads live as long as the process, so
        // the mapping must too: the library is never unloaded.
        std::mem::forget(library);
        // SAFETY: takes a flag and touches signal dispositions only; called before any connection.
        // SIGTERM is ours, and a SIGSEGV must end the child so that the supervisor sees it.
        unsafe { set_signal_handlers(0) };
        Ok(Arc::new(Self { api, version }))
    }

    /// Returns the library's version, `26.7.3` for instance.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Opens a connection; the first one starts the engine with `args` (`--path=`,
    /// `--config-file=`).
    ///
    /// Settings must not be passed here: unknown ones are ignored without a word.
    ///
    /// # Errors
    /// The engine gives no reason when it cannot start, so none is given here.
    pub fn connect(self: &Arc<Self>, args: &[String]) -> Result<Connection, LibraryError> {
        let args: Vec<CString> = std::iter::once("chdb")
            .chain(args.iter().map(String::as_str))
            .map(CString::new)
            .collect::<Result<_, _>>()
            .map_err(|_| LibraryError::NoConnection)?;
        let mut argv: Vec<*mut c_char> = args.iter().map(|arg| arg.as_ptr().cast_mut()).collect();
        let argc = c_int::try_from(argv.len()).map_err(|_| LibraryError::NoConnection)?;
        // SAFETY: argv holds argc pointers to NUL-terminated strings that outlive the call; the
        // library copies what it keeps and does not write through them.
        let handle = unsafe { (self.api.connect)(argc, argv.as_mut_ptr()) };
        let handle = NonNull::new(handle).ok_or(LibraryError::NoConnection)?;
        Ok(Connection {
            engine: Arc::clone(self),
            handle,
        })
    }
}

/// Ends the process at once, without the C++ destructors that would race the engine's threads.
///
/// The engine cannot stop its threads while it has a persistent path (`chdb_shutdown` reports an
/// error in 26.7.3), and nothing that matters is left to flush: inserts are synced when answered.
pub fn leave(code: i32) -> ! {
    unsafe extern "C" {
        fn _exit(code: c_int) -> !;
    }
    // SAFETY: POSIX `_exit` takes any status, touches no memory of ours and does not return.
    unsafe { _exit(code) }
}

/// A connection: one session with settings, temporary tables and a current database of its own.
pub struct Connection {
    engine: Arc<Engine>,
    handle: NonNull<Conn>,
}

// SAFETY: chdb.h allows a connection to be used from any thread, one call at a time; every method
// takes `&mut self`, and `Sync` is not claimed.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from `connect` and is closed here only; streams borrow the
        // connection, so none is left.
        unsafe { (self.engine.api.close)(self.handle.as_ptr()) }
    }
}

impl Connection {
    fn conn(&self) -> Conn {
        // SAFETY: `handle` points to the handle that `connect` allocated, valid until `drop`.
        unsafe { *self.handle.as_ptr() }
    }

    /// Runs a statement and returns the whole answer.
    ///
    /// # Errors
    /// The engine's exception. A connection that is used again afterwards must be cleared first:
    /// rows formatted before the exception come out with the next answer.
    pub fn query(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<Answer, Exception> {
        self.start(self.engine.api.query, sql, format, params)?
            .answer()
    }

    /// Starts a SELECT whose answer comes in chunks, each a complete document of `format`.
    ///
    /// # Errors
    /// The engine's exception, also for statements other than SELECT.
    pub fn stream(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<RowStream<'_>, Exception> {
        let result = self.start(self.engine.api.stream, sql, format, params)?;
        result.check()?;
        Ok(RowStream {
            result,
            conn: self.conn(),
            finished: false,
            connection: PhantomData,
        })
    }

    /// Starts an INSERT whose data follows. `sql` carries neither FORMAT nor data.
    ///
    /// # Errors
    /// The engine's exception, for an unknown table or format for instance.
    pub fn insert(
        &mut self,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<InsertStream<'_>, Exception> {
        let handle = self.call(self.engine.api.insert, sql, format, params);
        if handle.is_null() {
            return Err(Exception::lost("the engine gave no insert stream"));
        }
        let stream = InsertStream {
            engine: Arc::clone(&self.engine),
            handle,
            done: false,
            connection: PhantomData,
        };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Asks the engine's parser what a text would do, without running it.
    pub fn classify(&mut self, sql: &[u8]) -> Analysis {
        let mut raw = RawAnalysis {
            struct_size: u32::try_from(size_of::<RawAnalysis>()).unwrap_or(0),
            ..RawAnalysis::default()
        };
        // SAFETY: the text outlives the call, `raw` announces its own size, and no target database
        // is a null pointer of length 0.
        let state = unsafe {
            (self.engine.api.classify)(
                self.conn(),
                sql.as_ptr().cast(),
                sql.len(),
                null(),
                0,
                &raw mut raw,
            )
        };
        let class = match (state, raw.query_class) {
            (0, 0) => Class::Read,
            (0, 1) => Class::Write,
            (0, 2) => Class::Global,
            (0, 3) => Class::Control,
            _ => Class::Unknown,
        };
        Analysis {
            statements: raw.statement_count,
            class,
        }
    }

    fn start(
        &mut self,
        run: Run,
        sql: &[u8],
        format: &str,
        params: &Params,
    ) -> Result<QueryResult, Exception> {
        let handle = self.call(run, sql, format, params);
        if handle.is_null() {
            return Err(Exception::lost("the engine gave no result"));
        }
        Ok(QueryResult {
            engine: Arc::clone(&self.engine),
            handle,
        })
    }

    fn call(&mut self, run: Run, sql: &[u8], format: &str, params: &Params) -> *mut c_void {
        let names: Vec<*const c_char> = params
            .pairs()
            .iter()
            .map(|(n, _)| n.as_ptr().cast())
            .collect();
        let name_lengths: Vec<usize> = params.pairs().iter().map(|(n, _)| n.len()).collect();
        let values: Vec<*const c_char> = params
            .pairs()
            .iter()
            .map(|(_, v)| v.as_ptr().cast())
            .collect();
        let value_lengths: Vec<usize> = params.pairs().iter().map(|(_, v)| v.len()).collect();
        // SAFETY: every pointer is followed by its length and outlives the call; the four arrays
        // have `params.len()` entries each; the library copies parameters before it returns, and
        // `&mut self` keeps other calls off this connection.
        unsafe {
            run(
                self.conn(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                params.pairs().len(),
            )
        }
    }
}

/// An owned `chdb_result`.
struct QueryResult {
    engine: Arc<Engine>,
    handle: Res,
}

impl QueryResult {
    fn check(&self) -> Result<(), Exception> {
        // SAFETY: the handle is live, and the message with it.
        match unsafe { text((self.engine.api.error)(self.handle)) } {
            Some(message) => Err(Exception::parse(message)),
            None => Ok(()),
        }
    }

    fn answer(&self) -> Result<Answer, Exception> {
        self.check()?;
        let api = &self.engine.api;
        // SAFETY: the handle is live; the buffer is valid for `length` bytes until it is destroyed,
        // and is copied here because nothing says that it survives its connection.
        unsafe {
            let buffer = (api.buffer)(self.handle).cast::<u8>().cast_const();
            let length = (api.length)(self.handle);
            let bytes = if buffer.is_null() || length == 0 {
                Vec::new()
            } else {
                slice::from_raw_parts(buffer, length).to_vec()
            };
            let counts = Counts {
                elapsed_s: (api.elapsed)(self.handle),
                read_rows: (api.read_rows)(self.handle),
                read_bytes: (api.read_bytes)(self.handle),
                written_rows: (api.written_rows)(self.handle),
                written_bytes: (api.written_bytes)(self.handle),
                result_rows: (api.result_rows)(self.handle),
                result_bytes: (api.result_bytes)(self.handle),
            };
            Ok(Answer { bytes, counts })
        }
    }
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by this value alone and destroyed here only.
        unsafe { (self.engine.api.destroy)(self.handle) }
    }
}

/// A SELECT under way. Dropping it before the end cancels it.
pub struct RowStream<'c> {
    result: QueryResult,
    conn: Conn,
    finished: bool,
    connection: PhantomData<&'c mut Connection>,
}

impl RowStream<'_> {
    /// Returns the next chunk, or `None` at the end.
    ///
    /// # Errors
    /// The engine's exception; the stream is over then.
    pub fn next_chunk(&mut self) -> Result<Option<Answer>, Exception> {
        if self.finished {
            return Ok(None);
        }
        // SAFETY: both handles are live: the connection is borrowed for as long as this stream.
        let handle = unsafe { (self.result.engine.api.fetch)(self.conn, self.result.handle) };
        if handle.is_null() {
            self.finished = true;
            return Err(Exception::lost("the engine gave no chunk"));
        }
        let chunk = QueryResult {
            engine: Arc::clone(&self.result.engine),
            handle,
        };
        let answer = chunk.answer().inspect_err(|_| self.finished = true)?;
        if answer.bytes.is_empty() {
            self.finished = true;
            return Ok(None);
        }
        Ok(Some(answer))
    }
}

impl Drop for RowStream<'_> {
    fn drop(&mut self) {
        if !self.finished {
            // SAFETY: both handles are live, and the stream has neither ended nor failed.
            unsafe { (self.result.engine.api.cancel)(self.conn, self.result.handle) }
        }
    }
}

/// An INSERT under way. Only [`finish`](Self::finish) commits; dropping it cancels.
pub struct InsertStream<'c> {
    engine: Arc<Engine>,
    handle: Ins,
    done: bool,
    connection: PhantomData<&'c mut Connection>,
}

impl InsertStream<'_> {
    /// Hands over data; blocks while the engine is behind.
    ///
    /// # Errors
    /// The engine's exception, possibly about data handed over earlier.
    pub fn append(&mut self, data: &[u8]) -> Result<(), Exception> {
        // SAFETY: the handle is live and the data outlives the call, which copies it.
        let state = unsafe {
            (self.engine.api.append)(self.handle, data.as_ptr().cast::<c_void>(), data.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(self
            .error()
            .unwrap_or_else(|| Exception::lost("the insert stream has ended")))
    }

    /// Says that the data is complete and waits for the commit.
    ///
    /// # Errors
    /// The engine's exception: nothing was committed, or, for data of several blocks, not all.
    pub fn finish(mut self) -> Result<Counts, Exception> {
        self.done = true;
        // SAFETY: the handle is live; `done` leaves it to `drop`.
        let handle = unsafe { (self.engine.api.done)(self.handle) };
        if handle.is_null() {
            return Err(self
                .error()
                .unwrap_or_else(|| Exception::lost("no result of the insert")));
        }
        let result = QueryResult {
            engine: Arc::clone(&self.engine),
            handle,
        };
        result.answer().map(|answer| answer.counts)
    }

    fn error(&self) -> Option<Exception> {
        // SAFETY: the handle is live, and the message with it.
        unsafe { text((self.engine.api.insert_error)(self.handle)) }.map(Exception::parse)
    }
}

impl Drop for InsertStream<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is owned by this value and destroyed here only; it is cancelled only
        // if it was not finished.
        unsafe {
            if !self.done {
                (self.engine.api.cancel_insert)(self.handle);
            }
            (self.engine.api.destroy_insert)(self.handle);
        }
    }
}

/// Looks up one symbol.
///
/// # Safety
/// `T` must be the type that `chdb.h` declares for `name`.
unsafe fn symbol<'l, T>(
    library: &'l Library,
    name: &[u8],
    path: &Path,
) -> Result<Symbol<'l, T>, LibraryError> {
    // SAFETY: passed on to the caller.
    unsafe { library.get(name) }.map_err(|source| LibraryError::Unloadable {
        path: path.display().to_string(),
        source,
    })
}

/// Copies a C string; `None` for a null pointer.
///
/// # Safety
/// `pointer` must be null or point to a NUL-terminated string that lives during the call.
unsafe fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: passed on to the caller.
    Some(
        unsafe { CStr::from_ptr(pointer) }
            .to_string_lossy()
            .into_owned(),
    )
}
