//! One order: names, profile, key and account make its key in the Store, and it is written there before the CA hears of
//! it. Killed anywhere it goes on where it stopped, and a certificate that came is never ordered again while it is good.

use super::{
    Say,
    account::{Account, from_crate},
    bad_news::{Refusal, Trouble, said},
    challenge::Answers,
    dns_01::Texts,
    keys::HeldKey,
    paper::{Chain, Paper, arrived},
    transport::Transport,
};
use crate::{facts::Known, intent, name::DnsName, publish::wait::Awaited, report::observer::Event, world};
use instant_acme::{AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, NewOrder, Order, OrderStatus};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};
use tokio::time::Instant;

/// First pause between two looks at an order; it grows by half each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause of our own choosing.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Everything that an order is driven with.
pub(super) struct Driver<'a> {
    /// Who orders.
    pub(super) account: &'a Account,
    /// What the CA's last answers said of waiting.
    pub(super) transport: &'a Transport,
    /// Who answers the CA.
    pub(super) answers: &'a mut Answers,
    /// Who answers it in DNS.
    pub(super) texts: Texts<'a>,
    /// Whom to tell.
    pub(super) say: &'a Say,
    /// No wait is longer.
    pub(super) patience: Duration,
}

impl Driver<'_> {
    /// Drives the order of `paper` to its certificate. `next` are those that follow it.
    pub(super) async fn drive(&mut self, paper: &mut Paper<'_>, key: &HeldKey, next: &mut [Paper<'_>]) -> Result<Chain, Trouble> {
        let mut order = self.open(paper, None).await?;
        if order.state().status == OrderStatus::Pending {
            self.prove_control(&mut order, next).await?;
        }
        if order.state().status == OrderStatus::Ready {
            let names = &paper.record.names;
            let request = key.request(names)?;
            match order.finalize_csr(&request).await {
                Ok(()) => {}
                // A finalize whose answer was lost did its work already.
                Err(e) => match self.told(order.url(), names, e) {
                    trouble if trouble.kinds() == ["orderNotReady"] => {}
                    trouble => return Err(trouble),
                },
            }
        }
        let on = format!("the certificate authority to issue for {} ({})", paper.record.lineage, key.key_type);
        self.until(&mut order, &on, |s| s != OrderStatus::Ready && s != OrderStatus::Processing).await?;
        if order.state().status != OrderStatus::Valid {
            return Err(self.why_invalid(&mut order, paper).await);
        }
        let url = order.url().to_owned();
        let pem = order.certificate().await.map_err(|e| self.told(&url, &paper.record.names, e))?;
        let pem = pem.ok_or_else(|| Trouble::Broken { url: said(&url), says: "the order is valid and holds no certificate".into() })?;
        let chain = arrived(&pem, &paper.record.spki, &paper.record.names, world::now())?;
        paper.record.chain = Some(chain.pem.clone());
        paper.save()?;
        Ok(chain)
    }

    /// The order that was begun, as long as it can still end well, or a new one whose URL is saved at once; or `other`, where the CA
    /// has no more than one pending order of the same names (as Let's Encrypt): it stays the other paper's.
    async fn open(&self, paper: &mut Paper<'_>, other: Option<&str>) -> Result<Order, Trouble> {
        let mut replaced = paper.replaced();
        if paper.record.chain.take().is_some() {
            // Due for renewal: what came belongs to an order that is finished.
            paper.record.url = None;
        }
        paper.save()?;
        if let Some(url) = paper.record.url.clone() {
            match self.account.acme.order(url.clone()).await {
                Ok(mut order) => {
                    if order.state().status != OrderStatus::Invalid {
                        return Ok(order);
                    }
                }
                Err(e) => match self.told(&url, &paper.record.names, e) {
                    // Expired and forgotten, or of an account that the CA knows no more.
                    trouble @ Trouble::Refused(_) if trouble.kinds() != ["accountDoesNotExist"] => {}
                    Trouble::Broken { .. } if self.transport.gone() => {}
                    trouble => return Err(trouble),
                },
            }
        }
        let names: Vec<Identifier> = paper.record.names.iter().cloned().map(Identifier::Dns).collect();
        let order = loop {
            let mut new = NewOrder::new(&names);
            if let Some(profile) = &paper.record.acme_profile {
                new = new.profile(profile);
            }
            let named = replaced.take();
            let asked = named.is_some();
            if let Some(replaced) = named {
                new = new.replaces(replaced);
            }
            match self.account.acme.new_order(&new).await {
                Ok(order) => break order,
                // That it is a renewal is a courtesy: a CA that does not want to know, counts it as replaced, or stumbles over it
                // is asked without.
                Err(_) if asked => {}
                Err(e) => return Err(self.told(&paper.record.directory, &paper.record.names, e)),
            }
        };
        if other != Some(order.url()) {
            paper.record.url = Some(order.url().to_owned());
            paper.save()?;
        }
        Ok(order)
    }

    /// Answers every challenge that is still open and waits for the CA's verdict. What was put elsewhere for it goes in any case,
    /// also where somebody interrupts.
    async fn prove_control(&mut self, order: &mut Order, next: &mut [Paper<'_>]) -> Result<(), Trouble> {
        if self.answers.are_handed_over() {
            let asked = self.asked(order, ChallengeType::TlsAlpn01, |key| key.as_str().to_owned()).await?;
            self.answers.hand_over(&asked).await?;
            let proved = self.let_look(order).await;
            self.answers.take_back();
            return proved;
        }
        if self.answers.kind() != intent::ChallengeType::Dns01 {
            return self.let_look(order).await;
        }
        // The CA's resolver remembers the texts of a name for a while, so that those of the next order must be among them.
        let mut orders = Vec::new();
        for paper in next.iter_mut().filter(|paper| paper.in_hand(world::now()).is_none()) {
            orders.push(self.open(paper, Some(order.url())).await?);
        }
        orders.retain_mut(|next| next.url() != order.url() && next.state().status == OrderStatus::Pending);
        let mut all: Vec<&mut Order> = std::iter::once(order).chain(&mut orders).collect();
        let mut texts = BTreeSet::new();
        for order in &mut all {
            texts.extend(self.asked(order, ChallengeType::Dns01, KeyAuthorization::dns_value).await?);
        }
        let texts: Vec<_> = texts.into_iter().collect();
        let hold = world::hold_interrupts();
        let proved = match self.texts.show(&texts).await {
            Ok(shown) => tokio::select! {
                proved = self.let_look_at(all, &shown) => Some(proved),
                () = hold.interrupted() => None,
            },
            Err(trouble) => Some(Err(trouble)),
        };
        self.texts.withdraw().await;
        hold.end().await;
        match proved {
            Some(proved) => proved,
            None => std::future::pending().await,
        }
    }

    async fn let_look_at(&mut self, orders: Vec<&mut Order>, shown: &[Awaited]) -> Result<(), Trouble> {
        self.texts.seen_by_all(shown, self.patience).await?;
        for order in orders {
            self.let_look(order).await?;
        }
        Ok(())
    }

    /// What the CA wants to find for each name that is open still.
    async fn asked(
        &self,
        order: &mut Order,
        kind: ChallengeType,
        answer: impl Fn(&KeyAuthorization) -> String,
    ) -> Result<Vec<(DnsName, String)>, Trouble> {
        let url = order.url().to_owned();
        let told = |e| from_crate(self.transport, &url, &[], self.answers.port(), e);
        let (mut asked, mut all) = (Vec::new(), order.authorizations());
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization.map_err(told)?;
            let name = authorization.identifier().to_string();
            if let (AuthorizationStatus::Pending, Some(challenge)) = (authorization.status, authorization.challenge(kind.clone())) {
                let name = name.parse().map_err(|e: crate::name::NotADnsName| Trouble::Dns(e.to_string()))?;
                asked.push((name, answer(&challenge.key_authorization())));
            }
        }
        Ok(asked)
    }

    async fn let_look(&mut self, order: &mut Order) -> Result<(), Trouble> {
        let url = order.url().to_owned();
        let (transport, port, kind) = (self.transport, self.answers.port(), self.answers.kind());
        let told = |e| from_crate(transport, &url, &[], port, e);
        let mut open = Vec::new();
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization.map_err(told)?;
            let name = authorization.identifier().to_string();
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let offered: Vec<String> = authorization.challenges.iter().map(|c| called(&c.r#type)).collect();
            let Some(mut challenge) = authorization.challenge(asked(kind)) else {
                let says = format!("it offers no {} challenge for {name}, only {}", kind.name(), offered.join(", "));
                return Err(Trouble::Broken { url: said(&url), says });
            };
            self.answers.add(&name, &challenge.token, challenge.key_authorization().as_str())?;
            open.push(name);
            match challenge.set_ready().await {
                Ok(()) => {}
                // Answered before a kill, or failed at once: the order itself says which.
                Err(instant_acme::Error::Api(_)) => {}
                Err(e) => return Err(told(e)),
            }
        }
        let whom = if open.is_empty() { "again".into() } else { open.join(", ") };
        let on = match kind {
            intent::ChallengeType::Dns01 => format!("the certificate authority to ask the name servers of {whom}"),
            _ => format!("the certificate authority to ask {whom} on port {port}"),
        };
        self.until(order, &on, |s| s != OrderStatus::Pending).await?;
        if order.state().status == OrderStatus::Invalid {
            return Err(self.refusals(order).await);
        }
        Ok(())
    }

    /// Looks at the order until `done` holds or the patience ends.
    async fn until(&self, order: &mut Order, on: &str, done: impl Fn(OrderStatus) -> bool) -> Result<(), Trouble> {
        if done(order.state().status) {
            return Ok(());
        }
        let end = Instant::now() + self.patience;
        let _ = self.say.send(Event::Waiting { on: on.to_owned(), at_most: self.patience });
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            let url = order.url().to_owned();
            let state = order.refresh().await.map_err(|e| self.told(&url, &[], e))?;
            if done(state.status) {
                return Ok(());
            }
            pause = (pause * 3 / 2).min(LONGEST_PAUSE).max(self.transport.retry_after().unwrap_or_default());
            if Instant::now() + pause > end {
                return Err(Trouble::Late { on: on.to_owned(), after: self.patience });
            }
        }
    }

    /// Why an order that was finalized is not valid.
    async fn why_invalid(&self, order: &mut Order, paper: &Paper<'_>) -> Trouble {
        match order.state().error.clone() {
            Some(problem) => self.told(order.url(), &paper.record.names, instant_acme::Error::Api(problem)),
            None => self.refusals(order).await,
        }
    }

    /// What the CA says of each name that failed (RFC 8555 §7.1.4): its error, and the addresses that it used.
    async fn refusals(&self, order: &mut Order) -> Trouble {
        let mut all = Vec::new();
        let urls: Vec<String> = order.state().authorizations.iter().map(|a| a.url.clone()).collect();
        for url in urls {
            let value = match self.account.raw(&url).await {
                Ok(value) => value,
                Err(trouble) => return trouble,
            };
            let name = value["identifier"]["value"].as_str().map(said);
            for challenge in value["challenges"].as_array().into_iter().flatten().filter(|c| c["error"].is_object()) {
                let mut refusal = Refusal::one(&challenge["error"], name.clone(), self.answers.port());
                for used in challenge["validationRecord"].as_array().into_iter().flatten().filter_map(|r| r["addressUsed"].as_str()) {
                    if let Ok(ip) = used.parse::<IpAddr>()
                        && !refusal.reached.contains(&ip)
                    {
                        refusal.reached.push(ip);
                    }
                }
                refusal.asked_by = self.answers.asked_by();
                all.push(refusal);
            }
        }
        if all.is_empty() {
            all.push(Refusal {
                name: None,
                kind: String::new(),
                says: format!("order {} is invalid, it does not say why", said(order.url())),
                reached: Vec::new(),
                asked_by: Known::unknown("not asked for"),
                next: "run this again: a new order is made".into(),
            });
        }
        Trouble::Refused(all)
    }

    fn told(&self, url: &str, names: &[String], error: instant_acme::Error) -> Trouble {
        from_crate(self.transport, url, names, self.answers.port(), error)
    }
}

