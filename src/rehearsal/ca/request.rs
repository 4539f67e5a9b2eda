//! Requests to a CA: signed by the account's key, each with a nonce of ours that was not used yet (RFC 8555 §6.2 to §6.5).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use data_encoding::BASE64URL_NOPAD as B64;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::VecDeque;

/// So many nonces are kept; the oldest are forgotten.
const NONCES: usize = 256;

/// A refusal in the words of RFC 7807: status, the last word of the error type, and the detail.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: u16, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into() }
    }

    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(400, "malformed", detail)
    }

    pub(super) fn document(&self) -> Value {
        serde_json::json!({"type": format!("urn:ietf:params:acme:error:{}", self.kind), "detail": self.detail, "status": self.status})
    }
}

/// An account's public key, P-256.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Jwk {
    crv: String,
    kty: String,
    x: String,
    y: String,
}

impl Jwk {
    /// RFC 7638.
    pub(super) fn thumbprint(&self) -> String {
        B64.encode(&Sha256::digest(format!(r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{}"}}"#, self.crv, self.kty, self.x, self.y)))
    }

    fn verify(&self, signed: &str, signature: &str) -> Result<(), Problem> {
        let decoded = |text: &str| B64.decode(text.as_bytes()).map_err(|e| Problem::malformed(format!("not in base64url form: {e}")));
        if (self.kty.as_str(), self.crv.as_str()) != ("EC", "P-256") {
            return Err(Problem::new(400, "badPublicKey", "this certificate authority takes P-256 account keys only"));
        }
        // An uncompressed point: 4, x, y.
        let point = [vec![4], decoded(&self.x)?, decoded(&self.y)?].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &decoded(signature)?)
            .map_err(|_| Problem::malformed("the signature does not fit the account's key"))
    }
}

/// Whose key signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Signer {
    /// A key that asks for an account.
    Jwk(Jwk),
    /// The URL of an account.
    Kid(String),
}

#[derive(Deserialize)]
struct Envelope {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    nonce: String,
    url: String,
    #[serde(flatten)]
    signer: Signer,
}

/// A request whose signature, nonce and URL are right.
pub(super) struct Signed {
    pub(super) key: Jwk,
    /// `Null` for POST-as-GET.
    pub(super) payload: Value,
}

/// Reads a request to `url`; `account` gives the key of an account's URL.
pub(super) fn read(body: &[u8], url: &str, nonces: &mut Nonces, account: impl Fn(&str) -> Option<Jwk>) -> Result<Signed, Problem> {
    let json = |e: serde_json::Error| Problem::malformed(format!("the request is no signed JSON: {e}"));
    let bytes = |text: &str| B64.decode(text.as_bytes()).map_err(|e| Problem::malformed(format!("not in base64url form: {e}")));
    let envelope: Envelope = serde_json::from_slice(body).map_err(json)?;
    let header: Header = serde_json::from_slice(&bytes(&envelope.protected)?).map_err(json)?;
    if header.alg != "ES256" {
        return Err(Problem::new(400, "badSignatureAlgorithm", "this certificate authority takes ES256 only"));
    }
    let key = match header.signer {
        Signer::Jwk(key) => key,
        Signer::Kid(url) => account(&url).ok_or_else(|| Problem::new(400, "accountDoesNotExist", "no such account is known"))?,
    };
    key.verify(&format!("{}.{}", envelope.protected, envelope.payload), &envelope.signature)?;
    if header.url != url {
        return Err(Problem::new(401, "unauthorized", format!("the request is signed for {}", header.url)));
    }
    if !nonces.take(&header.nonce) {
        return Err(Problem::new(400, "badNonce", "this nonce was not given or is used"));
    }
    let payload = bytes(&envelope.payload)?;
    let payload = if payload.is_empty() { Value::Null } else { serde_json::from_slice(&payload).map_err(json)? };
    Ok(Signed { key, payload })
}

/// The nonces that were given and not used.
#[derive(Debug, Default)]
pub(super) struct Nonces(VecDeque<String>);

impl Nonces {
    /// A new one.
    pub(super) fn give(&mut self) -> String {
        let nonce = token();
        if self.0.len() == NONCES {
            self.0.pop_front();
        }
        self.0.push_back(nonce.clone());
        nonce
    }

    fn take(&mut self, nonce: &str) -> bool {
        let found = self.0.iter().position(|n| n == nonce);
        found.is_some_and(|at| self.0.remove(at).is_some())
    }
}

/// 128 random bits in base64url form.
pub(super) fn token() -> String {
    B64.encode(&random())
}

/// 128 random bits.
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    // It fails only where the system has no randomness, and then no key could have been made either.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    bytes
}
