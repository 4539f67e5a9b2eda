//! The certificate errand (RFC 8555): from names and keys to a chain for each, from any CA.
//!
//! Everything that a later run needs is in the Store before the CA hears of it: the account's key before the account, the
//! certificate's key and the order's description before the order, its URL as soon as it is known, the chain as soon as it
//! came. A kill repeats the errand, and the repeat finds what there is.

mod account;
mod adopted;
mod bad_news;
mod caa;
mod challenge;
mod clock;
mod dns_01;
mod jws;
mod keys;
mod lineage;
mod next;
mod order;
mod paper;
mod tls_alpn;
mod transport;
mod window;

pub use account::{Directory, eab_key, has_account};
pub use adopted::adopt;
pub use bad_news::{Refusal, Trouble};
pub use clock::clock_off;
pub use dns_01::texts_left;
pub use lineage::{load_lineage, load_lineages, mark};
pub use next::{certify_next, forget_former, left, next_of, promote};
pub use window::{ask_windows, read_window};

use crate::{
    certificate::{Digest, KeyType},
    facts::{Deployment, Lineage, LineageKey, NextKey},
    plan::{Challenge, Obtain},
    publish::publisher::Publishers,
    report::observer::{Event, Nobody, Observer},
    world::{self, Net, Store},
};
use account::{Account, saved_key};
use challenge::Answers;
use dns_01::Texts;
use keys::HeldKey;
use order::Driver;
use paper::{Chain, Paper};
use std::{fmt, future::Future, io, time::Duration};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use transport::Transport;
use zeroize::Zeroizing;

type Say = UnboundedSender<Event>;

/// What the admin says about the account and the challenge.
#[derive(Clone)]
pub struct Wishes {
    /// Where the CA may write to; `None` gives no contact.
    pub email: Option<String>,
    /// The CA's terms of service are agreed to.
    pub agree_tos: bool,
    /// Key id and HMAC key (raw, see [`eab_key`]) of an account elsewhere.
    pub eab: Option<(String, Zeroizing<Vec<u8>>)>,
    /// How the CA is shown that the names are ours.
    pub challenge: Challenge,
    /// Who publishes what the CA looks for in DNS.
    pub publishers: Publishers,
    /// No single wait is longer; a rate limit that ends later is an error that says when.
    pub patience: Duration,
    /// The whole errand is not longer.
    pub at_most: Duration,
}

impl Default for Wishes {
    fn default() -> Self {
        Self {
            email: None,
            agree_tos: false,
            eab: None,
            challenge: Challenge::Listen,
            publishers: Publishers::default(),
            patience: Duration::from_secs(90),
            at_most: Duration::from_secs(600),
        }
    }
}

impl fmt::Debug for Wishes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kid = self.eab.as_ref().map(|(kid, _)| kid);
        write!(f, "Wishes {{ email: {:?}, agree_tos: {}, eab: {kid:?}, challenge: {:?} }}", self.email, self.agree_tos, self.challenge)
    }
}

/// Gets a certificate for every key of `order`, and keeps keys, chains and the bundle of both in the Store. What is in
/// hand and not due is not ordered again.
///
/// # Errors
/// The admin's sentence with the next step. Whatever was reached stays in the Store, and the same call goes on from there.
pub async fn obtain(net: &Net, store: &Store, order: &Obtain, wishes: &Wishes, observer: &dyn Observer) -> Result<Lineage, Trouble> {
    watched(observer, wishes.at_most, async |say: &Say| {
        let own = load_lineage(store, &order.lineage)?;
        let keys =
            order.keys.iter().map(|choice| HeldKey::of(store, &order.lineage, own.as_ref(), choice)).collect::<Result<Vec<_>, _>>()?;
        let mut lineage = begun(store, order, own, &keys)?;
        let chains = match all_in_hand(store, order, &keys)? {
            Some(chains) => chains,
            None => issue(net, store, order, wishes, &keys, say).await?,
        };
        finish(store, order, &mut lineage, &keys, &chains)?;
        look_ahead(store, &mut lineage)?;
        Ok(lineage)
    })
    .await
}

/// With a clock that is further from the CA's nothing is ordered.
const CLOCK_LIMIT: Duration = Duration::from_secs(86_400);

/// Whether a directory can be asked at all: nothing secret goes to a URL without TLS.
///
/// # Errors
/// What is wrong with the URL.
pub fn check_directory(url: &str) -> Result<(), Trouble> {
    transport::usable(url).map(drop)
}

