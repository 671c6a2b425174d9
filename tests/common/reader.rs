//! A second reader of the exposition format, for tests only: character by character, nothing shared
//! with the library, so that the two do not agree by being the same. Panics on what it cannot read.

#![allow(clippy::unwrap_used, clippy::panic)] // a test fails by it

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

/// A sample: its labels, `__name__` among them, and what stands behind them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: String,
    pub(crate) rest: String,
}

/// The samples of a body; comments and blank lines are passed over. Newlines must be escaped.
pub(crate) fn samples(text: &[u8]) -> Vec<Sample> {
    read(text, false)
}

/// As [`samples`], of what Kong prints: newlines of label values come as they are.
pub(crate) fn kong_samples(text: &[u8]) -> Vec<Sample> {
    read(text, true)
}

fn read(text: &[u8], raw_newlines: bool) -> Vec<Sample> {
    let chars = std::str::from_utf8(text).unwrap().chars().peekable();
    let mut reader = Reader { chars, raw_newlines };
    let mut samples = Vec::new();
    while reader.chars.peek().is_some() {
        reader.blank();
        match reader.chars.peek() {
            Some('\n') => _ = reader.chars.next(),
            Some('#') => _ = reader.until(&['\n']),
            Some(_) => samples.push(reader.sample()),
            None => {}
        }
    }
    samples
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    raw_newlines: bool,
}

impl Reader<'_> {
    fn sample(&mut self) -> Sample {
        let mut labels = BTreeMap::new();
        let name = self.word(&['{', ' ', '\t', '\n']);
        if !name.is_empty() {
            labels.insert("__name__".to_owned(), name);
        }
        self.blank();
        if self.chars.next_if_eq(&'{').is_some() {
            self.labels(&mut labels);
        }
        assert!(labels.contains_key("__name__"), "no metric name: {labels:?}");
        self.blank();
        let value = self.word(&[' ', '\t', '\n']);
        let rest = self.until(&['\n']).trim().to_owned();
        assert_eq!(self.chars.next(), Some('\n'), "no line end");
        Sample { labels, value, rest }
    }

    fn labels(&mut self, labels: &mut BTreeMap<String, String>) {
        loop {
            self.blank();
            if self.chars.next_if_eq(&'}').is_some() {
                return;
            }
            let name = match self.chars.peek() {
                Some('"') => self.quoted(),
                _ => self.word(&['=', ' ', '\t']),
            };
            self.blank();
            let (key, value) = match self.chars.next_if_eq(&'=') {
                Some(_) => {
                    self.blank();
                    (name, self.quoted())
                }
                None => ("__name__".to_owned(), name),
            };
            assert!(!labels.contains_key(&key), "{key} twice");
            labels.insert(key, value);
            self.blank();
            match self.chars.next() {
                Some(',') => {}
                Some('}') => return,
                other => panic!("{other:?} after a label"),
            }
        }
    }

    fn quoted(&mut self) -> String {
        assert_eq!(self.chars.next(), Some('"'));
        let mut value = String::new();
        loop {
            match self.chars.next().unwrap() {
                '"' => return value,
                '\n' if !self.raw_newlines => panic!("a raw newline in quotes"),
                '\\' => match self.chars.next().unwrap() {
                    'n' => value.push('\n'),
                    c @ ('"' | '\\') => value.push(c),
                    c => value.extend(['\\', c]),
                },
                c => value.push(c),
            }
        }
    }

    fn word(&mut self, ends: &[char]) -> String {
        let word = self.until(ends);
        assert!(!word.contains(['"', '}']), "{word:?}");
        word
    }

    fn until(&mut self, ends: &[char]) -> String {
        let mut text = String::new();
        while let Some(c) = self.chars.next_if(|c| !ends.contains(c)) {
            text.push(c);
        }
        text
    }

    fn blank(&mut self) {
        while self.chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
    }
}
