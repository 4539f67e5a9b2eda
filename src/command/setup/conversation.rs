//! From the first look to the approved plan: facts, the questions that are left, the plan, one approval. Where nobody can be
//! asked, every missing answer is named with its flag, all at once.

use super::{answers::Answers, must_run, nothing_to_approve};
use crate::{
    acme, apply,
    cli::{Global, Setup},
    command::{
        Trouble, alarm,
        course::Ended,
        no_answer,
        place::{self, Site},
        policy, tell,
    },
    facts::{Companion, Facts, Known},
    intent::{Intent, LETS_ENCRYPT, Tell},
    mta::companion,
    name::DnsName,
    plan::{self, Errand, Plan, Refusal, Stage},
    publish::{self, Prospect, ServedBy},
    report::{self, Event, Observer as _, Progress, Style, Terminal, json, json::Outcome},
    settings::Settings,
    wizard::{self, Approved, Id, Question, Said},
    world::Machine,
};
use std::{collections::BTreeMap, path::Path};

/// What is said where the plan needs a yes and nobody can be asked.
const NOT_APPROVED: &str = "the plan was not approved: give --yes to apply it, or --dry-run to see it only";

const GREETING: &str = "\
mxseal gives this mail server a certificate that other servers can verify. It looks first, asks only what it cannot see, and \
shows its plan. Nothing is changed before you say yes; Ctrl-C stops it at any moment.
";

/// What was agreed on.
pub(super) struct Agreed {
    pub(super) facts: Facts,
    pub(super) plan: Plan,
    pub(super) intent: Intent,
    pub(super) print_only: bool,
    /// A person was asked, so that time went by.
    pub(super) asked: bool,
}

/// An end without a plan to carry out, and what was seen.
pub(super) struct Left {
    pub(super) ended: Ended,
    pub(super) facts: Facts,
}

/// Who talks about what.
pub(super) struct Conversation<'a> {
    pub(super) args: &'a Setup,
    pub(super) global: &'a Global,
    pub(super) progress: &'a Progress,
    pub(super) site: &'a mut Site,
    pub(super) answers: &'a mut Answers,
    /// What files say: below what is said here.
    pub(super) written: &'a Settings,
    /// The file that must hold every answer, where one was given.
    pub(super) replayed: Option<&'a Path>,
}

/// What was asked so far: each question with what was said before it.
#[derive(Default)]
struct Past {
    asked: Vec<(Id, Settings)>,
    typed: BTreeMap<Id, String>,
}

