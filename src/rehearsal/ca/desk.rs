//! The resources of RFC 8555 (§7) as a value: accounts, orders, authorizations and certificates, each addressed by its
//! number. What a request says changes them; what takes time is given back as a [`Look`] for the caller to take.

use super::{
    issuer::{Issuer, LIFE},
    request::{Jwk, Nonces, Problem, Signed, read, token},
};
use crate::{certificate::pem_certificates, name::DnsName, rehearsal::Fault, world};
use data_encoding::BASE64URL_NOPAD as B64;
use http::Method;
use instant_acme::CertificateIdentifier;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// No more accounts and orders are kept: a rehearsal needs one and a few.
const ACCOUNTS: usize = 16;
const ORDERS: usize = 128;
/// No order has more names.
const NAMES: usize = 100;

/// Everything that the CA remembers.
pub(super) struct Desk {
    base: String,
    fault: Option<Fault>,
    issuer: Issuer,
    nonces: Nonces,
    accounts: Vec<Jwk>,
    orders: Vec<Order>,
    authorizations: Vec<Authorization>,
    /// Renewal windows by the certificate's identifier (RFC 9773 §4.1).
    windows: BTreeMap<String, Value>,
}

struct Order {
    account: usize,
    names: Vec<String>,
    authorizations: Vec<usize>,
    chain: Option<String>,
}

struct Authorization {
    name: DnsName,
    token: String,
    state: State,
    address: Option<IpAddr>,
}

enum State {
    Pending,
    Looking,
    Valid,
    Invalid(Problem),
}

/// An answer of the desk.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// What to look at now.
    pub(super) look: Option<Look>,
}

/// A name to be looked at, with what must be found there.
pub(super) struct Look {
    pub(super) authorization: usize,
    pub(super) name: DnsName,
    pub(super) token: String,
    pub(super) expected: String,
}

impl Answer {
    fn json(status: u16, value: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { status, headers, body: value.to_string().into_bytes(), look: None }
    }

    fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        let body = problem.document().to_string().into_bytes();
        Self { status: problem.status, headers: vec![("content-type", "application/problem+json".to_owned())], body, look: None }
    }
}

impl Desk {
    pub(super) fn new(base: String, issuer: Issuer, fault: Option<Fault>) -> Self {
        Self {
            base,
            fault,
            issuer,
            nonces: Nonces::default(),
            accounts: Vec::new(),
            orders: Vec::new(),
            authorizations: Vec::new(),
            windows: BTreeMap::new(),
        }
    }

    /// A nonce for the next request; every answer carries one.
    pub(super) fn nonce(&mut self) -> String {
        self.nonces.give()
    }

    /// Answers one request.
    pub(super) fn answer(&mut self, method: &Method, path: &str, body: &[u8]) -> Answer {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let answer = match (method, parts.as_slice()) {
            (&Method::GET, ["directory"]) => Ok(self.directory()),
            (&Method::HEAD | &Method::GET, ["nonce"]) => Ok(Answer { status: 200, headers: Vec::new(), body: Vec::new(), look: None }),
            (&Method::GET, ["renewal", id]) => self.renewal(id),
            (&Method::POST, parts) => self.signed(parts, path, body),
            _ => Err(Problem::new(404, "malformed", format!("there is no {path}"))),
        };
        answer.unwrap_or_else(Answer::from)
    }

    /// Writes down what a look saw.
    pub(super) fn seen(&mut self, authorization: usize, address: Option<IpAddr>, verdict: Result<(), Problem>) {
        if let Some(authorization) = self.authorizations.get_mut(authorization) {
            authorization.address = address;
            authorization.state = verdict.map_or_else(State::Invalid, |()| State::Valid);
        }
    }

