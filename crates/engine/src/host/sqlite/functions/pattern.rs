//! LIKE and GLOB, as SQLite's `patternCompare` does them, step by step, so that they can be stopped.

use crate::host::sqlite::watch::Watch;

/// Steps between two questions whether to stop: some hundred microseconds.
const STEPS_BETWEEN_CHECKS: u32 = 1 << 16;

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Dialect {
    /// `%`, `_`, letters of ASCII without case.
    Like,
    /// `*`, `?`, `[sets]`.
    Glob,
}

/// How a pattern is read, and how much work is left before the next check.
pub(super) struct Pattern<'a> {
    dialect: Dialect,
    /// Any number of characters; 0 when it is the escape.
    all: u32,
    /// One character; 0 when it is the escape.
    one: u32,
    /// The escape of LIKE, 0 without one; what begins a set for GLOB.
    other: u32,
    watch: &'a Watch,
    steps: u32,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Outcome {
    Match,
    No,
    /// No, and not further on in the text either.
    Never,
}

/// The next character, as `sqlite3Utf8Read` has it; 0 at the end.
fn read(text: &mut &[u8]) -> u32 {
    let Some((first, rest)) = text.split_first() else {
        return 0;
    };
    *text = rest;
    let first = u32::from(*first);
    if first < 0xc0 {
        return first;
    }
    let mut character = match first {
        0xc0..=0xdf => first & 0x1f,
        0xe0..=0xef => first & 0x0f,
        0xf0..=0xf7 => first & 0x07,
        0xf8..=0xfb => first & 0x03,
        // The table of `sqlite3Utf8Trans1` ends 0, 1, 0, 0.
        0xfd => 1,
        _ => 0,
    };
    while let Some((next, rest)) = text.split_first()
        && next & 0xc0 == 0x80
    {
        character = character
            .wrapping_shl(6)
            .wrapping_add(u32::from(next & 0x3f));
        *text = rest;
    }
    let is_valid =
        character >= 0x80 && character & 0xffff_f800 != 0xd800 && character & 0xffff_fffe != 0xfffe;
    if is_valid { character } else { 0xfffd }
}

impl<'a> Pattern<'a> {
    pub(super) fn new(dialect: Dialect, mut escape: Option<&[u8]>, watch: &'a Watch) -> Self {
        let escape = escape.as_mut().map_or(0, read);
        let (all, one, other) = match dialect {
            Dialect::Like => ('%', '_', escape),
            Dialect::Glob => ('*', '?', u32::from('[')),
        };
        let unless_escape = |meaning: char| match u32::from(meaning) {
            meaning if meaning == escape => 0,
            meaning => meaning,
        };
        Self {
            dialect,
            all: unless_escape(all),
            one: unless_escape(one),
            other,
            watch,
            steps: STEPS_BETWEEN_CHECKS,
        }
    }

    /// Whether all of `text` is as `pattern` says. None when the statement must stop.
    pub(super) fn matches(&mut self, pattern: &[u8], text: &[u8]) -> Option<bool> {
        Some(self.compare(pattern, text)? == Outcome::Match)
    }

    fn step(&mut self) -> Option<()> {
        self.steps -= 1;
        if self.steps == 0 {
            self.steps = STEPS_BETWEEN_CHECKS;
            if self.watch.must_stop() {
                return None;
            }
        }
        Some(())
    }

    fn compare(&mut self, mut pattern: &[u8], mut text: &[u8]) -> Option<Outcome> {
        // What follows an escape means itself.
        let mut escaped = None;
        loop {
            self.step()?;
            let mut wanted = read(&mut pattern);
            if wanted == 0 {
                return Some(if text.is_empty() {
                    Outcome::Match
                } else {
                    Outcome::No
                });
            }
            if wanted == self.all {
                return self.compare_anywhere(pattern, text);
            }
            if wanted == self.other && self.dialect == Dialect::Glob {
                match self.compare_set(&mut pattern, &mut text)? {
                    true => continue,
                    false => return Some(Outcome::No),
                }
            }
            if wanted == self.other {
                wanted = read(&mut pattern);
                if wanted == 0 {
                    return Some(Outcome::No);
                }
                escaped = Some(pattern.len());
            }
            let found = read(&mut text);
            let same_letter = self.dialect == Dialect::Like
                && wanted < 0x80
                && found < 0x80
                && lower(wanted) == lower(found);
            let any = wanted == self.one && escaped != Some(pattern.len()) && found != 0;
            if !(wanted == found || same_letter || any) {
                return Some(Outcome::No);
            }
        }
    }

    /// `pattern` is what follows a `%` or `*`: looks for a place in `text` from which on it matches.
    fn compare_anywhere(&mut self, mut pattern: &[u8], mut text: &[u8]) -> Option<Outcome> {
        let (mut wanted, from) = loop {
            self.step()?;
            let from = pattern;
            let wanted = read(&mut pattern);
            let is_one = wanted == self.one && wanted != 0;
            if is_one && read(&mut text) == 0 {
                return Some(Outcome::Never);
            }
            if !is_one && (wanted == 0 || wanted != self.all) {
                break (wanted, from);
            }
        };
        if wanted == 0 {
            return Some(Outcome::Match);
        }
        if wanted == self.other && self.dialect == Dialect::Glob {
            while !text.is_empty() {
                match self.compare(from, text)? {
                    Outcome::No => {}
                    outcome => return Some(outcome),
                }
                read(&mut text);
            }
            return Some(Outcome::Never);
        }
        if wanted == self.other {
            wanted = read(&mut pattern);
            if wanted == 0 {
                return Some(Outcome::Never);
            }
        }
        loop {
            self.step()?;
            if let Ok(byte) = u8::try_from(wanted)
                && byte.is_ascii()
            {
                let other_case = match self.dialect {
                    Dialect::Like if byte.is_ascii_lowercase() => byte.to_ascii_uppercase(),
                    Dialect::Like => byte.to_ascii_lowercase(),
                    Dialect::Glob => byte,
                };
                let Some(at) = memchr::memchr2(byte, other_case, text) else {
                    return Some(Outcome::Never);
                };
                text = &text[at + 1..];
            } else {
                match read(&mut text) {
                    0 => return Some(Outcome::Never),
                    found if found != wanted => continue,
                    _ => {}
                }
            }
            match self.compare(pattern, text)? {
                Outcome::No => {}
                outcome => return Some(outcome),
            }
        }
    }

    /// Whether the next character is in the set whose `[` has been read.
    fn compare_set(&mut self, pattern: &mut &[u8], text: &mut &[u8]) -> Option<bool> {
        let found = read(text);
        if found == 0 {
            return Some(false);
        }
        let close = u32::from(']');
        let mut before = 0;
        let mut seen = false;
        let mut next = read(pattern);
        let inverted = next == u32::from('^');
        if inverted {
            next = read(pattern);
        }
        if next == close {
            seen |= found == close;
            next = read(pattern);
        }
        while next != 0 && next != close {
            self.step()?;
            let is_range = next == u32::from('-')
                && before > 0
                && pattern.first().is_some_and(|byte| *byte != b']');
            if is_range {
                next = read(pattern);
                seen |= (before..=next).contains(&found);
                before = 0;
            } else {
                seen |= found == next;
                before = next;
            }
            next = read(pattern);
        }
        Some(next == close && seen != inverted)
    }
}

fn lower(character: u32) -> u32 {
    u8::try_from(character).map_or(character, |byte| byte.to_ascii_lowercase().into())
}
