//! The table of a policy's states: every wish from each of them, what comes next, and every refusal.

use super::*;
use crate::{facts::Security, policy::sts_policy::ENFORCE_AGE, publish::Step, topics};
use std::net::IpAddr;

const DAY: u64 = 86_400;
const TTL: u32 = 300;

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn policy(mode: Mode, max_age: u32, mx: &[&str]) -> StsPolicy {
    StsPolicy { mode, max_age, mx: mx.iter().map(|m| m.parse().unwrap()).collect() }
}

fn answer<T>(records: Vec<T>, ttl: u32) -> Known<Answer<T>> {
    Known::seen(Answer { records, security: Security::Unknown, ttl }, "dns")
}

/// What the world shows, as a test moves it on.
struct World {
    domain: DnsName,
    now: u64,
    mx: Vec<&'static str>,
    served: Option<StsPolicy>,
    /// Addresses of the policy host to which nothing leads from here.
    unasked: Vec<IpAddr>,
    id: Option<String>,
    hosts: Vec<Finding>,
    kept: Option<KeptPolicy>,
}

impl World {
    fn new(mx: &[&'static str]) -> Self {
        Self {
            domain: name("example.org"),
            now: 1_800_000_000,
            mx: mx.to_vec(),
            served: None,
            unasked: vec![],
            id: None,
            hosts: vec![],
            kept: None,
        }
    }

    fn mx(&self) -> Known<Answer<(u16, DnsName)>> {
        answer(self.mx.iter().map(|n| (10, name(n))).collect(), TTL)
    }

    fn record(&self) -> Known<Answer<Text>> {
        answer(self.id.iter().map(|id| format!("v=STSv1; id={id};").as_str().into()).collect(), TTL)
    }

    fn policy(&self) -> Option<Fetched> {
        let fetched = |p: &StsPolicy| Fetched::Policy { reading: StsPolicy::read(p.text().as_bytes()), unasked: self.unasked.clone() };
        self.served.as_ref().map(fetched)
    }

    /// A look at the world, kept.
    fn look(&mut self) -> Option<Step> {
        let (policy, record, mx, now) = (self.policy(), self.record(), self.mx(), Moment(self.now));
        self.kept = self.kept.take().map(|k| k.seen(policy.as_ref(), &record, &mx, now));
        // What is kept is kept as text.
        let copy: Option<KeptPolicy> = serde_json::from_str(&serde_json::to_string(&self.kept).unwrap()).unwrap();
        assert_eq!(copy, self.kept);
        self.kept.as_ref().map(|k| k.step(now))
    }

    /// The ids of the notes, or of the reasons why not behind an exclamation mark.
    fn wish(&mut self, wish: &PolicyWish) -> Vec<String> {
        self.look();
        let (policy, record, mx) = (self.policy(), self.record(), self.mx());
        let seen = PolicySeen { domain: &self.domain, mx: &mx, served: policy.as_ref(), record: &record, hosts: &self.hosts };
        let (mark, said) = match wished(self.kept.clone(), &seen, wish, &PolicyHost::None, Moment(self.now)) {
            Ok(Wished { kept, notes }) => {
                self.kept = Some(kept);
                ("", notes)
            }
            Err(why) => {
                assert!(why.iter().all(|f| f.remedy != Remedy::None || f.id == "dns-not-ours" || f.id == "mta-sts-not-served"), "{why:#?}");
                ("!", why)
            }
        };
        assert!(said.iter().all(|f| topics::topic(&f.id).is_some()), "{said:#?}");
        said.iter().map(|f| format!("{mark}{}", f.id)).collect()
    }

    /// Does what the step says, as the admin would; gives the word of it.
    fn go(&mut self) -> &'static str {
        match self.look() {
            None => "nothing",
            Some(Step::Serve) => {
                self.served = self.kept.as_ref().map(|k| k.policy.clone());
                "serve"
            }
            Some(Step::Announce(record)) => {
                self.id = Some(record.id);
                "announce"
            }
            Some(Step::Wait { until, .. }) => {
                assert!(until.0 > self.now);
                self.now = until.0;
                "wait"
            }
            Some(Step::Withdraw) => {
                self.id = None;
                "withdraw"
            }
            Some(Step::Close) => {
                (self.served, self.kept) = (None, None);
                "close"
            }
            Some(Step::Stands) => "stands",
        }
    }

