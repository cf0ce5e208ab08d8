//! The key that service account tokens are signed with.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use crate::Error;

/// A key pair as the API server reads it, in PEM.
pub(crate) struct SigningKey {
    /// PKCS #8.
    pub(crate) private: String,
    /// `SubjectPublicKeyInfo`: the server takes no public key from a PKCS #8 file of this kind.
    pub(crate) public: String,
}

/// Makes a new P-256 key: faster than RSA by a second, and no key lies in the repository.
pub(crate) fn generate() -> Result<SigningKey, Error> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(|_| Error::Random)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random)
        .map_err(|_| Error::Random)?;
    let public = [&PUBLIC_KEY_PREFIX, pair.public_key().as_ref()].concat();
    Ok(SigningKey {
        private: pem("PRIVATE KEY", document.as_ref()),
        public: pem("PUBLIC KEY", &public),
    })
}

/// What precedes the 65 bytes of an uncompressed P-256 point in a `SubjectPublicKeyInfo` (RFC 5480):
/// the lengths, `id-ecPublicKey` and `prime256v1`.
const PUBLIC_KEY_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