const fn asked(kind: intent::ChallengeType) -> ChallengeType {
    match kind {
        intent::ChallengeType::Http01 => ChallengeType::Http01,
        intent::ChallengeType::TlsAlpn01 => ChallengeType::TlsAlpn01,
        intent::ChallengeType::Dns01 => ChallengeType::Dns01,
    }
}

/// A kind of challenge as the CA calls it, and which of them mxseal cannot answer: one that stays in DNS, `dns-persist-01`
/// (draft-ietf-acme-dns-persist), would be another arm of [`crate::plan::Challenge`].
fn called(kind: &ChallengeType) -> String {
    match kind {
        ChallengeType::Http01 => "http-01".to_owned(),
        ChallengeType::TlsAlpn01 => "tls-alpn-01".to_owned(),
        ChallengeType::Dns01 => "dns-01".to_owned(),
        ChallengeType::Unknown(name) => format!("{} (which mxseal does not answer yet)", said(name)),
        other => format!("{other:?} (which mxseal does not answer)"),
    }
}

#[cfg(test)]
mod tests {
    /// It has no token, and must not make the others unreadable.
    #[test]
    fn a_challenge_of_another_kind_is_named() {
        let offered: Vec<instant_acme::Challenge> = serde_json::from_value(serde_json::json!([
            {"type": "dns-persist-01", "url": "https://ca.example/1", "status": "pending", "issuer-domain-names": ["ca.example"]},
            {"type": "http-01", "url": "https://ca.example/2", "status": "pending", "token": "abc"},
            {"type": "tls-alpn-01", "url": "https://ca.example/3", "status": "pending", "token": "abc"},
            {"type": "dns-01", "url": "https://ca.example/4", "status": "pending", "token": "abc"},
            {"type": "\u{1b}[2J-99", "url": "https://ca.example/5", "status": "pending"},
        ]))
        .expect("challenges");
        let called: Vec<String> = offered.iter().map(|c| super::called(&c.r#type)).collect();
        assert_eq!(called[..4], ["dns-persist-01 (which mxseal does not answer yet)", "http-01", "tls-alpn-01", "dns-01"]);
        assert!(!called[4].contains('\u{1b}'), "{}", called[4]);
    }
}
