//! TLS by rustls; certificate files are re-read when they change.
//!
//! A pair that does not load is refused with the reason, and the one in use stays: a half-copied
//! certificate must not take a running collector down.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::config::settings::Tls;

/// Why a certificate and its key cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file is missing, unreadable, or holds no PEM of the right kind.
    #[error("TLS file {path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Key and certificate do not belong together, or rustls does not know the algorithm.
    #[error("TLS certificate and key do not work together: {0}")]
    Pair(#[from] tokio_rustls::rustls::Error),
}

/// The certificate in use.
#[derive(Debug)]
pub struct Certificates {
    files: Tls,
    in_use: ArcSwap<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamp: [Option<(SystemTime, u64)>; 2],
}

impl Certificates {
    /// Loads certificate chain and key.
    ///
    /// # Errors
    /// [`TlsError`]; at start brine does not go on without.
    pub fn open(files: &Tls) -> Result<Certificates, TlsError> {
        let loaded = load(files)?;
        Ok(Certificates {
            files: files.clone(),
            in_use: ArcSwap::from_pointee(loaded),
        })
    }

    /// Returns an acceptor with the certificate of this moment.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.in_use.load().config.clone())
    }

    /// Loads the files anew if they changed; tells whether they did. Blocking.
    ///
    /// # Errors
    /// [`TlsError`]; the certificate in use stays in use.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        if stamp(&self.files) == self.in_use.load().stamp {
            return Ok(false);
        }
        self.in_use.store(Arc::new(load(&self.files)?));
        Ok(true)
    }
}

fn load(files: &Tls) -> Result<Loaded, TlsError> {
    // Taken before reading: a change in between is seen at the next look.
    let stamp = stamp(files);
    let fault = |path: &Path, error: rustls_pki_types::pem::Error| TlsError::File {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(&files.certificate, error))?;
    if chain.is_empty() {
        return Err(TlsError::File {
            path: files.certificate.clone(),
            reason: "holds no certificate in PEM".into(),
        });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(&files.key, error))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded {
        config: Arc::new(config),
        stamp,
    })
}

fn stamp(files: &Tls) -> [Option<(SystemTime, u64)>; 2] {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}
