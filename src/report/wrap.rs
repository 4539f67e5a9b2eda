//! Lines that a terminal can hold.

use super::Style;
use console::measure_text_width;

/// `text` behind `label`, in lines that the terminal can hold.
#[must_use]
pub fn row(style: Style, label: &str, text: &str) -> String {
    let mut out = String::new();
    hang(&mut out, label, text, style.width);
    out
}

/// Adds `text` behind `label`, broken between words where `width` columns end; what follows hangs below its first word. A
/// word that is longer, such as a path, stays whole.
pub(super) fn hang(out: &mut String, label: &str, text: &str, width: usize) {
    let indent = measure_text_width(label);
    let mut lead = label.to_owned();
    for line in text.lines() {
        // What is indented stays so: a caret stands below a column.
        let words = line.trim_start_matches(' ');
        let start = indent + line.len() - words.len();
        let mut column = start;
        out.push_str(&lead);
        out.push_str(&line[..line.len() - words.len()]);
        for word in words.split(' ') {
            let long = measure_text_width(word);
            if column > start && column + 1 + long > width {
                out.push('\n');
                out.push_str(&" ".repeat(start));
                column = start;
            } else if column > start {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += long;
        }
        out.push('\n');
        lead = " ".repeat(indent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_hang() {
        for (label, text, width, expected) in [
            ("  so: ", "mail waits", 80, "  so: mail waits\n"),
            ("  so: ", "mail waits here", 16, "  so: mail waits\n      here\n"),
            ("  so: ", "mail waits here", 15, "  so: mail\n      waits\n      here\n"),
            ("- ", "/a/path/that/is/long is kept", 10, "- /a/path/that/is/long\n  is kept\n"),
            ("- ", "one\ntwo three", 7, "- one\n  two\n  three\n"),
            ("- ", "größer über", 8, "- größer\n  über\n"),
            ("", "wrong:\n   |  ^ here", 80, "wrong:\n   |  ^ here\n"),
            ("- ", "  one two", 7, "-   one\n    two\n"),
            ("\u{1b}[31mno\u{1b}[0m ", "colour has no width", 13, "\u{1b}[31mno\u{1b}[0m colour has\n   no width\n"),
        ] {
            let mut out = String::new();
            hang(&mut out, label, text, width);
            assert_eq!(out, expected, "{text:?} in {width}");
        }
    }
}
