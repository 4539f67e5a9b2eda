//! The promises, each a module, on real parts. Run by `tests/run`, which installs what they need.
#![allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods
)]

mod acme;
mod adopt;
mod alarm;
#[cfg(feature = "dns-apis")]
mod apis;
mod apply_files;
mod bad_nights;
mod booted;
mod by_name;
mod copies;
mod counts;
mod demo;
mod dialect;
mod dialogue;
mod dns;
mod dns_01;
mod dovecot;
mod exim;
mod exim_kill;
mod exim_odd;
mod exim_rehearse;
mod exim_renewal;
mod faults;
mod golden;
mod keepers;
mod kill_matrix;
mod kill_program;
mod kill_renewal;
mod lab;
mod long_run;
mod manual;
mod odd;
mod odd_faults;
mod odd_hosts;
mod opensmtpd;
mod package;
mod parsers;
mod policy_fetch;
mod policy_host;
mod policy_list;
mod policy_site;
mod policy_verbs;
mod power;
mod profiles;
mod proof;
mod publish;
mod records;
mod refusals;
mod rehearsal;
mod rehearse;
mod renewal;
mod retreat;
mod rollover;
mod rollover_odd;
mod seam;
mod senders;
mod sendmail;
mod shared_facts;
mod signed_zone;
mod stand_in;
mod strange_hosts;
mod survey;
mod telling;
mod told;
mod trial;
mod trixie;
mod verdicts;
mod wizard;
mod zones;
