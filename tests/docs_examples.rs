//! The blocks of shell, YAML and PromQL in the documentation. In: README.md, CONTRIBUTING.md and docs/.
//! Asserted: the exporter takes its commands as they stand there, files and folders that a command
//! names are there, and queries and configuration files are understood. Objects go through a real
//! API server in tests/cluster, where the blocks of shell are also run.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "common/blocks.rs"]
mod blocks;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::Parser;
use kong_metrics_exporter::args::{Arguments, Command as Ours};
use kong_metrics_exporter::sidecar::{Tls, TlsError};
use serde_json::{Value, json};

use crate::blocks::{Block, blocks};

#[test]
fn commands_that_are_shown_are_understood() {
    let mut programs = BTreeSet::new();
    for block in blocks("sh") {
        for words in commands(&block.text) {
            let of = format!("{}: {}", block.page, words.join(" "));
            look_at(&words, &of);
            programs.insert(words[0].clone());
        }
    }
    for program in ["cargo", "helm", "kong-metrics-exporter", "kubectl"] {
        assert!(programs.contains(program), "no {program} in {programs:?}");
    }
}

#[test]
fn configurations_of_the_web_are_understood() {
    let with_tls = blocks("yaml").into_iter().filter(|b| b.text.contains("tls_server_config"));
    let mut seen = 0;
    for Block { page, text } in with_tls {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("web-of-docs.yaml");
        fs::write(&file, text).unwrap();
        // All but the certificates is there.
        let error = Tls::read(&file).unwrap_err();
        assert!(matches!(error, TlsError::Pem { .. }), "{page}: {error}");
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn queries_that_are_shown_are_queries() {
    if Command::new("promtool").arg("--version").output().is_err() {
        println!("not run: queries of the documentation: no promtool in PATH (package prometheus)");
        return;
    }
    let queries = blocks("promql").into_iter().enumerate();
    let rules = queries.map(|(i, block)| json!({"record": format!("of:{i}"), "expr": block.text}));
    let rules: Vec<Value> = rules.collect();
    assert!(rules.len() > 1);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("queries-of-docs.yaml");
    let groups = json!({"groups": [{"name": "docs", "rules": rules}]});
    fs::write(&file, groups.to_string()).unwrap();
    let output = Command::new("promtool").args(["check", "rules"]).arg(&file).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&told));
}

/// One simple command.
fn look_at(words: &[String], of: &str) {
    let arguments = &words[1..];
    let files = arguments.iter().flat_map(|argument| {
        let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
        [argument.as_str(), value]
    });
    for file in files {
        let is_ours = ["deploy/", "docker/", "tests/", "fuzz/", "benches/", "docs/", ".ci/"];
        if is_ours.iter().any(|folder| file.starts_with(folder)) {
            assert!(root().join(file).exists(), "{of}: no {file}");
        }
    }
    match words[0].as_str() {
        "kong-metrics-exporter" => {
            let parsed = Arguments::try_parse_from(words);
            let parsed = parsed.unwrap_or_else(|error| panic!("{of}: {error}"));
            if let Ours::Render(render) = parsed.command {
                render.settings().unwrap_or_else(|error| panic!("{of}: {error}"));
            }
        }
        "kubectl" => {
            let verbs = ["apply", "exec", "get", "port-forward"];
            assert!(verbs.contains(&words[1].as_str()), "{of}: what does it do?");
            if let Some(at) = words.iter().position(|word| word == "-k") {
                let file = root().join(&words[at + 1]).join("kustomization.yaml");
                assert!(file.exists(), "{of}: no {}", file.display());
            }
        }
        "helm" => assert_eq!(words[1..3], ["upgrade", "--install"], "{of}"),
        "cargo" | "curl" | "grep" | "rustup" => {}
        // A script of this repository.
        script => assert!(root().join(script).is_file(), "{of}: what is {script}?"),
    }
}

/// The simple commands of a script: words, without redirections. No quoting but `'…'` is used.
fn commands(script: &str) -> Vec<Vec<String>> {
    let script = script.replace("\\\n", " ");
    let lines = script.lines().map(|line| line.split(" #").next().unwrap().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut all = Vec::new();
    for line in lines {
        let mut words = vec![String::new()];
        let mut quoted = false;
        let mut commands = Vec::new();
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                '|' if !quoted => commands.push(std::mem::replace(&mut words, vec![String::new()])),
                c => words.last_mut().unwrap().push(c),
            }
        }
        commands.push(words);
        for mut words in commands {
            words.retain(|word| !word.is_empty());
            if let Some(end) = words.iter().position(|word| word.starts_with(['>', '<'])) {
                words.truncate(end);
            }
            // A setting of the environment for one command.
            let is_setting = |word: &String| {
                word.split_once('=').is_some_and(|(name, _)| name == name.to_uppercase())
            };
            let settings = words.iter().take_while(|word| is_setting(word)).count();
            all.push(words.split_off(settings));
        }
    }
    all
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
