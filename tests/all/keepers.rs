//! Certificates that lego, dehydrated and acme.sh keep, by their own commands on a booted stock host: adopted, renewed there and
//! taken in by the very line that the plan shows, taken over, and put back.

use crate::lab::{
    host::{Host, differences, text},
    internet::{DIRECTORY, Internet},
    renewal::{ids, renew, served},
    setup::{SNAKE_OIL, VERIFIED, contents, outcome, setup},
};
use mxseal::certificate::Certificate;
use serde_json::Value;

const NAME: &str = "mx1.example.test";

/// A program that keeps certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Lego,
    Dehydrated,
    AcmeSh,
}

impl Keeper {
    const fn name(self) -> &'static str {
        match self {
            Self::Lego => "lego",
            Self::Dehydrated => "dehydrated",
            Self::AcmeSh => "acme.sh",
        }
    }

    /// Where it keeps them.
    const fn folder(self) -> &'static str {
        match self {
            Self::Lego => "/root/.lego/certificates",
            Self::Dehydrated => "/var/lib/dehydrated/certs",
            Self::AcmeSh => "/root/.acme.sh/mx1.example.test_ecc",
        }
    }

    /// The line that its timer or cron runs, with `more` behind it.
    fn renews(self, more: &str) -> String {
        match self {
            Self::Lego => format!("{} renew --no-random-sleep {more}", lego()),
            Self::Dehydrated => format!("dehydrated --cron {more}"),
            Self::AcmeSh => format!("\"/root/.acme.sh\"/acme.sh --cron --home \"/root/.acme.sh\" {more}"),
        }
    }

    /// The first certificate, and a line of cron that renews it.
    fn begin(self, host: &Host) {
        match self {
            Self::Lego => {
                host.ok(&["sh", "-c", &format!("{} run", lego())]);
            }
            Self::Dehydrated => {
                let settings = format!(
                    "CA={DIRECTORY}\nKEY_ALGO=rsa\nKEYSIZE=2048\nCURL_OPTS='--cacert /root/api-ca.pem'\n\
                     HOOK=/etc/dehydrated/hook.sh\nWELLKNOWN=/srv/web/.well-known/acme-challenge\n"
                );
                host.write("/etc/dehydrated/conf.d/lab.sh", settings);
                host.write("/etc/dehydrated/domains.txt", format!("{NAME}\n"));
                host.write("/etc/dehydrated/hook.sh", hook_script(":"));
                host.ok(&["chmod", "755", "/etc/dehydrated/hook.sh"]);
                host.ok(&["mkdir", "-p", "/srv/web/.well-known/acme-challenge"]);
                host.ok(&["dehydrated", "--register", "--accept-terms"]);
                host.ok(&["dehydrated", "--cron"]);
            }
            Self::AcmeSh => {
                let script = std::env::var("MXSEAL_ACME_SH").expect("MXSEAL_ACME_SH names the script of acme.sh: nothing is fetched here");
                host.write("/root/acme.sh", std::fs::read(&script).unwrap_or_else(|e| panic!("{script}: {e}")));
                host.ok(&["sh", "-c", "cd /root && sh acme.sh --install --home /root/.acme.sh --nocron --noprofile"]);
                let words = format!(
                    "--issue --standalone --listen-v6 -d {NAME} --server {DIRECTORY} --ca-bundle /root/api-ca.pem --keylength ec-256"
                );
                host.ok(&["sh", "-c", &format!("/root/.acme.sh/acme.sh --home /root/.acme.sh {words}")]);
            }
        }
        host.ok(&["mkdir", "-p", "/etc/cron.d"]);
        host.write("/etc/cron.d/certificates", format!("5 4 * * * root {}\n", self.renews("")));
    }

    /// Does what the plan says: `remedy` makes it tell mxseal of each renewal.
    fn tells(self, host: &Host, remedy: &Value) {
        match self {
            Self::Lego => {
                let line = remedy["do"].as_str().and_then(|says| says.split_once(": ")).expect("words to add").1;
                host.write("/etc/cron.d/certificates", format!("5 4 * * * root {}\n", self.renews(line)));
            }
            Self::Dehydrated => {
                let line = remedy["do"].as_str().and_then(|says| says.split_once(": ")).expect("a line to add").1;
                host.write("/etc/dehydrated/hook.sh", hook_script(line));
            }
            Self::AcmeSh => {
                host.ok(&["sh", "-c", remedy["command"].as_str().expect("a command")]);
            }
        }
    }

    /// Runs what cron runs; where `force` is wished, although nothing is due.
    fn runs(self, host: &Host, force: bool) {
        let line = host.read("/etc/cron.d/certificates");
        let Some((_, line)) = line.trim_end().split_once("root ") else { return };
        let force = match self {
            _ if !force => "",
            Self::Lego => "--days 4000",
            Self::Dehydrated | Self::AcmeSh => "--force",
        };
        host.ok(&["sh", "-c", &format!("{line} {force}")]);
    }

    /// Does what is said to end its renewal.
    fn ends(self, host: &Host, remedy: &Value) {
        let says = remedy["do"].as_str().expect("a way");
        match self {
            Self::Lego => {
                assert!(says.contains("take mx1.example.test out of the line that runs `lego renew`"), "{says}");
                host.write("/etc/cron.d/certificates", "");
            }
            Self::Dehydrated => {
                assert!(says.contains("take the line of mx1.example.test out of /etc/dehydrated/domains.txt"), "{says}");
                host.write("/etc/dehydrated/domains.txt", "");
            }
            Self::AcmeSh => {
                let command = says.split('`').nth(1).expect("a command");
                host.ok(&["sh", "-c", command]);
            }
        }
    }

    /// The serial of what it keeps.
    fn kept(self, host: &Host) -> String {
        let file = match self {
            Self::Lego => format!("{}/{NAME}.crt", self.folder()),
            Self::Dehydrated => format!("{}/{NAME}/fullchain.pem", self.folder()),
            Self::AcmeSh => format!("{}/fullchain.cer", self.folder()),
        };
        Certificate::read_pem(host.ok(&["cat", &file]).as_bytes()).expect("a certificate").remove(0).serial
    }
}

