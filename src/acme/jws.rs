//! The account key and what it signs (RFC 7515, RFC 8555 §6.2). The crate that speaks ACME signs its own requests; this
//! signs the two things that it cannot: a new account under a key that is saved already, external binding included, and
//! a refused request once more with the nonce that came with the refusal.

use super::bad_news::Trouble;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use data_encoding::BASE64URL_NOPAD as B64;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// An ECDSA P-256 account key. No `Debug`: it is a secret.
pub(super) struct Signer {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

#[derive(Deserialize)]
struct Signed {
    protected: String,
    payload: String,
}

impl Signer {
    /// The key in PKCS#8 (DER).
    pub(super) fn new(pkcs8: Zeroizing<Vec<u8>>) -> Result<Self, Trouble> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| Trouble::key("the account key in the state directory", "it is no ECDSA P-256 key"))?;
        Ok(Self { pair, pkcs8 })
    }

    /// The key in PKCS#8 (DER).
    pub(super) fn pkcs8(&self) -> &[u8] {
        &self.pkcs8
    }

    fn coordinates(&self) -> (String, String) {
        // An uncompressed point: 4, x, y.
        let point = self.pair.public_key().as_ref();
        (B64.encode(point.get(1..33).unwrap_or_default()), B64.encode(point.get(33..65).unwrap_or_default()))
    }

    /// The public half (RFC 7517).
    pub(super) fn jwk(&self) -> Value {
        let (x, y) = self.coordinates();
        json!({"crv": "P-256", "kty": "EC", "x": x, "y": y})
    }

    /// What names this key in challenges and in our Store (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        B64.encode(&Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
    }

    /// A request body: `header` must say `url` and either `jwk` or `kid`; `None` is POST-as-GET (RFC 8555 §6.3).
    pub(super) fn sign(&self, header: Value, nonce: &str, payload: Option<&Value>) -> Result<Vec<u8>, Trouble> {
        let mut header = match header {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        header.insert("alg".into(), "ES256".into());
        header.insert("nonce".into(), nonce.into());
        self.seal(&Value::Object(header), &payload.map(|p| B64.encode(p.to_string().as_bytes())).unwrap_or_default())
    }

    /// The same request with another nonce; `None` where `body` is no request that this key could have signed.
    pub(super) fn again(&self, body: &[u8], nonce: &str) -> Option<Vec<u8>> {
        let signed: Signed = serde_json::from_slice(body).ok()?;
        let mut header: Value = serde_json::from_slice(&B64.decode(signed.protected.as_bytes()).ok()?).ok()?;
        header.as_object_mut()?.insert("nonce".into(), nonce.into());
        self.seal(&header, &signed.payload).ok()
    }

    fn seal(&self, header: &Value, payload: &str) -> Result<Vec<u8>, Trouble> {
        let protected = B64.encode(header.to_string().as_bytes());
        let signature = self
            .pair
            .sign(&SystemRandom::new(), format!("{protected}.{payload}").as_bytes())
            .map_err(|_| Trouble::key("the account key in the state directory", "it cannot sign"))?;
        let signature = B64.encode(signature.as_ref());
        Ok(json!({"protected": protected, "payload": payload, "signature": signature}).to_string().into_bytes())
    }

    /// The binding of this key to an account elsewhere (RFC 8555 §7.3.4).
    pub(super) fn bound(&self, kid: &str, secret: &[u8], url: &str) -> Value {
        let protected = B64.encode(json!({"alg": "HS256", "kid": kid, "url": url}).to_string().as_bytes());
        let payload = B64.encode(self.jwk().to_string().as_bytes());
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), format!("{protected}.{payload}").as_bytes());
        json!({"protected": protected, "payload": payload, "signature": B64.encode(tag.as_ref())})
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    fn signer() -> Signer {
        Signer::new(Zeroizing::new(rcgen::KeyPair::generate().expect("a key").serialize_der())).expect("a signer")
    }

    fn verified(signer: &Signer, body: &[u8]) -> (Value, String) {
        let value: Value = serde_json::from_slice(body).expect("JSON");
        let text = |k: &str| value[k].as_str().expect("text").to_owned();
        let signature = B64.decode(text("signature").as_bytes()).expect("base64url");
        let signed = format!("{}.{}", text("protected"), text("payload"));
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.pair.public_key().as_ref())
            .verify(signed.as_bytes(), &signature)
            .expect("a good signature");
        (serde_json::from_slice(&B64.decode(text("protected").as_bytes()).expect("base64url")).expect("JSON"), text("payload"))
    }

    #[test]
    fn another_nonce_changes_nothing_else() {
        let signer = signer();
        let first =
            signer.sign(json!({"url": "https://ca.example/o", "kid": "https://ca.example/a/1"}), "n1", Some(&json!({}))).expect("a body");
        let second = signer.again(&first, "n2").expect("a body");
        let ((mut was, payload), (is, same)) = (verified(&signer, &first), verified(&signer, &second));
        assert_eq!((payload, is["nonce"].as_str()), (same, Some("n2")));
        was["nonce"] = "n2".into();
        assert_eq!(was, is);
        assert!(signer.again(b"<html>", "n").is_none());
    }

    #[test]
    fn a_body_without_payload_is_a_get() {
        let signer = signer();
        assert_eq!(verified(&signer, &signer.sign(json!({"url": "u"}), "n", None).expect("a body")).1, "");
    }
}
