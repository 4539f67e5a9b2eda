//! `$name` and its relatives, as postconf(5) describes them.

/// A value that refers to itself; holds the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle(pub String);

/// `text` with every parameter replaced; a parameter that `get` does not know is empty.
///
/// # Errors
/// When a parameter refers to itself, directly or through others.
pub fn expand(text: &str, get: &dyn Fn(&str) -> Option<String>) -> Result<String, Cycle> {
    walk(text, get, &mut Vec::new())
}

/// No honest configuration nests deeper.
const DEPTH: usize = 100;

fn walk(text: &str, get: &dyn Fn(&str) -> Option<String>, inside: &mut Vec<String>) -> Result<String, Cycle> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((body, after)) = enclosed(rest, '{', '}').or_else(|| enclosed(rest, '(', ')')) {
            out.push_str(&one(body, get, inside)?);
            rest = after;
        } else {
            let (name, after) = rest.split_at(name_length(rest));
            if name.is_empty() {
                out.push('$');
            } else {
                out.push_str(&value_of(name, get, inside)?);
            }
            rest = after;
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, get: &dyn Fn(&str) -> Option<String>, inside: &mut Vec<String>) -> Result<String, Cycle> {
    if inside.iter().any(|n| n == name) || inside.len() > DEPTH {
        return Err(Cycle(name.to_owned()));
    }
    let Some(raw) = get(name) else { return Ok(String::new()) };
    inside.push(name.to_owned());
    let value = walk(&raw, get, inside);
    inside.pop();
    value
}

/// What stands between the braces: a name, or a condition with its values.
fn one(body: &str, get: &dyn Fn(&str) -> Option<String>, inside: &mut Vec<String>) -> Result<String, Cycle> {
    let body = body.trim_start();
    let (holds, rest) = if let Some((left, rest)) = enclosed(body, '{', '}') {
        let rest = rest.trim_start();
        let (operator, rest) = rest.split_at(rest.find(|c| !matches!(c, '=' | '!' | '<' | '>')).unwrap_or(rest.len()));
        let (kind, rest) = rest.split_at(name_length(rest));
        let Some((right, rest)) = enclosed(rest.trim_start(), '{', '}') else { return Ok(String::new()) };
        (compare(&walk(left, get, inside)?, operator, &walk(right, get, inside)?, kind == "level"), rest)
    } else {
        let (name, rest) = body.split_at(name_length(body));
        if !rest.trim_start().starts_with(['?', ':']) {
            return value_of(name, get, inside);
        }
        (get(name).is_some_and(|v| !v.is_empty()), rest)
    };
    let rest = rest.trim_start();
    let (yes, no) = if let Some(no) = rest.strip_prefix(':') {
        ("", value_text(no))
    } else if let Some(rest) = rest.strip_prefix('?') {
        match enclosed(rest.trim_start(), '{', '}') {
            Some((yes, rest)) => (yes, rest.trim_start().strip_prefix(':').map_or("", value_text)),
            None => (rest, ""),
        }
    } else {
        ("1", "")
    };
    walk(if holds { yes } else { no }, get, inside)
}

fn value_text(text: &str) -> &str {
    enclosed(text.trim_start(), '{', '}').map_or(text, |(body, _)| body)
}

/// What stands between an opening and its closing sign, and what follows.
fn enclosed(text: &str, open: char, close: char) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if at == 0 {
            return None;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return Some((&text[1..at], &text[at + 1..]));
            }
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len())
}

fn compare(left: &str, operator: &str, right: &str, level: bool) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let numbers = |t: &str| t.split('.').map(|p| p.trim().parse::<u64>().unwrap_or(0)).chain([0, 0, 0]).take(3).collect::<Vec<_>>();
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let order = if level || (digits(left) && digits(right)) { numbers(left).cmp(&numbers(right)) } else { left.cmp(right) };
    match operator {
        "==" => order == Equal,
        "!=" => order != Equal,
        "<" => order == Less,
        "<=" => order != Greater,
        ">" => order == Greater,
        ">=" => order != Less,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_manual() {
        let get = |n: &str| {
            Some(
                match n {
                    "a" => "A",
                    "b" => "[$a]",
                    "empty" => "",
                    "level" => "3.6",
                    "loop" => "x$pool",
                    "pool" => "${loop}",
                    _ => return None,
                }
                .to_owned(),
            )
        };
        for (text, want) in [
            ("plain", "plain"),
            ("$a ${a} $(a) $b $$a a$a-b", "A A A [A] $a aA-b"),
            ("${a?yes}${empty?no}${nope?no}", "yes"),
            ("${a:no}${empty:alt}${nope:$a}", "altA"),
            ("${a?{t}:{f}} ${empty?{t}:{f $a}} ${nope ? {t} : {f}}", "t f A f"),
            ("${{$level} <level {3.10} ? {old} : {new}} ${{2} == {2} ? {1} : {2}}", "old 1"),
            ("${{10} > {9}?{number}} ${{x} != {x}?{no}:{same}}", "number same"),
            ("$ $- ${a", "$ $- ${a"),
        ] {
            assert_eq!(expand(text, &get), Ok(want.to_owned()), "{text}");
        }
        assert_eq!(expand("$loop", &get), Err(Cycle("loop".into())));
    }
}
