//! `mxseal rollover`: from the keys in use to those that follow, as soon as every sender may know them. The order, the rename, the
//! proof and the way back are a renewal's; before the order, and once more before the rename, DNS is asked whether it is time.

pub(super) mod keys;
pub(super) mod retire;

use super::{
    Trouble,
    course::Ended,
    deployed, interrupt,
    place::{self, Site},
    recover, renew, standing,
    wishes::wishes,
};
use crate::{
    acme, apply,
    change::{Change, Receipt},
    cli::{Global, RollOver as Args, Where},
    facts::Lineage,
    finding::{Finding, Remedy, Subject, Verdict},
    maintain::{RollOver, SeenKeys, retired_from, roll_over},
    name::DnsName,
    plan::{self, Renewal, Stage, Standing},
    publish::told,
    report::{
        self, Progress, Style, Terminal,
        json::{self, Outcome, RollOverDoc},
    },
    settings::Settings,
    world::{self, Lock, Store},
};
use std::fmt::Write as _;

pub(super) async fn run(args: &Args, global: &Global) -> Result<u8, Trouble> {
    let mut outcome = Outcome { version: json::VERSION, verb: "rollover", ..Outcome::default() };
    let told = tell(args, global, &mut outcome).await;
    super::close(global, told, outcome)
}

/// Everything that one run has in hand.
struct Turn<'a> {
    args: &'a Args,
    global: &'a Global,
    settings: &'a Settings,
    site: &'a Site,
    progress: &'a Progress,
    base: Change,
    receipt: Receipt,
}

async fn tell(args: &Args, global: &Global, outcome: &mut Outcome) -> Result<(), Trouble> {
    place::needs_root()?;
    let settings = place::settings(global)?;
    let mut site = Site::of(&Where::default(), &settings.acme_ca_file, &settings, global)?;
    let progress = Progress::new(global.json);
    if !args.approval.dry_run {
        site.open_store(&global.state_dir)?;
        interrupt::last_words("rollover", &site.store, global);
        if let Some(said) = recover::first(&site.store)? {
            progress.line(&said);
        }
        deployed::record(&site.store)?;
    }
    let Some((base, receipt, lineages)) = standing::standing(&site)? else {
        return Ended::new("nothing-to-do", 0, "Nothing of mxseal stands on this host. To begin: mxseal setup").tell(outcome, global);
    };
    let turn = Turn { args, global, settings: &settings, site: &site, progress: &progress, base, receipt };
    let ended = turn.take(&chosen(&lineages, &args.name)?, lineages, outcome).await;
    if !args.approval.dry_run {
        keys::forget(&site.store, &acme::load_lineages(&site.store).map_err(Trouble::state)?)?;
    }
    outcome.rollover = documents(&site.store)?;
    ended
}

/// The certificates that are meant: all, or those of these names.
fn chosen(lineages: &[Lineage], names: &[DnsName]) -> Result<Vec<DnsName>, Trouble> {
    let of = |l: &Lineage, name: &DnsName| l.name == *name || l.keys.iter().filter_map(|k| k.leaf.as_ref()).any(|leaf| leaf.covers(name));
    if let Some(other) = names.iter().find(|name| !lineages.iter().any(|l| of(l, name))) {
        let all: Vec<&str> = lineages.iter().map(|l| l.name.as_str()).collect();
        return Err(Trouble::usage(format!("{other} is in no certificate of ours that stands; there are {}", all.join(", "))));
    }
    let meant = lineages.iter().filter(|l| names.is_empty() || names.iter().any(|name| of(l, name)));
    Ok(meant.map(|l| l.name.clone()).collect())
}