    fn directory(&self) -> Answer {
        let at = |what: &str| format!("{}/{what}", self.base);
        let value = json!({
            "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"), "renewalInfo": at("renewal"),
            "revokeCert": at("revoke"), "keyChange": at("key"),
            "meta": {"termsOfService": at("terms"), "caaIdentities": ["rehearsal.invalid"]}
        });
        Answer::json(200, &value)
    }

    fn renewal(&self, id: &str) -> Result<Answer, Problem> {
        let window = self.windows.get(id).ok_or_else(|| Problem::new(404, "malformed", "no such certificate was issued here"))?;
        Ok(Answer::json(200, &json!({"suggestedWindow": window})).with("retry-after", "21600".into()))
    }

    fn signed(&mut self, parts: &[&str], path: &str, body: &[u8]) -> Result<Answer, Problem> {
        let prefix = format!("{}/account/", self.base);
        let accounts = &self.accounts;
        let of = |url: &str| accounts.get(url.strip_prefix(&prefix)?.parse::<usize>().ok()?).cloned();
        let Signed { key, payload } = read(body, &format!("{}{path}", self.base), &mut self.nonces, of)?;
        let known = self.accounts.iter().position(|a| *a == key);
        if parts == ["account"] {
            return self.account(key, known, &payload);
        }
        let account = known.ok_or_else(|| Problem::new(400, "accountDoesNotExist", "this key has no account"))?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| Problem::malformed(format!("{text:?} is no number")));
        match parts {
            ["account", _] => Ok(Answer::json(200, &json!({"status": "valid"}))),
            ["order"] => self.new_order(account, &payload),
            ["order", n] => self.order(account, number(n)?).map(|v| Answer::json(200, &v)),
            ["authorization", n] => self.authorization(account, number(n)?).map(|v| Answer::json(200, &v)),
            ["challenge", n] => self.challenge(account, number(n)?),
            ["finalize", n] => self.finalize(account, number(n)?, &payload),
            ["certificate", n] => self.certificate(account, number(n)?),
            _ => Err(Problem::new(404, "malformed", format!("there is no {path}"))),
        }
    }

    fn account(&mut self, key: Jwk, known: Option<usize>, payload: &Value) -> Result<Answer, Problem> {
        let (status, number) = match known {
            Some(number) => (200, number),
            None if payload["termsOfServiceAgreed"] != true => {
                return Err(Problem::new(403, "userActionRequired", "the terms of service are not agreed to"));
            }
            None if self.accounts.len() == ACCOUNTS => return Err(Problem::new(429, "rateLimited", "too many accounts")),
            None => {
                self.accounts.push(key);
                (201, self.accounts.len() - 1)
            }
        };
        Ok(Answer::json(status, &json!({"status": "valid"})).with("location", format!("{}/account/{number}", self.base)))
    }

    fn new_order(&mut self, account: usize, payload: &Value) -> Result<Answer, Problem> {
        let mut names = Vec::new();
        for identifier in payload["identifiers"].as_array().into_iter().flatten() {
            let name = identifier["value"].as_str().filter(|_| identifier["type"] == "dns").unwrap_or_default();
            let name: DnsName = name.parse().map_err(|e| Problem::new(400, "unsupportedIdentifier", format!("{e}")))?;
            names.push(name);
        }
        names.sort();
        names.dedup();
        if names.is_empty() || names.len() > NAMES {
            return Err(Problem::malformed(format!("an order has 1 to {NAMES} names")));
        }
        if self.orders.len() == ORDERS {
            return Err(Problem::new(429, "rateLimited", "too many orders"));
        }
        if self.fault == Some(Fault::CaRefuses) {
            let name = names.first().map(DnsName::as_str).unwrap_or_default();
            let says = "The ACME server refuses to issue a certificate for this domain name, because it is forbidden by policy";
            return Err(Problem::new(
                400,
                "rejectedIdentifier",
                format!("Error creating new order :: Cannot issue for \"{name}\": {says}"),
            ));
        }
        let first = self.authorizations.len();
        let texts = names.iter().map(ToString::to_string).collect();
        let asked = names.into_iter().map(|name| Authorization { name, token: token(), state: State::Pending, address: None });
        self.authorizations.extend(asked);
        let authorizations = (first..self.authorizations.len()).collect();
        self.orders.push(Order { account, names: texts, authorizations, chain: None });
        let number = self.orders.len() - 1;
        Ok(Answer::json(201, &self.order(account, number)?).with("location", format!("{}/order/{number}", self.base)))
    }

    fn of_account(&self, account: usize, number: usize) -> Result<&Order, Problem> {
        let order = self.orders.get(number).filter(|o| o.account == account);
        order.ok_or_else(|| Problem::new(404, "malformed", format!("there is no order {number} of this account")))
    }

    fn status(&self, order: &Order) -> &'static str {
        let mut states = order.authorizations.iter().filter_map(|n| self.authorizations.get(*n)).map(|a| &a.state);
        if order.chain.is_some() {
            "valid"
        } else if states.clone().any(|s| matches!(s, State::Invalid(_))) {
            "invalid"
        } else if states.all(|s| matches!(s, State::Valid)) {
            "ready"
        } else {
            "pending"
        }
    }

    fn order(&self, account: usize, number: usize) -> Result<Value, Problem> {
        let order = self.of_account(account, number)?;
        let identifiers: Vec<Value> = order.names.iter().map(|n| json!({"type": "dns", "value": n})).collect();
        let authorizations: Vec<String> = order.authorizations.iter().map(|n| format!("{}/authorization/{n}", self.base)).collect();
        let mut value = json!({
            "status": self.status(order), "identifiers": identifiers, "authorizations": authorizations,
            "finalize": format!("{}/finalize/{number}", self.base)
        });
        if order.chain.is_some() {
            value["certificate"] = format!("{}/certificate/{number}", self.base).into();
        }
        Ok(value)
    }

    fn authorization_of(&self, account: usize, number: usize) -> Result<&Authorization, Problem> {
        let owned = self.orders.iter().any(|o| o.account == account && o.authorizations.contains(&number));
        let found = self.authorizations.get(number).filter(|_| owned);
        found.ok_or_else(|| Problem::new(404, "malformed", format!("there is no authorization {number} of this account")))
    }

    fn authorization(&self, account: usize, number: usize) -> Result<Value, Problem> {
        let authorization = self.authorization_of(account, number)?;
        let status = match authorization.state {
            State::Pending | State::Looking => "pending",
            State::Valid => "valid",
            State::Invalid(_) => "invalid",
        };
        let challenge = self.challenge_value(authorization, number);
        Ok(json!({"status": status, "identifier": {"type": "dns", "value": authorization.name.as_str()}, "challenges": [challenge]}))
    }

    fn challenge_value(&self, authorization: &Authorization, number: usize) -> Value {
        let (status, error) = match &authorization.state {
            State::Pending => ("pending", None),
            State::Looking => ("processing", None),
            State::Valid => ("valid", None),
            State::Invalid(problem) => ("invalid", Some(problem.document())),
        };
        let mut value = json!({
            "type": "http-01", "url": format!("{}/challenge/{number}", self.base), "token": authorization.token, "status": status
        });
        if let Some(error) = error {
            value["error"] = error;
        }
        if let Some(address) = authorization.address {
            value["validationRecord"] = json!([{"hostname": authorization.name.as_str(), "addressUsed": address}]);
        }
        value
    }

    fn challenge(&mut self, account: usize, number: usize) -> Result<Answer, Problem> {
        self.authorization_of(account, number)?;
        let thumbprint = self.accounts.get(account).map(Jwk::thumbprint).unwrap_or_default();
        let mut look = None;
        if let Some(authorization) = self.authorizations.get_mut(number)
            && matches!(authorization.state, State::Pending)
        {
            authorization.state = State::Looking;
            let (name, token) = (authorization.name.clone(), authorization.token.clone());
            look = Some(Look { authorization: number, name, expected: format!("{token}.{thumbprint}"), token });
        }
        let value = self.challenge_value(self.authorization_of(account, number)?, number);
        Ok(Answer { look, ..Answer::json(200, &value) })
    }

    fn finalize(&mut self, account: usize, number: usize, payload: &Value) -> Result<Answer, Problem> {
        let order = self.of_account(account, number)?;
        if self.status(order) != "ready" {
            return Err(Problem::new(403, "orderNotReady", format!("the order is {}", self.status(order))));
        }
        let request = B64.decode(payload["csr"].as_str().unwrap_or_default().as_bytes());
        let request = request.map_err(|e| Problem::new(400, "badCSR", format!("not in base64url form: {e}")))?;
        let chain = self.issuer.issue(&request, &order.names, self.fault == Some(Fault::WrongKey))?;
        if let Some(id) = identifier(&chain) {
            self.windows.insert(id, window());
        }
        if let Some(order) = self.orders.get_mut(number) {
            order.chain = Some(chain);
        }
        self.order(account, number).map(|v| Answer::json(200, &v))
    }

    fn certificate(&self, account: usize, number: usize) -> Result<Answer, Problem> {
        let chain = self.of_account(account, number)?.chain.as_ref();
        let chain = chain.ok_or_else(|| Problem::new(404, "malformed", "the certificate is not issued yet"))?;
        let headers = vec![("content-type", "application/pem-certificate-chain".to_owned())];
        Ok(Answer { status: 200, headers, body: chain.clone().into_bytes(), look: None })
    }
}

/// What renewal information calls the leaf of a chain (RFC 9773 §4.1).
fn identifier(chain: &str) -> Option<String> {
    let leaf = pem_certificates(chain.as_bytes()).ok()?.into_iter().next()?;
    CertificateIdentifier::try_from(&leaf.into()).ok().map(|id| id.to_string())
}

/// The two days after two thirds of a certificate's life.
fn window() -> Value {
    let start = world::now().after(LIFE * 2 / 3);
    json!({"start": start.to_string(), "end": start.after(Duration::from_secs(2 * 86_400)).to_string()})
}
