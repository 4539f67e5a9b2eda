//! The words by which IMAP and POP3 begin TLS, and no more of them: what a mail program is shown is the same certificate.
//! Answers are noted with the codes that SMTP has for the same, so that one judge reads them all.

use super::{
    prompt::Prompt,
    reply::{Fault, Talk},
    session::Attempt,
};
use crate::{
    facts::Known,
    view::{Reply, Wire},
    world::Net,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Lines that a server may say before it answers.
const LINES: usize = 100;

/// The words of one protocol.
struct Words {
    greets: &'static str,
    starttls: &'static str,
    agrees: &'static str,
    ends: &'static str,
}

/// RFC 9051.
const IMAP: Words = Words { greets: "* OK", starttls: "a STARTTLS", agrees: "a ", ends: "a LOGOUT" };
/// RFC 1939 and RFC 2595.
const POP3: Words = Words { greets: "+OK", starttls: "STLS", agrees: "", ends: "QUIT" };

impl Attempt {
    /// Greeting, TLS, and a polite end.
    pub(super) async fn mail_access(&mut self, net: &Net, tcp: Prompt) -> Result<(), Fault> {
        let wire = self.view.probe.wire;
        let words = if matches!(wire, Wire::Imap | Wire::Imaps) { &IMAP } else { &POP3 };
        if wire.begins_in_clear() {
            let mut talk = Talk::new(tcp);
            self.welcome(&mut talk, words).await?;
            self.stage = "after STARTTLS";
            talk.tell(words.starttls).await?;
            let agreed = answer(&mut talk, words).await?;
            let reply = Reply { code: if agreed.0 { 220 } else { 454 }, lines: vec![agreed.1] };
            self.view.starttls = Some(reply.clone());
            if !agreed.0 {
                return Err(Fault::Refused(reply));
            }
            if let Some(tls) = self.secure(net, talk.into_stream()?).await? {
                return self.leave(&mut Talk::new(tls), words).await;
            }
        } else if let Some(tls) = self.secure(net, tcp).await? {
            let mut talk = Talk::new(tls);
            self.welcome(&mut talk, words).await?;
            return self.leave(&mut talk, words).await;
        }
        Ok(())
    }

    async fn welcome<S: AsyncRead + AsyncWrite + Unpin>(&mut self, talk: &mut Talk<S>, words: &Words) -> Result<(), Fault> {
        self.stage = "instead of a greeting";
        let line = talk.line().await?;
        self.view.answered = true;
        let code = if line.starts_with(words.greets) { 220 } else { 554 };
        let reply = Reply { code, lines: vec![line] };
        self.view.greeting = Known::seen(reply.clone(), self.view.probe.addr.to_string());
        if code == 220 { Ok(()) } else { Err(Fault::Refused(reply)) }
    }

    async fn leave<S: AsyncRead + AsyncWrite + Unpin>(&mut self, talk: &mut Talk<S>, words: &Words) -> Result<(), Fault> {
        self.stage = "after the farewell";
        talk.tell(words.ends).await?;
        let (agreed, _) = answer(talk, words).await?;
        self.view.steps.push(("QUIT".to_owned(), if agreed { 221 } else { 500 }));
        Ok(())
    }
}

/// Whether the server agrees, and its words: IMAP may say other things before.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(talk: &mut Talk<S>, words: &Words) -> Result<(bool, String), Fault> {
    for _ in 0..LINES {
        let line = talk.line().await?;
        if let Some(said) = line.strip_prefix(words.agrees) {
            return Ok((said.starts_with("OK") || said.starts_with("+OK"), line));
        }
    }
    Err(Fault::ManyLines)
}
