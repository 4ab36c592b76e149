// SPDX-License-Identifier: Apache-2.0
//! The server's side of TLS 1.2 and 1.3.

use crate::err::{Failure, Result};
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn bad(what: impl std::fmt::Display) -> Failure {
    Failure::new(libc::EINVAL, c"BadCertificate", what.to_string())
}

/// From a chain and a key in PEM; HTTP/2 and HTTP/1.1 by ALPN.
pub fn server_config(cert: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>> {
    let chain: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.map_err(|e| bad(format!("the certificate is no PEM file: {e}")))?;
    if chain.is_empty() {
        return Err(bad("the certificate file has no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|e| bad(format!("the key file has no key that can be used: {e}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(bad)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| bad(format!("certificate and key cannot be used: {e}")))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