/// What a CA says of itself: its terms of service, who it is in CAA records, its profiles, the time.
///
/// # Errors
/// When it cannot be reached, is not to be trusted, or is no CA.
pub async fn terms(net: &Net, directory: &str) -> Result<Directory, Trouble> {
    watched(&Nobody, Duration::from_secs(60), async |say: &Say| {
        Directory::fetch(&Transport::new(net, Duration::from_secs(5), say.clone())?, directory).await
    })
    .await
}

/// Orders, one a key: ECDSA first, so that a CA that reuses authorizations validates once.
async fn issue(net: &Net, store: &Store, order: &Obtain, wishes: &Wishes, keys: &[HeldKey], say: &Say) -> Result<Vec<Chain>, Trouble> {
    let transport = Transport::new(net, wishes.patience, say.clone())?;
    let _ = say.send(Event::Started(format!("ask {}", order.directory)));
    let directory = Directory::fetch(&transport, &order.directory).await?;
    let _ = say.send(Event::Done("it answers".into()));
    // What is due and what is good is judged by this clock, and CAs count what they issue.
    if let Some(ahead) = directory.clock_off.value().copied().filter(|off| off.unsigned_abs() > CLOCK_LIMIT.as_secs()) {
        return Err(Trouble::Clock { why: "nothing was ordered".into(), ahead, now: world::now() });
    }
    if let Some(asked) = order.acme_profile.as_ref().filter(|p| !directory.profiles.contains_key(*p)) {
        let offered = directory.profiles.into_keys().collect();
        return Err(Trouble::Profile { directory: order.directory.clone(), asked: asked.clone(), offered });
    }
    caa::check(net, &directory.caa_identities, &order.names, wishes.challenge.kind()).await?;
    let mut account = Account::join(&transport, store, &directory, wishes, say, false).await?;
    let mut answers = Answers::new(wishes.challenge.clone(), net);
    Texts::new(net, store, &wishes.publishers, say).withdraw().await;
    let account_key = account.thumbprint();
    let mut papers = keys.iter().map(|key| Paper::of(store, order, key, &account_key)).collect::<Result<Vec<_>, _>>()?;
    let mut chains = Vec::new();
    for (place, key) in keys.iter().enumerate() {
        let [paper, next @ ..] = &mut papers[place..] else { break };
        if let Some(chain) = paper.in_hand(world::now()) {
            chains.push(chain);
            continue;
        }
        let _ = say.send(Event::Started(format!("certificate for {} ({})", order.lineage, key.key_type)));
        let mut forgotten = false;
        let chain = loop {
            let texts = Texts::new(net, store, &wishes.publishers, say);
            let mut driver =
                Driver { account: &account, transport: &transport, answers: &mut answers, texts, say, patience: wishes.patience };
            match driver.drive(paper, key, next).await {
                // A CA that lost its accounts gets the same key once more.
                Err(trouble) if !forgotten && trouble.kinds() == ["accountDoesNotExist"] => {
                    forgotten = true;
                    account = Account::join(&transport, store, &directory, wishes, say, true).await?;
                }
                ended => break ended?,
            }
        };
        let _ = say.send(Event::Done(format!("valid until {}", chain.leaf.not_after.day())));
        chains.push(chain);
    }
    Paper::keep_only(store, order.lineage.as_str(), &papers)?;
    Ok(chains)
}

/// The chain of every key, when nothing has to be asked of anybody.
fn all_in_hand(store: &Store, order: &Obtain, keys: &[HeldKey]) -> Result<Option<Vec<Chain>>, Trouble> {
    let Some(signer) = saved_key(store, &order.directory)? else { return Ok(None) };
    let account = signer.thumbprint();
    let mut chains = Vec::new();
    for key in keys {
        match Paper::of(store, order, key, &account)?.in_hand(world::now()) {
            Some(chain) => chains.push(chain),
            None => return Ok(None),
        }
    }
    Ok(Some(chains))
}

/// The lineage with every key in it that is about to be ordered: after a kill the same keys are ordered.
fn begun(store: &Store, order: &Obtain, own: Option<Lineage>, keys: &[HeldKey]) -> Result<Lineage, Trouble> {
    let was = own.clone();
    let mut lineage = own.unwrap_or_else(|| Lineage {
        directory: order.directory.clone(),
        acme_profile: order.acme_profile.clone(),
        ..Lineage::begun(order.lineage.clone(), order.live.clone())
    });
    for key in keys {
        if !lineage.keys.iter().any(|k| k.spki == key.spki) {
            lineage.keys.push(LineageKey { key_type: key.key_type, spki: key.spki.clone(), leaf: None, bundle: None, window: None });
        }
    }
    if was.as_ref() != Some(&lineage) {
        lineage::save(store, &lineage)?;
    }
    Ok(lineage)
}

