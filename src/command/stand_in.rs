//! `mxseal stand-in`: the mail server of a rehearsal where none can be copied, and the commands that ask it and tell it things.

use super::Trouble;
use crate::{
    cli::StandIn,
    rehearsal::receiver::{self, Word},
    report::Terminal,
};

pub(super) async fn run(args: &StandIn) -> Result<u8, Trouble> {
    let said = match args {
        StandIn::Serve { dir, fault } => {
            // Ctrl-C is for whoever started it: it ends with them, and not before they have put everything back.
            let _ = nix::unistd::setsid();
            receiver::serve(dir, *fault, || Terminal::print(receiver::READY)).await
        }
        StandIn::Reload { dir } => receiver::tell(dir, Word::Reload),
        StandIn::Status { dir } => receiver::tell(dir, Word::Status),
        StandIn::Check { dir } => receiver::check(dir),
        StandIn::Values { dir, names } => receiver::values(dir, names).map(|text| Terminal::print(&text)),
        StandIn::Version => {
            Terminal::print(receiver::VERSION);
            Ok(())
        }
    };
    said.map(|()| 0).map_err(|why| Trouble::human(format!("stand-in: {why}")))
}