impl Turn<'_> {
    async fn take(&self, chosen: &[DnsName], mut lineages: Vec<Lineage>, outcome: &mut Outcome) -> Result<(), Trouble> {
        // A renewal keeps the same files; whoever only looks is in nobody's way.
        let mut lock = if self.args.approval.dry_run { None } else { Some(self.lock()?) };
        let (mut ready, mut waits, mut retired) = (Vec::new(), Vec::new(), Vec::new());
        for lineage in lineages.iter_mut().filter(|l| chosen.contains(&l.name)) {
            if lineage.adopted.is_empty() && !self.args.approval.dry_run {
                *lineage = acme::next_of(&self.site.store, &lineage.name).map_err(Trouble::of)?;
                self.forget_gone(&self.receipt, lineage).await?;
            }
            match self.next(lineage).await? {
                RollOver::Refuse(finding) => outcome.findings.push(*finding),
                RollOver::Hold(until) => {
                    waits.push(format!("The records of the keys that {} had before stay until {until}.", lineage.name));
                }
                RollOver::Retire => match retire::elsewhere(self.site, &self.receipt, lineage).await {
                    against if against.is_empty() => retired.push(lineage.clone()),
                    against => outcome.findings.extend(against),
                },
                RollOver::Wait { lacks, until } => {
                    outcome.findings.extend(lacks);
                    waits.extend(until.map(|until| format!("The next keys of {} can be used from {until} on.", lineage.name)));
                }
                RollOver::Certify { untold } | RollOver::Deploy { untold } => ready.push((lineage.name.clone(), untold)),
            }
        }
        super::show(self.global, &outcome.findings);
        let late = !outcome.findings.is_empty() || !waits.is_empty();
        if !retired.is_empty() {
            self.retire(&retired, &mut lock, outcome).await?;
        }
        if ready.is_empty() {
            if late {
                let untold = waits.is_empty() && outcome.findings.iter().all(|f| f.verdict == Verdict::Unknown);
                let says = waits.into_iter().chain(["No key was changed.".to_owned()]).collect::<Vec<_>>().join(" ");
                return Ended::new("held", if untold { 3 } else { 1 }, says).tell(outcome, self.global);
            }
            return Ok(());
        }
        // A CA counts what it issues: what would stop the change stops the order.
        let against = self.against(&lineages).await?;
        if !against.is_empty() {
            return self.held(against, outcome);
        }
        self.announce(&lineages, &ready);
        if self.args.approval.dry_run {
            return Ended::new("planned", 0, "Nothing was changed.").tell(outcome, self.global);
        }
        if !self.agreed("Go over to these keys?", &mut lock)? {
            return Ended::new("declined", 1, "Nothing was changed.").tell(outcome, self.global);
        }
        let is_ready = |l: &&mut Lineage| ready.iter().any(|(name, _)| *name == l.name);
        for lineage in lineages.iter_mut().filter(is_ready) {
            *lineage = acme::next_of(&self.site.store, &lineage.name).map_err(Trouble::of)?;
            if matches!(self.next(lineage).await?, RollOver::Certify { .. }) {
                self.certify(lineage, outcome).await?;
            }
        }
        // The rename is the deployment: it is asked once more.
        for lineage in lineages.iter_mut().filter(is_ready) {
            if !matches!(self.next(lineage).await?, RollOver::Deploy { .. }) {
                let says = "What DNS says of the next keys changed meanwhile, so the keys in use stay; run mxseal rollover again.";
                return Ended::new("held", 1, says).tell(outcome, self.global);
            }
        }
        let lock = lock.ok_or_else(|| Trouble::human("the run lock was lost"))?;
        self.deploy(lineages, &ready, lock, outcome).await?;
        outcome.exit = outcome.exit.max(u8::from(late));
        Ok(())
    }

    /// Alone, and on the host that was looked at.
    fn lock(&self) -> Result<Lock, Trouble> {
        let lock = place::lock(&self.receipt.change.config_dir)?;
        match standing::standing(self.site)? {
            Some((_, receipt, _)) if receipt.id == self.receipt.id => Ok(lock),
            _ => Err(Trouble::human("another run changed this host meanwhile; nothing was changed, run mxseal rollover again")),
        }
    }

    /// Whether a flag or a person approves it. While somebody thinks, others may work.
    fn agreed(&self, question: &str, lock: &mut Option<Lock>) -> Result<bool, Trouble> {
        if !self.args.approval.yes {
            *lock = None;
        }
        let agreed = super::agreed(&self.args.approval, question)?;
        if agreed && lock.is_none() {
            *lock = Some(self.lock()?);
        }
        Ok(agreed)
    }

    /// What is not as it was proved: files, the server, what its listeners present.
    async fn against(&self, lineages: &[Lineage]) -> Result<Vec<Finding>, Trouble> {
        let mut findings = self.renewal(lineages)?.findings;
        if !standing::runs(&self.base) {
            let says = "the mail server does not run, so nobody could be shown other keys";
            let finding = Finding::new("server-down", Verdict::Unknown, Subject::Host, says).means("the keys in use stay");
            findings.push(finding.remedy(Remedy::Do("start it, then run mxseal rollover again".into())));
            return Ok(findings);
        }
        let views = standing::look(self.site, &self.receipt).await;
        let other = standing::not_ours(&self.receipt, lineages, &views);
        // One that is silent shows no key to anybody; where all are, nothing could be proved.
        let all = other.len() == views.len();
        findings.extend(other.into_iter().filter(|f| all || f.verdict == Verdict::Fail));
        Ok(findings)
    }

    fn held(&self, against: Vec<Finding>, outcome: &mut Outcome) -> Result<(), Trouble> {
        super::show(self.global, &against);
        outcome.findings.extend(against);
        let says = "No key was changed: a roll-over begins only where everything is as it was proved.";
        Ended::new("held", 1, says).tell(outcome, self.global)
    }

    async fn next(&self, lineage: &Lineage) -> Result<RollOver, Trouble> {
        let now = world::now();
        if !lineage.adopted.is_empty() || !lineage.former.is_empty() {
            let claims = told::claims(&self.site.store).map_err(Trouble::state)?;
            return Ok(roll_over(lineage, &[], &SeenKeys::default(), &claims, now));
        }
        let seen = keys::look(self.site, &self.receipt, lineage, !self.args.approval.dry_run).await?;
        Ok(roll_over(lineage, &seen.sights, &seen.seen, &seen.claims, now))
    }

    /// Keys that left and that no record names any more are nobody's affair.
    async fn forget_gone(&self, receipt: &Receipt, lineage: &mut Lineage) -> Result<(), Trouble> {
        if !lineage.former.is_empty() {
            let gone = retire::look(self.site, receipt, lineage).await.gone;
            acme::forget_former(&self.site.store, &lineage.name, &gone).map_err(Trouble::state)?;
            lineage.former.retain(|k| !gone.contains(&k.spki));
        }
        Ok(())
    }

    /// Takes away the records of keys that left, where mxseal put them; of the others it says who has to.
    async fn retire(&self, lineages: &[Lineage], lock: &mut Option<Lock>, outcome: &mut Outcome) -> Result<(), Trouble> {
        let mut ways = Vec::new();
        for lineage in lineages {
            ways.extend(retire::ways(self.site, self.settings, lineage)?);
        }
        let lines: String = ways.iter().flat_map(retire::Way::lines).collect();
        if !self.global.json && !lines.is_empty() {
            Terminal::print(&format!("Records of keys that nobody is shown any more\n{lines}"));
        }
        if self.args.approval.dry_run {
            return Ended::new("planned", 0, "Nothing was changed.").tell(outcome, self.global);
        }
        if !ways.is_empty() && !self.agreed("Take these records away?", lock)? {
            return Ended::new("declined", 1, "Nothing was changed.").tell(outcome, self.global);
        }
        retire::withdraw(self.site, &ways, self.progress).await?;
        let mut left = Vec::new();
        for lineage in lineages {
            left.extend(retire::settle(self.site, &self.receipt, lineage).await?);
        }
        super::show(self.global, &left);
        let (word, exit, says) = if left.is_empty() {
            ("retired", 0, "The records of the keys before are gone; the roll-over is at its end.")
        } else {
            ("held", 1, "The roll-over is at its end when these records are gone.")
        };
        outcome.findings.extend(left);
        Ended::new(word, exit, says).tell(outcome, self.global)
    }

    /// Says what will be done.
    fn announce(&self, lineages: &[Lineage], ready: &[(DnsName, bool)]) {
        let mut page = String::new();
        for (name, untold) in ready {
            let Some(lineage) = lineages.iter().find(|l| l.name == *name) else { continue };
            let _ = writeln!(page, "{name} goes over to its next keys");
            for next in lineage.next_keys() {
                let from = lineage.keys.iter().find(|k| k.key_type == next.key_type).map_or("", |k| k.spki.short());
                let _ = writeln!(page, "  {:<6} {from} -> {}", next.key_type.to_string(), next.spki.short());
            }
            let known = if *untold {
                "The zone is not signed and no TLSA record is there: no sender knows keys of this host, so nothing had to be waited for."
            } else {
                "Every name server has the records of the next keys, and no cache can be without them any more."
            };
            page.push_str(&report::row(Style::of_stdout(), "  ", known));
        }
        if !self.global.json {
            Terminal::print(&page);
        }
    }

    async fn certify(&self, lineage: &mut Lineage, outcome: &mut Outcome) -> Result<(), Trouble> {
        let order = plan::order_next(lineage)
            .ok_or_else(|| Trouble::human(format!("the next keys of {} are not as many as those in use", lineage.name)))?;
        let wishes = wishes(self.site, self.settings, &order);
        *lineage = acme::certify_next(&self.site.net, &self.site.store, &order, &wishes, self.progress).await.map_err(Trouble::of)?;
        outcome.certificate = lineage.successor.as_deref().map(json::CertificateDoc::of);
        Ok(())
    }

    /// The successors in the place of what is served: one change, as at a renewal.
    async fn deploy(&self, lineages: Vec<Lineage>, ready: &[(DnsName, bool)], lock: Lock, outcome: &mut Outcome) -> Result<(), Trouble> {
        let is_ready = |l: &Lineage| ready.iter().any(|(name, _)| *name == l.name);
        let successor = |l: Lineage| if is_ready(&l) { l.successor.as_deref().cloned().unwrap_or(l) } else { l };
        let lineages: Vec<Lineage> = lineages.into_iter().map(successor).collect();
        let mut change = match self.renewal(&lineages)? {
            Renewal { next: Some(Stage::Change(change)), findings } if findings.is_empty() => *change,
            Renewal { findings, .. } => return self.held(findings, outcome),
        };
        let names: Vec<&str> = ready.iter().map(|(name, _)| name.as_str()).collect();
        change.why = format!("Go over to the next keys of {}.", names.join(", "));
        let (site, before) = (self.site, &self.receipt);
        let made = renew::carry_out(site, change, before, lock, self.global, self.progress, outcome).await?;
        let Some(made) = made else { return Ok(()) };
        for mut lineage in acme::load_lineages(&site.store).map_err(Trouble::state)?.into_iter().filter(is_ready) {
            self.forget_gone(&made, &mut lineage).await?;
            self.say_next(&lineage)?;
        }
        Ok(())
    }

    /// The renewal of these lineages, in which nothing is ordered: what is due is not this verb's affair.
    fn renewal(&self, lineages: &[Lineage]) -> Result<Renewal, Trouble> {
        let (files, config) = (standing::live_files(self.site, lineages)?, standing::config(&self.receipt)?);
        let resting: Vec<DnsName> = lineages.iter().map(|l| l.name.clone()).collect();
        let standing = Standing {
            receipt: &self.receipt,
            base: &self.base,
            lineages,
            files: &files,
            config: &config,
            forced: &[],
            resting: &resting,
            meant: false,
            shown: true,
        };
        Ok(plan::renewal(&standing, world::now()))
    }

    /// Says what follows, where senders know the keys.
    fn say_next(&self, lineage: &Lineage) -> Result<(), Trouble> {
        let claims = told::claims(&self.site.store).map_err(Trouble::state)?;
        if lineage.former.is_empty() || self.global.json {
            return Ok(());
        }
        let until = retired_from(lineage, &claims).map_or_else(|| "the proof".to_owned(), |until| until.to_string());
        let page = format!(
            "Next\n  mxseal dns\n      shows the records of the keys that follow; --publish puts them there\n  mxseal rollover\n      \
             takes away the records of the keys before, from {until} on\n"
        );
        Terminal::print(&page);
        Ok(())
    }
}

/// How the certificates that stand are to their next keys, as it is kept.
pub(super) fn documents(store: &Store) -> Result<Vec<RollOverDoc>, Trouble> {
    let receipts = apply::receipts(store).map_err(Trouble::state)?;
    let Some(receipt) = apply::standing(&receipts) else { return Ok(Vec::new()) };
    let (seen, claims) = (keys::seen(store)?, told::claims(store).map_err(Trouble::state)?);
    let all = acme::load_lineages(store).map_err(Trouble::state)?;
    let mut documents = Vec::new();
    for lineage in all.iter().filter(|l| l.adopted.is_empty() && !l.next.is_empty()) {
        let mx = keys::names(receipt, lineage);
        if !mx.is_empty() {
            documents.push(RollOverDoc::of(lineage, &mx, &seen, &claims));
        }
    }
    Ok(documents)
}
