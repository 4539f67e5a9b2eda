//! The last act of a rehearsal: what senders would be told is put into the made-up DNS, and looked for there.

use crate::{
    cli::Global,
    command::{Trouble, dns, place::Site, tell},
    facts::Facts,
    publish::{Data, Wanted, dialect::Dialect},
    rehearsal::{Dns, DnsRecord},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    settings::Settings,
};

/// Tells them there.
pub(super) async fn senders(
    site: &Site,
    dns: &Dns,
    facts: Facts,
    global: &Global,
    progress: &Progress,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    let asked = tell::asked(site, &Settings::default());
    progress.see(Event::Started("tell senders, in the made-up DNS".into()));
    let (_, sheet) = dns::compared(site, facts, &asked).await;
    let open: Vec<&Wanted> = sheet.open().collect();
    dns.change(|table| {
        for wanted in &open {
            table.records.entry(wanted.at().clone()).or_default().push(record(&wanted.data));
        }
    })
    .map_err(Trouble::human)?;
    let again = dns::told(site, false).await?;
    let (_, seen) = dns::compared(site, again, &asked).await;
    let there = open
        .iter()
        .filter(|w| seen.wanted.iter().any(|s| s.owner == w.owner && s.data == w.data && s.state == crate::publish::State::Right));
    let there = there.count();
    progress.see(Event::Done(format!("{there} of {} records are seen", open.len())));
    if !global.json && !open.is_empty() {
        let head = "\nWhat senders would be told, by records that setup prints or publishes:\n\n";
        let last = report::row(Style::of_stdout(), "", "The keys are the rehearsal's own, and so is the DNS that they were put into.");
        Terminal::print(&format!("{head}{}\n{last}", Dialect::Zone.text(&open)));
    }
    outcome.dns = Some(json::DnsDoc::of(&open, &sheet.findings, 0));
    Ok(())
}

fn record(data: &Data) -> DnsRecord {
    match data {
        Data::Cname(name) => DnsRecord::Alias(name.clone()),
        Data::Txt(text) => DnsRecord::Txt(text.clone()),
        Data::Tlsa(tlsa) => DnsRecord::Tlsa(tlsa.clone()),
        Data::Caa(caa) => DnsRecord::Caa(caa.flags >= 128, caa.tag.clone(), caa.value.clone()),
    }
}