fn lego() -> String {
    format!(
        "env LEGO_CA_CERTIFICATES=/root/api-ca.pem lego --path /root/.lego --server {DIRECTORY} --accept-tos --email root@example.test \
         --domains {NAME} --key-type rsa2048 --http"
    )
}

/// What dehydrated calls: a web server while the CA looks, and `deployed` for a new certificate.
fn hook_script(deployed: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in\n  deploy_challenge)\n    python3 -m http.server --bind :: -d /srv/web 80 >/dev/null 2>&1 &\n    \
         echo $! >/run/web.pid\n    until curl -s -o /dev/null http://127.0.0.1/; do sleep 0.1; done ;;\n  \
         clean_challenge) kill $(cat /run/web.pid) ;;\n  deploy_cert) {deployed} ;;\nesac\n"
    )
}

fn finding<'a>(done: &'a Value, id: &str) -> &'a Value {
    done["findings"].as_array().into_iter().flatten().find(|f| f["id"] == id).unwrap_or_else(|| panic!("no {id}: {done:#}"))
}

fn orders(internet: &Internet) -> usize {
    internet.ca_log().matches("Added order ").count()
}

fn adopted_then_taken_over_then_put_back(keeper: Keeper) {
    let internet = Internet::start();
    let host = internet.mail_host();
    let stock = contents(&host.tree("/etc/postfix"));
    keeper.begin(&host);
    let theirs = contents(&host.tree(keeper.folder()));

    // Adopted: nothing is ordered, nothing of theirs is changed.
    let before = orders(&internet);
    let key_type: &[&str] = if keeper == Keeper::AcmeSh { &["--key-type", "ecdsa"] } else { &[] };
    let done = outcome(&setup(&host, &[&["--adopt"], key_type].concat()), 0);
    assert_eq!((done["outcome"].as_str(), done["certificate"]["keepers"][0].as_str()), (Some("proved"), Some(keeper.name())), "{done:#}");
    assert!(!ids(&done).contains(&"adopt-not-renewed"), "{done:#}");
    assert_eq!((served(&internet, &[]).0, orders(&internet)), (keeper.kept(&host), before));
    assert!(internet.s_client(&[]).contains(VERIFIED));
    assert_eq!(differences(&theirs, &contents(&host.tree(keeper.folder()))), Vec::<String>::new());

    // It renews by its own command, and tells us by the line that was shown.
    keeper.tells(&host, &finding(&done, "adopt-hook")["remedy"]);
    let old = keeper.kept(&host);
    keeper.runs(&host, true);
    assert_ne!(keeper.kept(&host), old);
    assert_eq!(served(&internet, &[]).0, keeper.kept(&host), "put in place and proved");
    assert_eq!(renew(&host, &[], 0)["outcome"], "nothing-to-do");

    // Taken over: it may go on, and nobody gets in the other's way.
    let done = outcome(&setup(&host, &["--take-over"]), 0);
    assert_eq!(done["outcome"], "proved", "{done:#}");
    let (own, before) = (served(&internet, &[]).0, orders(&internet));
    keeper.runs(&host, true);
    assert_eq!((served(&internet, &[]).0, orders(&internet)), (own.clone(), before + 1), "its order, and none of ours");
    assert_ne!(keeper.kept(&host), own);
    let left = finding(&done, "renewed-elsewhere");
    keeper.ends(&host, &left["remedy"]);
    keeper.runs(&host, false);
    assert_eq!(orders(&internet), before + 1, "its renewal has ended");
    let seen: Value = serde_json::from_str(&host.ok(&["mxseal", "survey", "--json"])).expect("facts");
    let its = seen["foreign"].as_array().into_iter().flatten().find(|f| f["keeper"] == keeper.name()).expect("its certificate");
    assert!(its["kept"]["renewed_by"].is_null(), "{its:#}");

    // One way back for both.
    let back = outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 0);
    assert!(back["outcome"] == "proved" && internet.s_client(&[]).contains(SNAKE_OIL), "{back:#}");
    assert!(!ids(&back).contains(&"wire-renewed"), "{back:#}");
    assert_eq!(differences(&stock, &contents(&host.tree("/etc/postfix"))), Vec::<String>::new());
    assert_eq!(text(&host.run(&["find", "/etc/mxseal/live", "-type", "f"])), "", "no key stays behind");
    assert_eq!(outcome(&host.run(&["mxseal", "undo", "--json", "--yes"]), 1)["topic"], "undo-nothing");
}

#[test]
fn what_lego_keeps() {
    adopted_then_taken_over_then_put_back(Keeper::Lego);
}

#[test]
fn what_dehydrated_keeps() {
    adopted_then_taken_over_then_put_back(Keeper::Dehydrated);
}

/// It is no package of Debian's: `MXSEAL_ACME_SH=FILE cargo test --test all what_acme_sh_keeps -- --ignored`, with socat.
#[test]
#[ignore = "for a person who has the script"]
fn what_acme_sh_keeps() {
    adopted_then_taken_over_then_put_back(Keeper::AcmeSh);
}
