//! The end of a setup: whether its domains would be taken on a list, and the offer to ask for it. A problem here takes nothing back.

use super::{
    Looked, closed, judged, looked,
    submit::{Wish, ask},
};
use crate::{
    cli::{Global, LEAST_WEEKS, ListOf, ListWish},
    command::{Trouble, place::Site},
    finding::{Finding, Verdict},
    name::DnsName,
    report::{self, Event, Observer as _, Progress, Style, Terminal},
    settings::Settings,
};

/// Who offers it to whom.
pub(in super::super) struct Offer<'a> {
    pub(in super::super) site: &'a Site,
    pub(in super::super) settings: &'a Settings,
    pub(in super::super) global: &'a Global,
    pub(in super::super) progress: &'a Progress,
    /// What a flag says.
    pub(in super::super) wish: Option<ListWish>,
    /// Somebody is there to be asked.
    pub(in super::super) asks: bool,
}

impl Offer<'_> {
    /// Eligibility first, then the offer. Where no list is configured, what does the same job.
    pub(in super::super) async fn make(&self, domains: &[DnsName]) -> Vec<Finding> {
        let may = match self.wish {
            Some(ListWish::No) => false,
            Some(ListWish::Submit) => true,
            None => self.asks && !self.global.json,
        };
        if !may {
            return Vec::new();
        }
        match self.talk(domains).await {
            Ok(said) => said,
            Err(why) => {
                let at = domains.first().map_or(crate::finding::Subject::Host, |d| crate::finding::Subject::Domain(d.clone()));
                let refused = Finding::new("list-refused", Verdict::Warn, at, "no list was asked").seen(why.says);
                self.print(std::slice::from_ref(&refused));
                vec![refused]
            }
        }
    }

    async fn talk(&self, domains: &[DnsName]) -> Result<Vec<Finding>, Trouble> {
        let list = &self.settings.list;
        if list.api.is_none() {
            let Some(domain) = domains.first() else { return Ok(Vec::new()) };
            let (site, facts, sts) = looked(&self.of(domain), self.global).await?;
            let says = closed(&Looked { site, facts, sts, findings: Vec::new() });
            if self.wish.is_some() {
                self.print(std::slice::from_ref(&says));
                return Ok(vec![says]);
            }
            let line = format!("No list of domains is configured, and the EFF's is closed: {}.", says.consequence);
            Terminal::print(&format!("\n{}", report::row(Style::of_stdout(), "", &line)));
            return Ok(Vec::new());
        }
        let wish = |yes| Wish { yes, email: None, weeks: LEAST_WEEKS };
        let mut said = Vec::new();
        let mut would = Vec::new();
        for domain in domains {
            self.progress.see(Event::Started(format!("see whether {domain} would be taken on the list")));
            let seen = judged(&self.of(domain), self.global).await?;
            let (_, findings) = ask(&seen, list, &wish(false), self.global).await?;
            self.progress.see(Event::Done("done".into()));
            self.print(&findings);
            // What it got to already, or what is against it.
            let open = |f: &Finding| f.id == "list-asked" && f.verdict == Verdict::Unknown;
            if findings.iter().any(open) { would.push(seen) } else { said.extend(findings) }
        }
        let asked = self.wish == Some(ListWish::Submit) || (!would.is_empty() && report::agreed("Ask for it now?").is_ok_and(|yes| yes));
        for seen in would.iter().filter(|_| asked) {
            let (_, findings) = ask(seen, list, &wish(true), self.global).await?;
            self.print(&findings);
            said.extend(findings);
        }
        Ok(said)
    }

    fn of(&self, domain: &DnsName) -> ListOf {
        let place = &self.site.place;
        ListOf { domain: domain.clone(), resolver: place.resolver, trust_anchors: place.trust_anchors.clone() }
    }

    fn print(&self, findings: &[Finding]) {
        if !self.global.json {
            Terminal::print(&format!("\n{}", report::findings(Style::of_stdout(), findings)));
        }
    }
}