impl Conversation<'_> {
    /// Talks until there is a plan to carry out, or an end without one.
    pub(super) async fn hold(mut self, outcome: &mut Outcome) -> Result<Result<Agreed, Left>, Trouble> {
        let can_ask = !self.args.non_interactive && Terminal::can_ask();
        let may_ask = can_ask && self.replayed.is_none();
        let mut past = Past::default();
        if may_ask && !self.global.json {
            Terminal::say(GREETING);
        }
        let mut facts = self.look().await?;
        loop {
            let intent = self.answers.intent(self.site, self.global);
            let planned = self.planned(&facts, &intent)?;
            let open = wizard::open(&facts, &planned, &self.settings());
            let question = match (&planned, open.first()) {
                (_, Some(question)) if may_ask => {
                    self.must_run(&facts)?;
                    Some(question.clone())
                }
                (Err(refusal), _) => return Err(self.refused(&facts, refusal, open)?),
                (Ok(plan), _) => {
                    if let Some(ended) = nothing_to_approve(self.args, &facts, plan) {
                        self.show(&facts, plan, outcome);
                        return Ok(Err(Left { ended, facts }));
                    }
                    self.must_run(&facts)?;
                    let open = self.of_the_ca(plan).await?;
                    if !open.is_empty() && !may_ask {
                        return Err(self.unanswered(&open, None));
                    }
                    let more = || self.of_companions(&facts, plan, &intent).or_else(|| self.of_senders(&facts));
                    open.into_iter().next().or_else(|| may_ask.then(more).flatten())
                }
            };
            let moved = match (question, planned) {
                (Some(question), _) => match self.ask(question, &mut past)? {
                    Some(moved) => moved,
                    None => return Ok(Err(Left { ended: declined(), facts })),
                },
                (None, Ok(plan)) => {
                    self.show(&facts, &plan, outcome);
                    let said = if self.args.yes { Approved::Yes } else { self.approve(can_ask, &past, &facts, &plan)? };
                    let print_only = match said {
                        Approved::Yes => self.args.print_only,
                        Approved::PrintOnly => true,
                        Approved::No => return Ok(Err(Left { ended: declined(), facts })),
                        Approved::Back => {
                            if self.back(&mut past)? {
                                facts = self.look().await?;
                            }
                            continue;
                        }
                    };
                    let asked = !self.args.yes || !past.asked.is_empty();
                    return Ok(Ok(Agreed { facts, plan, intent, print_only, asked }));
                }
                (None, Err(refusal)) => return Err(self.refused(&facts, &refusal, Vec::new())?),
            };
            if moved {
                facts = self.look().await?;
            }
        }
    }

    /// What flags, answers and files say together.
    fn settings(&self) -> Settings {
        self.answers.said.clone().over(self.written.clone())
    }

    fn planned(&self, facts: &Facts, intent: &Intent) -> Result<Result<Plan, Refusal>, Trouble> {
        let mut planned = match &facts.server {
            Known::Unknown { why } => Err(Refusal::NoServer(why.clone())),
            Known::Seen { .. } => plan::plan(facts, intent, &self.site.profile_of(facts)?),
        };
        if let Ok(Plan { next: Some(Stage::Errand(Errand::Obtain(_))), notes, .. }) = &mut planned {
            notes.extend(self.answers.challenge_note(facts));
        }
        if let Ok(planned) = &mut planned
            && planned.next.is_some()
            && !self.args.print_only
            && !self.args.staging
        {
            let program = std::env::current_exe().unwrap_or_default();
            planned.follow(apply::units_note(&Machine, &self.site.store, &program));
            let settings = self.settings();
            planned.follow(alarm::note(&self.site.store, &settings, facts));
            let prospects = policy::begin::outlook(self.site, &settings, facts);
            planned.follow(tell::notes(facts, &self.site.place.mx, &settings, &prospects));
        }
        Ok(planned)
    }

    /// Looks, and shows what is seen.
    async fn look(&self) -> Result<Facts, Trouble> {
        self.progress.see(Event::Started("look at this host, change nothing".into()));
        let facts = self.site.look().await?;
        self.progress.see(Event::Done("done".into()));
        if !self.global.json {
            let intent = self.answers.intent(self.site, self.global);
            Terminal::print(&report::facts_page(Style::of_stdout(), &facts, &intent, &self.site.title_of(&facts)));
        }
        Ok(facts)
    }

    fn must_run(&self, facts: &Facts) -> Result<(), Trouble> {
        let harmless = self.args.print_only || self.args.staging || self.args.dry_run;
        if harmless { Ok(()) } else { must_run(self.site, facts) }
    }

    /// What a new account of the CA must be told.
    async fn of_the_ca(&self, plan: &Plan) -> Result<Vec<Question>, Trouble> {
        let Some(Stage::Errand(Errand::Obtain(order))) = &plan.next else { return Ok(Vec::new()) };
        if acme::has_account(&self.site.store, &order.directory).map_err(Trouble::state)? {
            return Ok(Vec::new());
        }
        let mut open = Vec::new();
        if !self.answers.agree_tos {
            self.progress.see(Event::Started(format!("ask {} for its terms", order.directory)));
            let terms = acme::terms(&self.site.net, &order.directory).await.map_err(Trouble::of)?;
            self.progress.see(Event::Done("done".into()));
            open.extend(terms.terms_of_service.map(|at| Question::terms(&at)));
        }
        open.extend(self.answers.email_is_open().then(Question::email));
        Ok(open)
    }

    /// A service beside the mail server that would keep the certificate which is replaced, where nobody said what becomes of it and
    /// it can be switched. Whoever is not asked leaves it as it is.
    fn of_companions(&self, facts: &Facts, plan: &Plan, intent: &Intent) -> Option<Question> {
        if self.args.print_only || self.args.staging || !self.settings().with.is_empty() {
            return None;
        }
        plan.next.as_ref().filter(|next| !matches!(next, Stage::Errand(Errand::Adopt(_))))?;
        let profile = self.site.profile_of(facts).ok()?;
        let one = |companion: &Companion| {
            let service = companion::Companion::named(&companion.id)?;
            let switched = Intent { with: vec![companion.id.clone()], ..intent.clone() };
            let plan = plan::plan(facts, &switched, &profile).ok().filter(|plan| plan.held.is_empty())?;
            let edits: Vec<_> = plan.edits().filter(|e| e.path.starts_with(service.folder)).collect();
            Some(Question::with(service, &companion.reads.first()?.leaf, &edits))
        };
        plan::left_behind(facts, intent).find_map(one)
    }

    /// What senders are to be told, where that was not said and there is something that can be kept; and who serves a policy that
    /// is begun for it.
    fn of_senders(&self, facts: &Facts) -> Option<Question> {
        if self.args.print_only || self.args.staging {
            return None;
        }
        let settings = self.settings();
        let prospects = policy::begin::outlook(self.site, &settings, facts);
        if settings.tell.is_empty() {
            let possible = publish::can_tell(facts, &self.site.place.mx);
            let policy = prospects.values().any(Prospect::concerns_us);
            return (!possible.is_empty()).then(|| Question::tell(&possible, policy));
        }
        let begun = prospects.iter().filter_map(|(domain, p)| if let Prospect::Begin(by) = p { Some((domain, *by)) } else { None });
        let (domains, usual): (Vec<&DnsName>, Vec<ServedBy>) = begun.unzip();
        let usual = *usual.first().filter(|_| settings.policy_host.is_none() && Tell::MtaSts.is_in(&settings.tell))?;
        Some(Question::policy_host(&domains, usual))
    }

    /// Asks; whether it must be looked again. `None` leaves.
    fn ask(&mut self, question: Question, past: &mut Past) -> Result<Option<bool>, Trouble> {
        let (id, before) = (question.id, self.answers.said.clone());
        let question = question.again(past.typed.get(&id));
        let mut said = before.clone();
        match wizard::ask(&question, past.asked.is_empty(), &mut said).map_err(no_answer)? {
            Said::Quit => Ok(None),
            Said::Back => self.back(past).map(Some),
            Said::Taken(_) if id == Id::AgreeTos && !said.agree_tos => {
                Err(Trouble::human("without its terms agreed to, the CA gives no certificate; nothing was changed").about("ca-terms"))
            }
            Said::Taken(typed) => {
                past.asked.push((id, before));
                past.typed.insert(id, typed);
                self.say(said)?;
                Ok(Some(id.moves_the_look()))
            }
        }
    }

    /// To what was said before the last question; whether it must be looked again.
    fn back(&mut self, past: &mut Past) -> Result<bool, Trouble> {
        let Some((id, before)) = past.asked.pop() else { return Ok(false) };
        self.say(before)?;
        Ok(id.moves_the_look())
    }

    fn say(&mut self, said: Settings) -> Result<(), Trouble> {
        let settings = said.clone().over(self.written.clone());
        self.site.place = place::over(&self.args.place, &settings);
        *self.answers = Answers::gather(self.args, said, &settings)?;
        Ok(())
    }

    fn approve(&self, can_ask: bool, past: &Past, facts: &Facts, plan: &Plan) -> Result<Approved, Trouble> {
        if !can_ask {
            return Err(Trouble::usage(NOT_APPROVED).about("approval-missing"));
        }
        let page = |context| report::plan_page(Style::of_stdout(), &facts.config_files(), plan, context);
        wizard::approve(past.asked.is_empty(), || Terminal::print_apart(&page(usize::MAX / 4), &page(0))).map_err(no_answer)
    }

    fn show(&self, facts: &Facts, plan: &Plan, outcome: &mut Outcome) {
        outcome.plan = Some(json::PlanDoc::of(&facts.config_files(), plan));
        outcome.findings = plan.findings().cloned().collect();
        if !self.global.json {
            let page = |context| report::plan_page(Style::of_stdout(), &facts.config_files(), plan, context);
            Terminal::print_apart(&format!("\n{}", page(1)), &format!("\n{}", page(0)));
        }
    }

    /// Why there is no plan, with everything else that is missing.
    fn refused(&self, facts: &Facts, refusal: &Refusal, mut open: Vec<Question>) -> Result<Trouble, Trouble> {
        let why = match self.site.profile_of(facts) {
            Ok(_) => place::refused(refusal.clone()),
            Err(no_server) => no_server,
        };
        let directory = self.answers.directory().unwrap_or(LETS_ENCRYPT);
        if !acme::has_account(&self.site.store, directory).map_err(Trouble::state)? {
            open.extend((!self.answers.agree_tos).then(|| Question::terms(&format!("see {directory}"))));
            open.extend(self.answers.email_is_open().then(Question::email));
        }
        open.retain(|q| matches!(q.id, Id::AgreeTos | Id::Email));
        Ok(if open.is_empty() { why } else { self.unanswered(&open, Some(why)) })
    }

    fn unanswered(&self, open: &[Question], why: Option<Trouble>) -> Trouble {
        let mut missing = wizard::missing(open);
        if !self.args.yes && !self.args.dry_run {
            missing.push(NOT_APPROVED.to_owned());
        }
        let head = match self.replayed {
            Some(file) => format!("{} does not answer everything; nothing was changed:", file.display()),
            None => "answers are missing, and nobody can be asked here; nothing was changed:".to_owned(),
        };
        let all = format!("{head}\n{}", missing.join("\n"));
        match why {
            Some(why) => Trouble { says: format!("{}\n{all}", why.says), ..why },
            None => Trouble::usage(all).about("answers-missing"),
        }
    }
}

fn declined() -> Ended {
    Ended::new("declined", 1, "Nothing was changed.")
}
