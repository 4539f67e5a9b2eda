//! What the main job costs beside the programs that get a certificate alone, on one booted host and one CA, in turns.
//! Run by `tests/bench`, which installs them.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

#[path = "../all/lab/mod.rs"]
mod lab;

use lab::{
    awake::Awake,
    host::Host,
    internet::{DIRECTORY, Internet},
    process::wait_for,
    setup::ANSWERS,
};
use std::time::Duration;

/// Wall time, CPU time of the command and every process that it waits for, and the largest of them all.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    cpu: f64,
    mib: f64,
}

/// What stands ready before a command, beside a stock mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A web server that serves /srv/www on port 80, for a program that only writes files.
    WebServer,
    /// Somebody who sets main.cf's time back as soon as it changes, so that no program of Postfix dozes over it.
    NoDoze,
    /// A finished setup.
    Setup,
    /// A certificate of certbot's, of the same day.
    Certbot,
}

/// The row that all others are compared with.
const SETUP: &str = "mxseal setup";

struct Row {
    name: &'static str,
    before: Before,
    /// For sh(1), in an empty /root/work.
    script: String,
}

fn setup() -> String {
    format!("exec mxseal setup --json {}", ANSWERS.join(" "))
}

fn certbot() -> String {
    format!(
        "exec certbot certonly --standalone --key-type ecdsa -n --agree-tos \
         --register-unsafely-without-email --server {DIRECTORY} --config-dir . --work-dir . --logs-dir . -d mx1.example.test"
    )
}

fn rows() -> Vec<Row> {
    let uacme = |keys: &[&str]| {
        let issue = |key: &&str| format!(" && $uacme -c {key} -t {key} -h /usr/share/uacme/uacme.sh issue mx1.example.test");
        // A second key type wants a second configuration, here with the same account.
        let copies: String = keys.iter().skip(1).map(|key| format!(" && cp -r {} {key}", keys[0])).collect();
        let issues: String = keys.iter().map(issue).collect();
        format!(
            "export UACME_CHALLENGE_PATH=/srv/www/.well-known/acme-challenge; uacme='uacme -a {DIRECTORY}'; \
             $uacme -c {} -y -t EC new a@example.test{copies}{issues}",
            keys[0]
        )
    };
    let lego = format!(
        "LEGO_CA_CERTIFICATES=/root/api-ca.pem exec lego --server {DIRECTORY} --path . -m a@example.test --accept-tos --http \
         -d mx1.example.test -k ec256 run"
    );
    let row = |name, before, script| Row { name, before, script };
    vec![
        row("mxseal --version", Before::Nothing, "exec mxseal --version".to_owned()),
        row("mxseal survey", Before::Nothing, "exec mxseal survey --json --trust-anchor /root/root.pem".to_owned()),
        row(SETUP, Before::Nothing, setup()),
        row("mxseal setup, Postfix not dozing", Before::NoDoze, setup()),
        row("mxseal setup, nothing to do", Before::Setup, setup()),
        // It asks every listener, and the CA for its windows.
        row("mxseal renew, nothing due", Before::Setup, "exec mxseal renew --json".to_owned()),
        row("mxseal undo", Before::Setup, "exec mxseal undo --json --non-interactive --yes".to_owned()),
        row("certbot certonly, ecdsa", Before::Nothing, certbot()),
        row(
            "certbot renew, nothing due",
            Before::Certbot,
            "exec certbot renew -n --no-random-sleep-on-renew --config-dir . --work-dir . --logs-dir .".to_owned(),
        ),
        row("uacme new + issue, ec", Before::WebServer, uacme(&["EC"])),
        row("uacme new + issue, ec and rsa", Before::WebServer, uacme(&["EC", "RSA"])),
        row("lego run, ec256", Before::Nothing, lego),
    ]
}

