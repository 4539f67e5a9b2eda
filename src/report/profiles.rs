//! The mail servers that are known, on a terminal.

use super::{
    Style,
    json::{ProfileDoc, ProfilesDoc},
    wrap::hang,
};

/// Each with where it comes from, whether it is here, and why; then which of them is worked on.
#[must_use]
pub fn profiles_page(style: Style, document: &ProfilesDoc) -> String {
    let mut out = String::new();
    let longest = document.profiles.iter().map(|p| p.id.len()).max().unwrap_or(0);
    for profile in &document.profiles {
        hang(&mut out, &format!("  {:<longest$}  ", profile.id), &told(profile), style.width);
    }
    let last = match (&document.server, &document.why) {
        (Some(id), _) => format!("mxseal works on {id} here."),
        (None, why) => format!("mxseal works on none of them here: {}.", why.as_deref().unwrap_or("none was found")),
    };
    out.push('\n');
    hang(&mut out, "", &last, style.width);
    out
}

fn told(profile: &ProfileDoc) -> String {
    let origin = match (&profile.file, profile.replaces) {
        (None, _) => "built in".to_owned(),
        (Some(file), false) => file.display().to_string(),
        (Some(file), true) => format!("{}, instead of the one that is built in", file.display()),
    };
    let here = if profile.fits { "matches" } else { "does not match" };
    format!("{}, {origin}\n{here}: {}", profile.title, profile.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_says_where_it_comes_from_and_why_it_is_here() {
        let one = |id: &str, file: Option<&str>, replaces, fits, why: &str| ProfileDoc {
            id: id.into(),
            title: id.to_uppercase(),
            file: file.map(Into::into),
            replaces,
            fits,
            why: why.into(),
        };
        let mut document = ProfilesDoc {
            version: 1,
            server: Some("relay".into()),
            why: None,
            profiles: vec![
                one("exim", None, false, false, "EXIM is not installed: there is no /x"),
                one("postfix", Some("/p.toml"), true, true, "it is installed, but nothing listens on port 25"),
                one("relay", Some("/r.toml"), false, true, "it receives on port 25 (pid 7)"),
            ],
        };
        let rows = "  exim     EXIM, built in\n           does not match: EXIM is not installed: there is no /x\n  \
                    postfix  POSTFIX, /p.toml, instead of the one that is built in\n           \
                    matches: it is installed, but nothing listens on port 25\n  \
                    relay    RELAY, /r.toml\n           matches: it receives on port 25 (pid 7)\n\n";
        assert_eq!(profiles_page(Style::default(), &document), format!("{rows}mxseal works on relay here.\n"));
        (document.server, document.why) = (None, Some("name one with --mta".into()));
        assert_eq!(profiles_page(Style::default(), &document), format!("{rows}mxseal works on none of them here: name one with --mta.\n"));
    }
}
