//! The directory of a CA and our account there: one key a directory. The key is in the Store before the CA hears of it,
//! so that a kill repeats and never leaves an account that nobody can use.

use super::{
    Say, Wishes,
    bad_news::{Refusal, Trouble, said, words},
    jws::Signer,
    transport::{Transport, nonce},
};
use crate::{certificate::Digest, facts::Known, report::observer::Event, world::Store};
use bytes::Bytes;
use http::{Method, Response, header};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use zeroize::Zeroizing;

/// What a CA says of itself (RFC 8555 §7.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    /// Its URL.
    pub url: String,
    /// Where its terms of service are.
    pub terms_of_service: Option<String>,
    /// The domains that a CAA record may name to allow it (RFC 8659 §4.2).
    pub caa_identities: Vec<String>,
    /// Accounts need `--eab-kid` and `--eab-hmac-key-file`.
    pub eab_required: bool,
    /// The profiles that it offers, each with its description.
    pub profiles: BTreeMap<String, String>,
    /// Seconds that this host's clock is ahead (+) or behind (−) of the CA's.
    pub clock_off: Known<i64>,
    pub(super) new_nonce: String,
    pub(super) new_account: String,
    pub(super) renewal_info: Option<String>,
}

impl Directory {
    /// Fetches it.
    pub(super) async fn fetch(transport: &Transport, url: &str) -> Result<Self, Trouble> {
        let answer = transport.look(Method::GET, url).await?;
        let wrong = |why: String| Trouble::Directory { url: said(url), why };
        if answer.status().is_redirection() {
            let to = answer.headers().get(header::LOCATION).and_then(|l| l.to_str().ok()).unwrap_or("elsewhere");
            return Err(wrong(format!("it redirects to {}", said(to))));
        }
        if !answer.status().is_success() {
            return Err(wrong(format!("it answers {}", answer.status())));
        }
        let Ok(value) = serde_json::from_slice::<Value>(answer.body()) else {
            return Err(wrong("its answer is no JSON".to_owned()));
        };
        let resource = |name: &str| {
            let text = value[name].as_str().map(ToOwned::to_owned);
            text.ok_or_else(|| wrong(format!("its answer names no {name}")))
        };
        let meta = &value["meta"];
        let host = url.split('/').nth(2).unwrap_or(url);
        resource("newOrder")?;
        Ok(Self {
            url: url.to_owned(),
            terms_of_service: meta["termsOfService"].as_str().map(said),
            caa_identities: meta["caaIdentities"].as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(said).collect(),
            eab_required: meta["externalAccountRequired"].as_bool().unwrap_or(false),
            profiles: meta["profiles"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, what)| (said(name), said(what.as_str().unwrap_or_default())))
                .collect(),
            clock_off: transport.clock(host),
            new_nonce: resource("newNonce")?,
            new_account: resource("newAccount")?,
            renewal_info: value["renewalInfo"].as_str().map(ToOwned::to_owned),
        })
    }
}

/// What the Store knows of an account; its key lies beside.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    directory: String,
    thumbprint: String,
    url: Option<String>,
    email: Option<String>,
    terms_of_service: Option<String>,
}

/// An account that the CA knows.
pub(super) struct Account {
    /// The crate's view of it.
    pub(super) acme: instant_acme::Account,
    transport: Transport,
    signer: Arc<Signer>,
    url: String,
    new_nonce: String,
}

/// The names of the key and of the record of a directory.
fn files(directory: &str) -> (String, String) {
    let host: String =
        directory.split('/').nth(2).unwrap_or("ca").chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let slug = format!("accounts/{host}-{}", Digest::of(directory.as_bytes()).short());
    (format!("{slug}.key"), format!("{slug}.json"))
}

/// The account key of a directory, if there is one.
pub(super) fn saved_key(store: &Store, directory: &str) -> Result<Option<Signer>, Trouble> {
    let path = store.path(files(directory).0);
    let pem = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => Zeroizing::new(read?),
    };
    let key = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|e| Trouble::key(path.display().to_string(), e.to_string()))?;
    Signer::new(Zeroizing::new(key.secret_pkcs8_der().to_vec())).map(Some)
}

/// Whether the CA of this directory knows an account of ours, so that nothing has to be asked for it.
///
/// # Errors
/// When its record is there and cannot be read.
pub fn has_account(store: &Store, directory: &str) -> std::io::Result<bool> {
    let record: Option<Record> = store.load(files(directory).1)?;
    Ok(record.is_some_and(|r| r.url.is_some()))
}

