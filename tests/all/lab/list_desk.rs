//! Whoever keeps a policy list, with the API of the EFF's as it was documented: what is asked for must have been looked at, and
//! counts when the token of the letter comes back.

use super::{authority::Issued, web::serve_by};
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard},
};

/// What stands in the letter.
pub const TOKEN: &str = "0123456789abcdef";

/// What it knows of its one domain.
#[derive(Default)]
pub struct Book {
    /// How far the domain got; empty where it is not known.
    pub state: &'static str,
    /// What its checker has against it.
    pub fault: Option<&'static str>,
    /// Everybody is told to wait.
    pub busy: bool,
    /// Every request with its form.
    pub asked: Vec<String>,
    scanned: bool,
}

/// The desk; it answers until the test ends.
pub struct ListDesk(Arc<Mutex<Book>>);

impl ListDesk {
    /// Opens it on a port.
    pub fn open(listener: TcpListener, issued: &Issued) -> Self {
        let book = Arc::new(Mutex::new(Book::default()));
        let kept = book.clone();
        serve_by(listener, issued, move |request, form| {
            let (status, message, response) = answer(&mut kept.lock().unwrap(), request, form);
            let envelope = json!({ "status_code": status, "message": message, "response": response });
            (format!("{status} -"), "application/json", envelope.to_string().into_bytes())
        });
        Self(book)
    }

    /// Its book, to be read and written in.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap()
    }
}

fn answer(book: &mut Book, request: &str, form: &str) -> (u16, &'static str, Value) {
    book.asked.push(format!("{request} {form}").trim_end().to_owned());
    let nothing = Value::Null;
    if book.busy {
        return (429, "", nothing);
    }
    match request {
        "GET /api/queue?domain=example.test" if book.state.is_empty() => (404, "No domain", nothing),
        "GET /api/queue?domain=example.test" => (200, "", json!({ "domain": "example.test", "mxs": [], "state": book.state })),
        "POST /api/scan" => {
            book.scanned = true;
            let status = if book.fault.is_some() { 2 } else { 0 };
            let check = json!({ "name": "certificate", "status": status, "messages": book.fault.iter().collect::<Vec<_>>() });
            let results = json!({ "mx1.example.test.": { "name": "hostnames", "status": status, "checks": { "certificate": check } } });
            (200, "", json!({ "domain": "example.test", "version": 1, "scandata": { "status": status, "results": results } }))
        }
        "POST /api/queue" if !book.scanned => (400, "We haven't scanned this domain yet.", nothing),
        "POST /api/queue" => {
            book.state = "unvalidated";
            (200, "", json!("Thank you for submitting your domain. Please check postmaster@example.test to validate."))
        }
        "POST /api/validate" if form == format!("token={TOKEN}") => {
            book.state = "queued";
            (200, "", json!("example.test"))
        }
        "POST /api/validate" => (400, "Token is not known", nothing),
        _ => (404, "no such page", nothing),
    }
}
