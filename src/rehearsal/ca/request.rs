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

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
    };
    use serde_json::json;

    const URL: &str = "https://127.0.0.1:1/order";
    const ACCOUNT: &str = "https://127.0.0.1:1/account/0";

    struct Client(EcdsaKeyPair);

    impl Client {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn key(&self) -> Jwk {
            let point = self.0.public_key().as_ref();
            Jwk { crv: "P-256".into(), kty: "EC".into(), x: B64.encode(&point[1..33]), y: B64.encode(&point[33..65]) }
        }

        fn request(&self, header: &Value, payload: &str) -> Vec<u8> {
            let (protected, payload) = (B64.encode(header.to_string().as_bytes()), B64.encode(payload.as_bytes()));
            let signature = self.0.sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes()).unwrap();
            json!({"protected": protected, "payload": payload, "signature": B64.encode(signature.as_ref())}).to_string().into_bytes()
        }
    }

    #[test]
    fn only_what_the_accounts_key_signed_for_this_url_and_once_is_taken() {
        let (client, stranger) = (Client::new(), Client::new());
        let mut nonces = Nonces::default();
        let mut ask = |by: &Client, change: &dyn Fn(&mut Value)| {
            let mut header = json!({"alg": "ES256", "nonce": nonces.give(), "url": URL, "kid": ACCOUNT});
            change(&mut header);
            let body = by.request(&header, "{\"a\":1}");
            let key = |url: &str| (url == ACCOUNT).then(|| client.key());
            let first = read(&body, URL, &mut nonces, key).map(|signed| signed.payload).map_err(|p| p.kind);
            let again = read(&body, URL, &mut nonces, key).map(|signed| signed.payload).map_err(|p| p.kind);
            (first, again.err())
        };
        let good = Ok(json!({"a": 1}));
        assert_eq!(ask(&client, &|_| ()), (good.clone(), Some("badNonce")));
        let with_key = |h: &mut Value| {
            let key = client.key();
            h.as_object_mut().unwrap().remove("kid");
            h["jwk"] = json!({"crv": key.crv, "kty": key.kty, "x": key.x, "y": key.y});
        };
        assert_eq!(ask(&client, &with_key), (good, Some("badNonce")));
        for (by, change, kind) in [
            (&stranger, &(|_: &mut Value| ()) as &dyn Fn(&mut Value), "malformed"),
            (&stranger, &with_key, "malformed"),
            (&client, &|h| h["url"] = "https://127.0.0.1:1/account".into(), "unauthorized"),
            (&client, &|h| h["kid"] = "https://127.0.0.1:1/account/7".into(), "accountDoesNotExist"),
            (&client, &|h| h["nonce"] = "made-up".into(), "badNonce"),
            (&client, &|h| h["alg"] = "RS256".into(), "badSignatureAlgorithm"),
            (&client, &|h| h["jwk"] = json!({}), "malformed"),
        ] {
            assert_eq!(ask(by, change).0, Err(kind));
        }
        assert_eq!(read(b"<html>", URL, &mut Nonces::default(), |_| None).map(|_| ()).map_err(|p| p.kind), Err("malformed"));
    }

    #[test]
    fn the_oldest_nonces_are_forgotten() {
        let mut nonces = Nonces::default();
        let first = nonces.give();
        let all: Vec<String> = (0..NONCES).map(|_| nonces.give()).collect();
        assert!(!nonces.take(&first));
        assert!(nonces.take(&all[0]) && !nonces.take(&all[0]));
    }
}