/// The lineage as it is when every chain of an order came.
fn finish(store: &Store, order: &Obtain, lineage: &mut Lineage, keys: &[HeldKey], chains: &[Chain]) -> Result<(), Trouble> {
    let was = lineage.clone();
    stored(store, lineage, keys, chains)?;
    lineage.directory.clone_from(&order.directory);
    lineage.acme_profile.clone_from(&order.acme_profile);
    lineage.live.clone_from(&order.live);
    lineage.adopted.clear();
    Ok(replace(store, &was, lineage)?)
}

/// The lineage as it is now, in the place of what it was.
fn replace(store: &Store, was: &Lineage, lineage: &Lineage) -> io::Result<()> {
    if lineage != was {
        lineage::save(store, lineage)?;
        // They hold keys, and nobody reads them again.
        bundles(was).filter(|old| bundles(lineage).all(|new| new != *old)).try_for_each(|old| store.forget(old))?;
    }
    Ok(())
}

/// Key and chain of each type in an object, and all in one, ECDSA first; the lineage names them.
fn stored(store: &Store, lineage: &mut Lineage, keys: &[HeldKey], chains: &[Chain]) -> Result<(), Trouble> {
    let mut issued: Vec<(&HeldKey, &Chain)> = keys.iter().zip(chains).collect();
    issued.sort_by_key(|(key, _)| key.key_type);
    let (mut bytes, mut keys) = (Zeroizing::new(Vec::new()), Vec::new());
    for (key, chain) in &issued {
        let one = Zeroizing::new([key.pem.as_bytes(), chain.pem.as_bytes()].concat());
        bytes.extend_from_slice(&one);
        // A window is about one certificate.
        let window = lineage.keys.iter().find(|k| k.leaf.as_ref() == Some(&chain.leaf)).and_then(|k| k.window.clone());
        let (leaf, bundle) = (Some(chain.leaf.clone()), Some(store.put(&one)?));
        keys.push(LineageKey { key_type: key.key_type, spki: key.spki.clone(), leaf, bundle, window });
    }
    let bundle = store.put(&bytes)?;
    if lineage.bundle.as_ref() != Some(&bundle) {
        lineage.bundle = Some(bundle);
        lineage.deployment = Deployment::Issued;
    }
    lineage.keys = keys;
    Ok(())
}

/// For every key the one that follows it, made now: DANE senders must know it long before it is used (RFC 7671 §8.1).
fn look_ahead(store: &Store, lineage: &mut Lineage) -> Result<(), Trouble> {
    if make_next(store, lineage)? {
        lineage::save(store, lineage)?;
    }
    Ok(())
}

/// Whether any had to be made.
fn make_next(store: &Store, lineage: &mut Lineage) -> Result<bool, Trouble> {
    let before = lineage.next.len();
    for key_type in lineage.keys.iter().map(|k| k.key_type).filter(|t| *t != KeyType::Other).collect::<Vec<_>>() {
        if lineage.next.iter().all(|n| n.key_type != key_type) {
            lineage.next.push(NextKey { key_type, spki: HeldKey::made(store, &lineage.name, key_type)?.spki });
        }
    }
    Ok(lineage.next.len() > before)
}

fn bundles(lineage: &Lineage) -> impl Iterator<Item = &Digest> {
    std::iter::once(lineage)
        .chain(lineage.successor.as_deref())
        .flat_map(|l| l.bundle.iter().chain(l.keys.iter().filter_map(|k| k.bundle.as_ref())))
}

/// Runs `work` within its bound and tells the observer what it says, as it says it.
async fn watched<T>(observer: &dyn Observer, at_most: Duration, work: impl AsyncFnOnce(&Say) -> Result<T, Trouble>) -> Result<T, Trouble> {
    let (say, mut heard) = unbounded_channel();
    let mut on = String::from("the certificate authority");
    let end = tokio::time::sleep(at_most);
    let work = work(&say);
    tokio::pin!(work, end);
    let result = std::future::poll_fn(|cx| {
        let result = work.as_mut().poll(cx);
        while let std::task::Poll::Ready(Some(event)) = heard.poll_recv(cx) {
            match &event {
                Event::Waiting { on: what, .. } | Event::Started(what) => on.clone_from(what),
                _ => {}
            }
            observer.see(event);
        }
        if result.is_pending() && end.as_mut().poll(cx).is_ready() {
            return std::task::Poll::Ready(Err(Trouble::Late { on: on.clone(), after: at_most }));
        }
        result
    });
    result.await
}
