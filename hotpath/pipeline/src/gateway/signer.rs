//! Signatures of requests, and the account they are made for.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;

/// Room for a signature as text: 64 hexadecimal digits, or 88 of Base64.
const SIGNATURE_BYTES_MAX: usize = 88;

/// Why a secret cannot sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignerError {
    /// It is empty.
    Empty,
    /// It is no Ed25519 private key: neither a seed of 32 bytes nor PKCS#8.
    NotEd25519,
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SignerError::Empty => "the secret is empty",
            SignerError::NotEd25519 => "not an Ed25519 private key; expected PKCS#8 (DER) or a seed of 32 bytes",
        })
    }
}

impl std::error::Error for SignerError {}

/// Signs payloads; its secret is never printed.
pub struct Signer {
    algorithm: Algorithm,
}

enum Algorithm {
    /// Holds the states after the key's blocks, so that a signature costs the payload's blocks and one more.
    HmacSha256(Box<Hmac<Sha256>>),
    #[cfg(feature = "live")]
    Ed25519(aws_lc_rs::signature::Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.algorithm {
            Algorithm::HmacSha256(_) => "Signer(HMAC-SHA256, secret not shown)",
            #[cfg(feature = "live")]
            Algorithm::Ed25519(_) => "Signer(Ed25519, secret not shown)",
        })
    }
}

impl Signer {
    /// HMAC-SHA256 (RFC 2104), written as lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`SignerError::Empty`] for a secret of no bytes.
    pub fn hmac_sha256(secret: &[u8]) -> Result<Signer, SignerError> {
        if secret.is_empty() {
            return Err(SignerError::Empty);
        }
        let mac = Hmac::new_from_slice(secret).map_err(|_| SignerError::Empty)?;
        Ok(Signer { algorithm: Algorithm::HmacSha256(Box::new(mac)) })
    }

    /// Ed25519 (RFC 8032), written in Base64. `secret` is a private key in PKCS#8 (DER), or its seed.
    ///
    /// # Errors
    /// [`SignerError::NotEd25519`] for anything else.
    #[cfg(feature = "live")]
    pub fn ed25519(secret: &[u8]) -> Result<Signer, SignerError> {
        use aws_lc_rs::signature::Ed25519KeyPair;
        let pair = match secret.len() {
            32 => Ed25519KeyPair::from_seed_unchecked(secret),
            _ => Ed25519KeyPair::from_pkcs8(secret),
        };
        Ok(Signer { algorithm: Algorithm::Ed25519(pair.map_err(|_| SignerError::NotEd25519)?) })
    }

    /// Signs a payload.
    #[inline]
    pub fn sign(&self, payload: &[u8]) -> Signature {
        let mut text = [0; SIGNATURE_BYTES_MAX];
        let len = match &self.algorithm {
            Algorithm::HmacSha256(mac) => {
                let mut mac = (**mac).clone();
                mac.update(payload);
                HEXLOWER.encode_mut(&mac.finalize().into_bytes(), &mut text[..64]);
                64
            }
            #[cfg(feature = "live")]
            Algorithm::Ed25519(pair) => {
                data_encoding::BASE64.encode_mut(pair.sign(payload).as_ref(), &mut text[..88]);
                88
            }
        };
        Signature { text, len }
    }
}

/// A signature as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Signature {
    text: [u8; SIGNATURE_BYTES_MAX],
    len: usize,
}

impl Signature {
    /// Hexadecimal digits or Base64.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// An account: the key a venue knows it by, and what signs for it.
pub struct ApiKey {
    /// The public part, sent with each request.
    pub(super) key: String,
    pub(super) signer: Signer,
}

impl ApiKey {
    /// The account of `key`, whose requests `signer` signs.
    pub fn new(key: &str, signer: Signer) -> ApiKey {
        ApiKey { key: key.to_owned(), signer }
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key either: with a secret that leaks elsewhere it is half of what is needed.
        f.debug_struct("ApiKey").field("key", &"not shown").field("signer", &self.signer).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let key = ApiKey::new("public-part", Signer::hmac_sha256(b"very secret").unwrap());
        let printed = format!("{key:?} {key:#?}");
        assert!(!printed.contains("secret\"") && !printed.contains("very") && !printed.contains("public-part"), "{printed}");
        assert!(printed.contains("not shown"));
    }

    #[test]
    fn an_empty_secret_signs_nothing() {
        assert!(matches!(Signer::hmac_sha256(b""), Err(SignerError::Empty)));
    }

    #[cfg(feature = "live")]
    #[test]
    fn what_is_no_key_is_refused() {
        assert!(matches!(Signer::ed25519(b"short"), Err(SignerError::NotEd25519)));
        let signer = Signer::ed25519(&[7; 32]).unwrap();
        assert_eq!(format!("{signer:?}"), "Signer(Ed25519, secret not shown)");
    }
}
