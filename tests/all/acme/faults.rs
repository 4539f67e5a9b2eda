//! A CA behind a bad line, and an errand that is killed.

use super::*;
use crate::lab::{
    dns::{Dns, Signed},
    front::{Fate, Front},
    pebble::YEARS,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

fn behind(front: &Front, bench: &Bench) -> Net {
    net(&front.api_ca, bench.pebble.http_port)
}

#[test]
fn every_third_request_fails_in_another_way() {
    const BAD: [Fate; 4] = [Fate::Page(503, None), Fate::Cut, Fate::Lose, Fate::Page(502, Some("1"))];
    for offset in 1..4 {
        let bench = Bench::new(&Options::default());
        let front =
            Front::start(&bench.pebble, YEARS, move |n, _| if n % 3 == offset % 3 { BAD[(n / 3 + offset) % 4] } else { Fate::Pass });
        let wanted = order(&front.directory, ECDSA, &[MX, "a.example.test"]);
        let lineage = on_a_runtime(acme::obtain(&behind(&front, &bench), &bench.store, &wanted, &wishes(), &Nobody));
        let lineage = lineage.unwrap_or_else(|e| panic!("{offset}: {e}\n{:#?}", front.requests.lock().unwrap()));
        sound(&bench, &lineage, ECDSA, &[MX, "a.example.test"]);
        assert_eq!(bench.pebble.issued(), 1, "{offset}: one certificate, whatever was lost");
    }
}

#[test]
fn a_rate_limit_is_named_and_never_slept_through() {
    for (status, after, patient) in [(429, Some("3600"), false), (503, Some("3600"), false), (429, None, false), (429, Some("1"), true)] {
        let bench = Bench::new(&Options::default());
        let once = Mutex::new(true);
        let front = Front::start(&bench.pebble, YEARS, move |_, line| {
            if line.contains("order-plz") && (!patient || std::mem::take(&mut *once.lock().unwrap())) {
                Fate::Page(status, after)
            } else {
                Fate::Pass
            }
        });
        let wanted = order(&front.directory, ECDSA, &[MX]);
        let began = Instant::now();
        let result = on_a_runtime(acme::obtain(&behind(&front, &bench), &bench.store, &wanted, &wishes(), &Nobody));
        match (patient, result) {
            (true, Ok(_)) => assert!(began.elapsed() >= Duration::from_secs(1)),
            (false, Err(Trouble::RateLimited { until, says })) => {
                assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
                assert!(says.contains("We'll be back"), "{says}");
                let rest = until.map(|u| u.since(mxseal::world::now()).as_secs());
                assert!(after.is_none() == until.is_none() && rest.is_none_or(|r| (3500..=3600).contains(&r)), "{until:?}");
            }
            (_, other) => panic!("{status} {after:?}: {other:?}"),
        }
    }
}

#[test]
fn a_ca_that_records_forbid_is_not_asked() {
    let dns = Dns::start(&[
        ("open.test", "mx A 127.0.0.1", Signed::No),
        ("ours.test", "@ CAA 0 issue \"ca.example\"\nmx A 127.0.0.1", Signed::Yes),
        ("theirs.test", "@ CAA 0 issue \"ca.example\"\nmx A 127.0.0.1\nmx CAA 0 issue \"other.example\"", Signed::Yes),
    ]);
    for (name, permitted) in [("mx.open.test", true), ("mx.ours.test", true), ("mx.theirs.test", false)] {
        let bench = Bench::new(&Options::default());
        let front = Front::start(&bench.pebble, YEARS, |_, line| match line {
            "GET /dir" => Fate::CalledInCaa("ca.example"),
            _ => Fate::Pass,
        });
        let net = Net { resolver: Some(dns.resolver), ..behind(&front, &bench) };
        let wanted = order(&front.directory, ECDSA, &[name]);
        let result = on_a_runtime(acme::obtain(&net, &bench.store, &wanted, &wishes(), &Nobody));
        match (permitted, result) {
            (true, Ok(_)) => assert_eq!(bench.pebble.issued(), 1),
            (false, Err(Trouble::Caa { governing, .. })) => {
                assert_eq!(governing, ["0 issue \"other.example\""]);
                assert_eq!(*front.requests.lock().unwrap(), ["GET /dir"], "nothing but its directory is read");
            }
            (_, other) => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_half_done_errand_orders_the_other_half_only() {
    let bench = Bench::new(&Options::default());
    let (limited, orders) = (Arc::new(AtomicBool::new(true)), Mutex::new(0));
    let limit = limited.clone();
    let front = Front::start(&bench.pebble, YEARS, move |_, line| {
        let mut orders = orders.lock().unwrap();
        *orders += usize::from(line.contains("order-plz"));
        if *orders > 1 && line.contains("order-plz") && limit.load(Ordering::SeqCst) { Fate::Page(429, Some("3600")) } else { Fate::Pass }
    });
    let (net, wanted) = (behind(&front, &bench), order(&front.directory, BOTH, &[MX]));
    let obtain = || on_a_runtime(acme::obtain(&net, &bench.store, &wanted, &wishes(), &Nobody));
    let refused = obtain().unwrap_err();
    assert!(matches!(refused, Trouble::RateLimited { .. }), "{refused}");
    let half = acme::load_lineages(&bench.store).unwrap().remove(0);
    assert_eq!((half.bundle, half.deployment, bench.pebble.issued()), (None, Deployment::Ordered, 1));
    limited.store(false, Ordering::SeqCst);
    let whole = obtain().unwrap();
    sound(&bench, &whole, BOTH, &[MX]);
    assert_eq!(bench.pebble.issued(), 2);
    let keys = |l: &[mxseal::facts::LineageKey]| l.iter().map(|k| k.spki.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&whole.keys), keys(&half.keys), "the keys of the first run");
}

#[test]
fn a_ca_that_stays_down_ends_the_errand_in_time() {
    let bench = Bench::new(&Options::default());
    let front = Front::start(&bench.pebble, YEARS, |n, _| if n > 3 { Fate::Page(500, None) } else { Fate::Pass });
    let wanted = order(&front.directory, ECDSA, &[MX]);
    let began = Instant::now();
    let hasty = Wishes { at_most: Duration::from_secs(2), ..wishes() };
    let late = on_a_runtime(acme::obtain(&behind(&front, &bench), &bench.store, &wanted, &hasty, &Nobody)).unwrap_err();
    assert!(matches!(late, Trouble::Late { .. }), "{late}");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[test]
fn dates_that_do_not_fit_blame_the_right_clock() {
    let bench = Bench::new(&Options::default());
    for (years, fate) in [((2000, 2001), Fate::Pass), ((2900, 3000), Fate::Pass), ((2000, 2001), Fate::Tomorrow)] {
        let front = Front::start(&bench.pebble, years, move |_, _| fate);
        let wanted = order(&front.directory, ECDSA, &[MX]);
        let refused = on_a_runtime(acme::obtain(&behind(&front, &bench), &bench.store, &wanted, &wishes(), &Nobody)).unwrap_err();
        match (fate, &refused) {
            (Fate::Pass, Trouble::Untrusted { .. }) => assert!(refused.to_string().contains("its operator must renew it"), "{refused}"),
            (Fate::Tomorrow, Trouble::Clock { ahead, .. }) => {
                assert!((-172_805..-172_700).contains(ahead), "{refused}");
                assert!(refused.to_string().contains("timedatectl"), "{refused}");
            }
            _ => panic!("{years:?} {fate:?}: {refused}"),
        }
    }
}

#[test]
fn a_ca_that_forgot_the_account_gets_the_same_key_again() {
    let mut bench = Bench::new(&Options::default());
    let port = |url: &str| url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned();
    let mut wanted = bench.order(ECDSA, &[MX]);
    bench.obtain(&wanted, &wishes()).unwrap();
    // The same Store meets a CA without a memory: accounts are by directory URL, so the record is given the new one's.
    let accounts = bench.store.list("accounts").unwrap();
    let was = port(&bench.pebble.directory);
    let key = std::fs::read(bench.store.path(format!("accounts/{}", accounts.iter().find(|a| a.ends_with(".key")).unwrap()))).unwrap();
    bench.pebble = Pebble::start(&Options { http_port: Some(bench.pebble.http_port), ..Options::default() });
    bench.net = net(&bench.pebble.api_ca, bench.pebble.http_port);
    wanted.directory.clone_from(&bench.pebble.directory);
    let is = port(&bench.pebble.directory);
    let slug = |directory: &str| format!("accounts/localhost-{}-{}", port(directory), Digest::of(directory.as_bytes()).short());
    let record =
        std::fs::read_to_string(bench.store.path(format!("accounts/{}", accounts.iter().find(|a| a.ends_with(".json")).unwrap()))).unwrap();
    bench.store.save_bytes(format!("{}.key", slug(&wanted.directory)), &key).unwrap();
    bench.store.save_bytes(format!("{}.json", slug(&wanted.directory)), record.replace(&was, &is).as_bytes()).unwrap();
    bench.obtain(&wanted, &wishes()).unwrap();
    assert_eq!(std::fs::read(bench.store.path(format!("{}.key", slug(&wanted.directory)))).unwrap(), key);
    assert_eq!(bench.pebble.issued(), 1);
}

/// Runs an errand and lets it vanish after so many steps, as a kill does: nothing of it runs any more, not even its
/// clean-up. Says whether it came to its end before.
fn killed_after(bench: &Bench, store: &Store, wanted: &Obtain, steps: usize) -> bool {
    let wishes = wishes();
    on_a_runtime(async {
        let mut errand = Box::pin(acme::obtain(&bench.net, store, wanted, &wishes, &Nobody));
        let mut left = steps;
        let ended = std::future::poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            errand.as_mut().poll(cx).map(|r| r.map(|_| true).unwrap())
        })
        .await;
        std::mem::forget(errand);
        ended
    })
}

#[test]
fn killed_at_any_step_it_goes_on_and_one_certificate_is_issued() {
    let bench = Bench::new(&Options::default());
    let wanted = bench.order(ECDSA, &[MX]);
    let (mut steps, mut twice) = (1, 0);
    loop {
        let store = Store::open(bench.dir.path().join(format!("state{steps}"))).unwrap();
        let (orders, issued) = (bench.pebble.orders(), bench.pebble.issued());
        let ended = killed_after(&bench, &store, &wanted, steps);
        let lineage = on_a_runtime(acme::obtain(&bench.net, &store, &wanted, &wishes(), &Nobody))
            .unwrap_or_else(|e| panic!("after a kill at step {steps}: {e}"));
        let keys = store.list(format!("lineages/{MX}")).unwrap();
        assert!(lineage.bundle.is_some() && keys.iter().filter(|k| k.ends_with(".key")).count() <= 2, "{keys:?}");
        let (orders, issued) = (bench.pebble.orders() - orders, bench.pebble.issued() - issued);
        assert_eq!(issued, 1, "killed at step {steps}");
        // A second order is due only where the CA took the first and we died before its URL came, or where it asked for the
        // answer after our death and found nobody.
        assert!(orders <= 2, "{orders} orders, killed at step {steps}");
        twice += orders - 1;
        if ended {
            break;
        }
        steps += 1;
    }
    assert!(steps > 15, "only {steps} steps");
    // A slow CA takes more steps to ask.
    assert!(twice * 2 < steps, "{twice} of {steps} kills led to a second order");
}