    fn tried(mx: &[&'static str]) -> Self {
        let mut world = Self::new(mx);
        assert_eq!(world.wish(&PolicyWish::Testing { weaken: false }), Vec::<String>::new());
        assert_eq!([world.go(), world.go(), world.go()], ["serve", "announce", "stands"]);
        world
    }

    fn enforced(mx: &[&'static str]) -> Self {
        let mut world = Self::tried(mx);
        world.now += 15 * DAY;
        assert_eq!(world.wish(&PolicyWish::Enforce { max_age: ENFORCE_AGE }), Vec::<String>::new());
        assert_eq!([world.go(), world.go(), world.go()], ["serve", "announce", "stands"]);
        world
    }

    fn against(mut self, id: &str, verdict: Verdict, host: &str) -> Self {
        self.hosts = vec![Finding::new(id, verdict, Subject::Mx(name(host)), "x").remedy(Remedy::Do("y".into()))];
        self
    }
}

#[test]
fn a_policy_is_tried_then_binds_then_is_left_in_the_order_that_loses_no_mail() {
    let mut world = World::enforced(&["mx.example.org"]);
    let kept = world.kept.clone().unwrap();
    assert_eq!(kept.policy, policy(Mode::Enforce, ENFORCE_AGE, &["mx.example.org"]));
    let ended = world.now;
    assert_eq!(world.wish(&PolicyWish::Leave), Vec::<String>::new());
    // Nobody sees the record go while somebody believes the old policy.
    assert_eq!([world.go(), world.go()], ["serve", "announce"]);
    assert_eq!(world.served.as_ref().map(|p| p.mode), Some(Mode::None));
    assert!(matches!(world.look(), Some(Step::Wait { until, .. }) if until.0 == ended + u64::from(ENFORCE_AGE)), "{:?}", world.look());
    assert_eq!([world.go(), world.go(), world.go(), world.go(), world.go()], ["wait", "withdraw", "wait", "close", "nothing"]);
}

#[test]
fn the_longest_that_was_ever_served_counts() {
    let mut world = World::new(&["mx.example.org"]);
    // Served by somebody else, for ten weeks.
    world.served = Some(policy(Mode::Enforce, 70 * 86_400, &["mx.example.org"]));
    world.id = Some("theirs".into());
    assert_eq!(world.wish(&PolicyWish::Leave), Vec::<String>::new());
    world.now += DAY;
    assert!(matches!(world.look(), Some(Step::Serve)));
    // It is served for as long as nobody replaces it.
    let believed = |w: &World| w.kept.as_ref().unwrap().believed(Moment(w.now)).map(|m| (m.0 - w.now) / DAY);
    assert_eq!(believed(&world), Some(70));
    assert_eq!([world.go(), world.go()], ["serve", "announce"]);
    world.now += 10 * DAY;
    world.look();
    assert_eq!(believed(&world), Some(60));
    // A drift back to it begins the count anew.
    world.served = Some(policy(Mode::Enforce, 70 * 86_400, &["mx.example.org"]));
    assert!(matches!(world.look(), Some(Step::Serve)));
    assert_eq!(believed(&world), Some(70));
}

#[test]
fn where_an_address_is_out_of_reach_another_policy_is_announced_by_hand() {
    let mut world = World::new(&["mx.example.org"]);
    world.unasked = vec!["2001:db8::1".parse().unwrap()];
    // Nobody can take an old policy for the first one.
    assert_eq!(world.wish(&PolicyWish::Testing { weaken: false }), Vec::<String>::new());
    assert_eq!([world.go(), world.go(), world.go()], ["serve", "announce", "stands"]);
    world.now += 15 * DAY;
    assert_eq!(world.wish(&PolicyWish::Enforce { max_age: ENFORCE_AGE }), ["mta-sts-untold"]);
    assert_eq!([world.go(), world.go()], ["serve", "serve"]);
    world.id = world.kept.as_ref().map(|k| k.policy.record().id);
    assert_eq!(world.go(), "stands");
    // And so is its end; or it is seen from a host that reaches all.
    assert_eq!(world.wish(&PolicyWish::Leave), Vec::<String>::new());
    assert_eq!([world.go(), world.go()], ["serve", "serve"]);
    assert!(world.kept.as_ref().unwrap().before.iter().any(|b| b.last.is_none()));
    world.unasked.clear();
    assert_eq!([world.go(), world.go()], ["announce", "wait"]);
}

#[test]
fn what_binds_senders_is_not_weakened_by_the_way() {
    let mut world = World::enforced(&["mx.example.org"]);
    assert_eq!(world.wish(&PolicyWish::Testing { weaken: false }), ["!mta-sts-weaker"]);
    assert_eq!(world.wish(&PolicyWish::Testing { weaken: true }), Vec::<String>::new());
    assert_eq!(world.kept.as_ref().unwrap().policy.mode, Mode::Testing);

    // Nor is one of somebody else, and its age stays or grows.
    let mut world = World::new(&["mx.example.org"]);
    world.served = Some(policy(Mode::Enforce, 2_000_000, &["*.example.org"]));
    world.id = Some("theirs".into());
    assert_eq!(world.wish(&PolicyWish::Testing { weaken: false }), ["!mta-sts-weaker"]);
    assert_eq!(world.wish(&PolicyWish::Enforce { max_age: ENFORCE_AGE }), Vec::<String>::new());
    assert_eq!(world.kept.as_ref().unwrap().policy, policy(Mode::Enforce, 2_000_000, &["*.example.org"]));
    assert_eq!(world.wish(&PolicyWish::Enforce { max_age: 3_000_000 }), Vec::<String>::new());
    assert_eq!(world.kept.as_ref().unwrap().policy.max_age, 3_000_000);
}

#[test]
fn a_policy_does_not_bind_while_anything_is_wrong_or_unknown() {
    let tried = || World::tried(&["mx.example.org"]);
    let table: Vec<(&str, World, &[&str])> = vec![
        ("never tried", World::new(&["mx.example.org"]), &["!mta-sts-not-tried"]),
        ("young", tried(), &["mta-sts-young"]),
        ("not served any more", World { served: None, ..tried() }, &["!mta-sts-not-served"]),
        ("another is served", World { served: Some(policy(Mode::Testing, 5, &["x.example.org"])), ..tried() }, &["!mta-sts-served-other"]),
        ("not announced", World { id: None, ..tried() }, &["!mta-sts-not-announced"]),
        ("a new MX host", World { mx: vec!["mx.example.org", "mx2.example.org"], ..tried() }, &["!mta-sts-uncovered"]),
        ("no MX host", World { mx: vec![], ..tried() }, &["!dns-not-ours"]),
        ("a host that fails", tried().against("mta-sts-mx-unfit", Verdict::Fail, "mx.example.org"), &["!mta-sts-mx-unfit"]),
        (
            "a host that nobody reached",
            tried().against("mta-sts-mx-unreached", Verdict::Unknown, "mx.example.org"),
            &["!mta-sts-mx-unreached"],
        ),
        (
            "a host of which one address is silent",
            tried().against("mta-sts-mx-partly", Verdict::Warn, "mx.example.org"),
            &["mta-sts-mx-partly", "mta-sts-young"],
        ),
        (
            "several at once",
            World { id: None, mx: vec!["other.example.org"], ..tried() },
            &["!mta-sts-not-announced", "!mta-sts-uncovered"],
        ),
    ];
    for (what, mut world, expected) in table {
        let before = world.kept.as_ref().map(|k| k.policy.clone());
        assert_eq!(world.wish(&PolicyWish::Enforce { max_age: ENFORCE_AGE }), *expected, "{what}");
        let bound = world.kept.as_ref().is_some_and(|k| k.policy.mode == Mode::Enforce);
        assert_eq!(bound, !expected.iter().any(|e| e.starts_with('!')), "{what}");
        assert!(bound || world.kept.map(|k| k.policy) == before, "{what}");
    }
}

#[test]
fn a_host_enters_the_policy_before_dns_and_leaves_it_after() {
    let mut world = World::enforced(&["mx.example.org"]);
    let (new, old) = (name("mx2.example.org"), name("mx.example.org"));
    // Named only where senders would deliver to it.
    let mut refused =
        World { hosts: vec![], ..World::enforced(&["mx.example.org"]) }.against("mta-sts-mx-unfit", Verdict::Fail, "mx2.example.org");
    assert_eq!(refused.wish(&PolicyWish::Add(new.clone())), ["!mta-sts-mx-unfit"]);
    let mut testing = World::tried(&["mx.example.org"]).against("mta-sts-mx-unfit", Verdict::Fail, "mx2.example.org");
    assert_eq!(testing.wish(&PolicyWish::Add(new.clone())), ["mta-sts-mx-unfit"]);

    assert_eq!(world.wish(&PolicyWish::Add(new.clone())), Vec::<String>::new());
    assert!(world.kept.as_ref().unwrap().may_enter().is_none());
    assert_eq!([world.go(), world.go()], ["serve", "announce"]);
    let announced = world.now;
    assert!(matches!(world.look(), Some(Step::Wait { until, .. }) if until.0 == announced + u64::from(TTL)), "{:?}", world.look());
    assert_eq!([world.go(), world.go()], ["wait", "stands"]);
    world.mx = vec!["mx.example.org", "mx2.example.org"];
    assert_eq!(world.go(), "stands");

    assert_eq!(world.wish(&PolicyWish::Remove(old.clone())), ["!mta-sts-mx-used"], "MX has it");
    world.mx = vec!["mx2.example.org"];
    assert_eq!(world.wish(&PolicyWish::Remove(old.clone())), ["!mta-sts-mx-used"], "caches have it");
    world.now += 3599;
    assert_eq!(world.wish(&PolicyWish::Remove(old.clone())), ["!mta-sts-mx-used"], "caches have it");
    world.now += 1;
    assert_eq!(world.wish(&PolicyWish::Remove(old)), Vec::<String>::new());
    assert_eq!(world.kept.as_ref().unwrap().policy, policy(Mode::Enforce, ENFORCE_AGE, &["mx2.example.org"]));
    assert_eq!(world.wish(&PolicyWish::Remove(new)), ["!mta-sts-mx-used"], "MX has it, and it is the last");
}

#[test]
fn without_a_policy_there_is_nothing_to_leave_or_to_walk() {
    for (wish, expected) in [
        (PolicyWish::Leave, "!mta-sts-not-served"),
        (PolicyWish::Add(name("mx2.example.org")), "!mta-sts-not-tried"),
        (PolicyWish::Remove(name("mx2.example.org")), "!mta-sts-not-tried"),
    ] {
        assert_eq!(World::new(&["mx.example.org"]).wish(&wish), [expected], "{wish:?}");
    }
    assert_eq!(World::new(&[]).wish(&PolicyWish::Testing { weaken: false }), ["!dns-not-ours"]);
}