fn main() {
    let rounds: usize = std::env::var("MXSEAL_BENCH_ROUNDS").map_or(5, |n| n.parse().expect("MXSEAL_BENCH_ROUNDS is a number"));
    let wanted = std::env::var("MXSEAL_BENCH_ROWS").unwrap_or_default();
    let internet = Internet::start();
    let host = internet.mail_host();
    host.ok(&["sh", "-c", "cat /root/api-ca.pem >>/etc/ssl/certs/ca-certificates.crt; mkdir -p /srv/www/.well-known/acme-challenge"]);
    host.ok(&["cp", "-a", "/etc/postfix", "/root/postfix"]);

    let rows: Vec<Row> = rows().into_iter().filter(|row| row.name.contains(&wanted)).collect();
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); rows.len()];
    // In turns, so that whatever else the machine does meets all of them. The first round fills caches and does not count.
    for round in 0..=rounds {
        for (row, costs) in rows.iter().zip(&mut costs) {
            let cost = once(&host, row);
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    println!("Medians of {rounds} rounds (least to most):\n");
    println!("| command | wall, s | CPU with children, s | peak, MiB |\n|---|---|---|---|");
    for (row, costs) in rows.iter().zip(&costs) {
        let column = |of: fn(&Cost) -> f64, digits| spread(costs.iter().map(of).collect(), digits);
        println!("| {} | {} | {} | {} |", row.name, column(|c| c.wall, 2), column(|c| c.cpu, 2), column(|c| c.mib, 1));
    }
    if let Some(setup) = rows.iter().find(|row| row.name == SETUP) {
        let counted: Vec<(usize, f64)> = (0..rounds).map(|_| servers_own(&host, setup)).collect();
        let cpu = spread(counted.iter().map(|c| c.1).collect(), 2);
        println!("\nIn `{SETUP}`, {} programs of the mail server are started; of its CPU, they take {cpu} s.", counted[0].0);
    }
}

/// Runs a row on a host as it was at the beginning.
fn once(host: &Host, row: &Row) -> Cost {
    reset(host);
    match row.before {
        Before::Nothing | Before::NoDoze => {}
        Before::Setup => drop(measure(host, &Row { name: "a finished setup", before: Before::Nothing, script: setup() })),
        Before::Certbot => drop(measure(host, &Row { name: "a certificate", before: Before::Nothing, script: certbot() })),
        Before::WebServer => {
            let serve = ["python3", "-m", "http.server", "--bind", "::", "--directory", "/srv/www", "80"];
            host.ok(&[&["systemd-run", "--quiet", "--unit=bench-web"][..], &serve].concat());
            wait_for_port(host, 80);
        }
    }
    let _awake = (row.before == Before::NoDoze).then(|| Awake::over(&host.path("/etc/postfix")));
    let cost = measure(host, row);
    if row.before == Before::WebServer {
        host.ok(&["systemctl", "stop", "bench-web"]);
    }
    cost
}

/// The stock configuration with its old times, and nothing of any run before.
fn reset(host: &Host) {
    let files = "rm -rf /root/work /etc/mxseal /var/lib/mxseal && mkdir /root/work && cp -a /root/postfix/. /etc/postfix/";
    host.ok(&["sh", "-c", files]);
    host.ok(&["sh", "-c", "rm -f $(find /etc/systemd/system -name 'mxseal-*')"]);
    // As often as it takes: systemd gives up a service that starts five times in ten seconds.
    host.ok(&["systemctl", "reset-failed"]);
    host.ok(&["systemctl", "restart", "postfix@-.service"]);
    wait_for_port(host, 25);
}

fn wait_for_port(host: &Host, port: u16) {
    let filter = format!(":{port}");
    wait_for(&format!("port {port}"), Duration::from_secs(20), || !host.ok(&["ss", "-Hltn", "sport", "=", &filter]).is_empty());
}

fn measure(host: &Host, row: &Row) -> Cost {
    const SCRIPT: &str = "cd /root/work; export REQUESTS_CA_BUNDLE=/root/api-ca.pem; TIMEFORMAT='%3R %3U %3S'; \
        { time /usr/bin/time -q -o /root/peak -f %M sh -c \"$1\" >/root/said 2>&1; } 2>/root/time && cat /root/time /root/peak";
    let out = host.run(&["bash", "-c", SCRIPT, "bash", &row.script]);
    assert!(out.status.success(), "{}: {}\n{}", row.name, row.script, host.read("/root/said"));
    let numbers: Vec<f64> = lab::host::text(&out).split_whitespace().map(|n| n.parse().expect("bash and GNU time give numbers")).collect();
    Cost { wall: numbers[0], cpu: numbers[1] + numbers[2], mib: numbers[3] / 1024.0 }
}

/// How many programs of the mail server a row starts itself, and their CPU time in seconds.
fn servers_own(host: &Host, row: &Row) -> (usize, f64) {
    const COUNT: &str = "#!/bin/bash\nTIMEFORMAT='%3U %3S'\nexec 3>&2\n\
        { time \"/usr/sbin/${0##*/}\" \"$@\" 2>&3 3>&-; } 2>>/root/counted\n";
    reset(host);
    let places = ["postconf", "postfix", "postmulti", "postsuper"].map(|program| format!("/usr/local/sbin/{program}"));
    host.write("/root/counted", "");
    for place in &places {
        host.write(place, COUNT);
        host.ok(&["chmod", "755", place]);
    }
    measure(host, row);
    host.ok(&[&["rm"][..], &places.each_ref().map(String::as_str)].concat());
    let counted = host.read("/root/counted");
    (counted.lines().count(), counted.split_whitespace().map(|n| n.parse::<f64>().expect("bash gives numbers")).sum())
}

fn spread(mut numbers: Vec<f64>, digits: usize) -> String {
    numbers.sort_by(f64::total_cmp);
    let (least, most) = (numbers[0], numbers[numbers.len() - 1]);
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", numbers[numbers.len() / 2])
}