impl Account {
    /// The account at this directory: the one that the Store knows, or a new one. `anew` registers the key once more,
    /// for a CA that forgot it.
    pub(super) async fn join(
        transport: &Transport,
        store: &Store,
        directory: &Directory,
        wishes: &Wishes,
        say: &Say,
        anew: bool,
    ) -> Result<Self, Trouble> {
        let (key_file, record_file) = files(&directory.url);
        let mut record: Option<Record> = store.load(&record_file)?;
        let known = record.as_ref().and_then(|r| r.url.clone()).filter(|_| !anew);
        if known.is_none() {
            allowed(directory, wishes)?;
        }
        let signer = match saved_key(store, &directory.url)? {
            Some(signer) => signer,
            None => {
                let pair = rcgen::KeyPair::generate().map_err(|e| Trouble::key("a new account key", e.to_string()))?;
                store.save_bytes(&key_file, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
                Signer::new(Zeroizing::new(pair.serialize_der()))?
            }
        };
        let signer = Arc::new(signer);
        transport.sign_with(signer.clone());
        let url = match known {
            Some(url) => url,
            None => {
                let _ = say.send(Event::Started(format!("account at {}", directory.url)));
                let url = register(transport, directory, wishes, &signer).await?;
                let new = Record {
                    directory: directory.url.clone(),
                    thumbprint: signer.thumbprint(),
                    url: Some(url.clone()),
                    email: wishes.email.clone(),
                    terms_of_service: directory.terms_of_service.clone(),
                };
                store.save(&record_file, &new)?;
                record = Some(new);
                let _ = say.send(Event::Done(url.clone()));
                url
            }
        };
        let pkcs8 = PrivatePkcs8KeyDer::from(signer.pkcs8().to_vec());
        let acme = instant_acme::Account::builder_with_http(Box::new(transport.clone()))
            .from_parts(url.clone(), pkcs8, directory.url.clone())
            .await
            .map_err(|e| from_crate(transport, &directory.url, &[], 0, e))?;
        let account = Self { acme, transport: transport.clone(), signer, url, new_nonce: directory.new_nonce.clone() };
        if let (Some(mut record), Some(email)) = (record, &wishes.email)
            && record.email.as_ref() != Some(email)
        {
            let contact = format!("mailto:{email}");
            account.acme.update_contacts(&[&contact]).await.map_err(|e| from_crate(transport, &directory.url, &[], 0, e))?;
            record.email = Some(email.clone());
            store.save(&record_file, &record)?;
        }
        Ok(account)
    }

    /// What names it in the Store.
    pub(super) fn thumbprint(&self) -> String {
        self.signer.thumbprint()
    }

    /// A resource as the CA wrote it (POST-as-GET, RFC 8555 §6.3), with the members that the crate drops.
    pub(super) async fn raw(&self, url: &str) -> Result<Value, Trouble> {
        let nonce = fresh_nonce(&self.transport, &self.new_nonce).await?;
        let body = self.signer.sign(json!({"kid": self.url, "url": url}), &nonce, None)?;
        let answer = self.transport.post(url, body).await?;
        serde_json::from_slice(answer.body()).map_err(|e| Trouble::Broken { url: said(url), says: e.to_string() })
    }
}

/// What a new account needs from the admin first.
fn allowed(directory: &Directory, wishes: &Wishes) -> Result<(), Trouble> {
    match &directory.terms_of_service {
        Some(url) if !wishes.agree_tos => return Err(Trouble::Terms { url: url.clone() }),
        _ => {}
    }
    if directory.eab_required && wishes.eab.is_none() {
        return Err(Trouble::Binding { directory: directory.url.clone() });
    }
    Ok(())
}

/// newAccount (RFC 8555 §7.3) under a saved key: repeating it finds the account that exists.
async fn register(transport: &Transport, directory: &Directory, wishes: &Wishes, signer: &Signer) -> Result<String, Trouble> {
    let mut payload = json!({"termsOfServiceAgreed": true});
    if let Some(email) = &wishes.email {
        payload["contact"] = json!([format!("mailto:{email}")]);
    }
    if let Some((kid, secret)) = &wishes.eab {
        payload["externalAccountBinding"] = signer.bound(kid, secret, &directory.new_account);
    }
    let nonce = fresh_nonce(transport, &directory.new_nonce).await?;
    let header = json!({"jwk": signer.jwk(), "url": directory.new_account});
    let answer = transport.post(&directory.new_account, signer.sign(header, &nonce, Some(&payload))?).await?;
    if !answer.status().is_success() {
        return Err(refused(&answer, wishes.eab.is_some()));
    }
    let url = answer.headers().get(header::LOCATION).and_then(|l| l.to_str().ok());
    url.map(ToOwned::to_owned)
        .ok_or_else(|| Trouble::Broken { url: said(&directory.new_account), says: "it made an account and did not say where".to_owned() })
}

async fn fresh_nonce(transport: &Transport, url: &str) -> Result<String, Trouble> {
    let answer = transport.look(Method::HEAD, url).await?;
    nonce(&answer).ok_or_else(|| Trouble::Broken { url: said(url), says: "it gives no nonce".to_owned() })
}

fn refused(answer: &Response<Bytes>, bound: bool) -> Trouble {
    let mut all = Refusal::read(answer.body(), &[], 0);
    for refusal in all.iter_mut().filter(|r| bound && !r.kind.ends_with("Contact")) {
        refusal.next =
            "check --eab-kid and --eab-hmac-key-file against its web site; some authorities let a key make one account only".into();
    }
    Trouble::Refused(all)
}

/// The crate's errors in our words: for `names`, about `url`.
pub(super) fn from_crate(transport: &Transport, url: &str, names: &[String], port: u16, error: instant_acme::Error) -> Trouble {
    use instant_acme::Error;
    match error {
        Error::Other(inner) => match inner.downcast::<Trouble>() {
            Ok(trouble) => *trouble,
            Err(other) => Trouble::Broken { url: said(url), says: said(&other.to_string()) },
        },
        Error::Api(problem) => {
            let value = problem_value(&problem);
            if value["type"].as_str().is_some_and(|t| t.ends_with(":rateLimited")) {
                let until = transport.retry_after().map(|after| crate::world::now().after(after));
                return Trouble::RateLimited { says: words(&value), until };
            }
            Trouble::Refused(Refusal::all(&value, names, port))
        }
        other => Trouble::Broken { url: said(url), says: said(&format!("{other} (the last exchanges: {})", transport.transcript())) },
    }
}

/// A problem of the crate as the document that it was.
pub(super) fn problem_value(problem: &instant_acme::Problem) -> Value {
    let subs: Vec<Value> = problem
        .subproblems
        .iter()
        .map(|s| json!({"type": s.r#type, "detail": s.detail, "identifier": s.identifier.as_ref().map(|i| json!(i))}))
        .collect();
    json!({"type": problem.r#type, "detail": problem.detail, "subproblems": subs})
}

/// The HMAC key of an external account as CAs hand it out: base64url, with padding or without, white space around it.
///
/// # Errors
/// When it is something else; the text never repeats it.
pub fn eab_key(text: &str) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let clean: Zeroizing<String> = Zeroizing::new(
        text.trim()
            .trim_end_matches('=')
            .chars()
            .map(|c| match c {
                '+' => '-',
                '/' => '_',
                c => c,
            })
            .collect(),
    );
    match data_encoding::BASE64URL_NOPAD.decode(clean.as_bytes()) {
        Ok(key) if !key.is_empty() => Ok(Zeroizing::new(key)),
        _ => Err(Trouble::key(
            "the HMAC key of the external account",
            "it is not in base64url form; copy it again from the certificate authority's page",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_keys_come_in_both_alphabets() {
        for text in ["-_8", "+/8=", " -_8=\n"] {
            assert_eq!(eab_key(text).expect("a key").as_slice(), [0xfb, 0xff], "{text:?}");
        }
        for bad in ["", "  ", "not base64!", "a"] {
            let error = eab_key(bad).expect_err("no key").to_string();
            assert!(bad.trim().len() < 3 || !error.contains(bad), "{error}");
        }
    }

    #[test]
    fn a_directory_has_files_of_its_own() {
        let (a, b) = (files("https://ca.example:14000/dir"), files("https://ca.example:14000/other"));
        assert_ne!(a, b);
        assert!(a.0.starts_with("accounts/ca-example-14000-"), "{a:?}");
        assert!(!files("https://../../etc/x").0[9..].contains('/'));
    }
}
