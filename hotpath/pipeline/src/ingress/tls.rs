//! TLS for streams: rustls with aws-lc-rs.

use super::Stream;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// Why there is no TLS.
#[derive(Debug)]
pub enum TlsSetupError {
    /// The system's store holds no certificate that can be used.
    NoRoots,
    /// Not a host name or an address.
    BadHost(String),
    /// What rustls says.
    Rustls(rustls::Error),
}

impl fmt::Display for TlsSetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsSetupError::NoRoots => f.write_str("the system has no root certificates; install `ca-certificates`"),
            TlsSetupError::BadHost(host) => write!(f, "`{host}` is not a host name"),
            TlsSetupError::Rustls(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl std::error::Error for TlsSetupError {}

/// Makes encrypted streams: TLS 1.2 and 1.3, the peer's certificate checked against roots.
#[derive(Clone, Debug)]
pub struct TlsConnector {
    config: Arc<ClientConfig>,
}

impl TlsConnector {
    /// Trusts the roots of the system.
    ///
    /// # Errors
    /// [`TlsSetupError::NoRoots`] where there are none.
    pub fn with_system_roots() -> Result<TlsConnector, TlsSetupError> {
        TlsConnector::with_roots(rustls_native_certs::load_native_certs().certs)
    }

    /// Trusts these roots and no others; those that cannot be read are passed over.
    ///
    /// # Errors
    /// [`TlsSetupError::NoRoots`] where none is left.
    pub fn with_roots(roots: impl IntoIterator<Item = CertificateDer<'static>>) -> Result<TlsConnector, TlsSetupError> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(roots);
        if store.is_empty() {
            return Err(TlsSetupError::NoRoots);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsSetupError::Rustls)?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(TlsConnector { config: Arc::new(config) })
    }

    /// Puts TLS over a stream; the handshake takes place with the first bytes.
    ///
    /// # Errors
    /// [`TlsSetupError::BadHost`], or rustls's.
    pub fn encrypt(&self, stream: Stream, host: &str) -> Result<Stream, TlsSetupError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsSetupError::BadHost(host.to_owned()))?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(TlsSetupError::Rustls)?;
        Ok(stream.encrypted(connection))
    }
}
