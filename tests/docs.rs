//! The documentation, held against what is built: README.md, CHANGELOG.md, CONTRIBUTING.md and docs/.
//! In: their text. Asserted: flags, metrics, examples and links are true. docs/flags.md is made from
//! the arguments' definition; `UPDATE=1` writes it. tests/docs_metrics.rs has docs/metrics.md.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::CommandFactory;
use kong_metrics_exporter::args::Arguments;
use kong_metrics_exporter::mapping;
use regex::Regex;

#[test]
fn every_flag_is_in_the_table_as_it_is_defined() {
    let path = root().join("docs/flags.md");
    let table = flags_page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    assert!(fs::read_to_string(path).unwrap() == table, "UPDATE=1 cargo test --test docs");
}

#[test]
fn metrics_and_flags_that_are_mentioned_exist() {
    let page = text("docs/metrics.md");
    let metrics = table_rows(&page);
    let metrics: BTreeSet<_> = metrics.iter().map(|cells| unticked(&cells[0])).collect();
    let command = Arguments::command();
    let flags: BTreeSet<_> = command
        .get_subcommands()
        .flat_map(|command| command.get_arguments().filter_map(|argument| argument.get_long()))
        .chain(["help", "version"])
        .collect();
    // Those of cargo and of others.
    let foreign = ["release", "bench", "test", "lib", "smoke", "record", "size", "order", "check"];
    let foreign: BTreeSet<_> = foreign
        .into_iter()
        .chain([
            "all-targets",
            "no-deps",
            "profile",
            "locked",
            "path",
            "arch",
            "push",
            "enable-controller-controlplaneextensions",
            // Of helm, kubectl and prometheus-adapter.
            "field-selector",
            "install",
            "metrics-relist-interval",
            "raw",
            "server-side",
            "set",
            "values",
        ])
        .collect();
    let metric = Regex::new(r"\bkong_exporter_[a-z_]+[a-z]").unwrap();
    let flag = Regex::new(r"(?:^|[\s`(])--([a-z][a-z.-]*[a-z])").unwrap();
    for (path, text) in pages() {
        for name in metric.find_iter(&text).map(|found| found.as_str()) {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| name.strip_suffix(suffix))
                .unwrap_or(name);
            assert!(metrics.contains(family), "{}: no metric {name}", path.display());
        }
        for name in flag.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()) {
            let is_known = flags.contains(name) || foreign.contains(name);
            assert!(is_known, "{}: no flag --{name}", path.display());
        }
    }
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let link = Regex::new(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)").unwrap();
    for (path, text) in pages() {
        for found in link.captures_iter(&text) {
            let file = &found[1];
            if file.starts_with("http") {
                continue;
            }
            let target = path.parent().unwrap().join(file);
            let target = if file.is_empty() { path.clone() } else { target };
            assert!(target.exists(), "{}: {} leads nowhere", path.display(), &found[0]);
            if let Some(anchor) = found.get(2) {
                let text = fs::read_to_string(target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
                let is_there = headings.any(|heading| heading == anchor.as_str());
                assert!(is_there, "{}: {} leads nowhere", path.display(), &found[0]);
            }
        }
    }
}

#[test]
fn files_that_are_mentioned_exist() {
    let path =
        Regex::new(r"`((?:src|tests|docs|benches|fuzz|deploy|docker|\.ci)/[^`* ]*)").unwrap();
    // Made when they are needed.
    let made = ["benches/results", "fuzz/artifacts"];
    for (page, text) in pages() {
        for name in path.captures_iter(&text).map(|found| found.get(1).unwrap().as_str()) {
            let exists = root().join(name).exists() || made.contains(&name);
            assert!(exists, "{}: no {name}", page.display());
        }
    }
}

#[test]
fn the_readmes_before_becomes_its_after() {
    let readme = text("README.md");
    let blocks = blocks(&readme, "text");
    let block = |start: &str| *blocks.iter().find(|block| block.starts_with(start)).unwrap();
    let mapping = blocks_of_mapping(&readme);
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme-mapping.yaml");
    fs::write(&file, mapping).unwrap();
    let before = block("kong_upstream_latency_ms_count{service=");
    let after = block("kong_upstream_latency_ms_count{exported_service=");
    assert_eq!(enriched(&[], before), after);
    // The name of the mapping file's example.
    let sample = "kong_http_requests_total{service=\"httproute.web.echo.0\",code=\"200\"} 7\n";
    let flag = format!("--mapping=file:{}", file.display());
    assert!(
        enriched(&[&flag], sample)
            .contains("{exported_service=\"echo\",exported_namespace=\"web\"")
    );
}

#[test]
fn mapping_files_that_are_shown_are_mapping_files() {
    let mut shown = 0;
    for (path, text) in pages() {
        for kind in ["json", "yaml"] {
            for block in blocks(&text, kind).into_iter().filter(|block| block.contains("backends"))
            {
                let parsed = mapping::file::parse(block.as_bytes());
                assert!(parsed.is_ok(), "{}: {}", path.display(), parsed.unwrap_err());
                shown += 1;
            }
        }
    }
    assert!(shown > 0);
}

/// docs/flags.md, from the definition that `--help` prints.
fn flags_page() -> String {
    let mut page = "# Flags\n\nMade from the arguments' definition by `UPDATE=1 cargo test --test \
        docs`; `--help` says the same. Each flag has a twin in the environment, which counts where \
        the flag is not given. What cannot be used is refused at the start with the flag's name and \
        exit code 64.\n"
        .to_owned();
    for command in Arguments::command().get_subcommands_mut() {
        command.build();
        let about = command.get_about().unwrap();
        write!(page, "\n## `{}`\n\n{about}.\n", command.get_name()).unwrap();
        for argument in command.get_arguments().filter(|argument| argument.is_positional()) {
            let name = argument.get_value_names().unwrap()[0].as_str();
            write!(page, "\n`{name}`: {}.\n", argument.get_help().unwrap()).unwrap();
        }
        let mut heading = None;
        for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
            if heading != Some(argument.get_help_heading()) {
                heading = Some(argument.get_help_heading());
                let title = argument.get_help_heading().unwrap_or("Options");
                write!(page, "\n### {title}\n\n| flag | environment | default | meaning |\n")
                    .unwrap();
                page += "| --- | --- | --- | --- |\n";
            }
            let value = argument.get_action().takes_values();
            let value = value.then(|| format!("={}", argument.get_value_names().unwrap()[0]));
            let default: Vec<_> =
                argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
            let default = if value.is_none() { String::new() } else { default.join(",") };
            writeln!(
                page,
                "| `--{}{}` | `{}` | {} | {} |",
                argument.get_long().unwrap(),
                value.unwrap_or_default(),
                argument.get_env().unwrap().to_str().unwrap(),
                if default.is_empty() { default } else { format!("`{default}`") },
                argument.get_help().unwrap().to_string().replace('|', "\\|"),
            )
            .unwrap();
        }
    }
    page
}

fn enriched(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_kong-metrics-exporter"))
        .arg("enrich")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

/// The cells of all tables, but for the lines below the heads.
fn table_rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    let rows = rows.filter(|row| !row.starts_with("---"));
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

fn unticked(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// The fenced blocks of this kind.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn blocks_of_mapping(readme: &str) -> &str {
    blocks(readme, "yaml").into_iter().find(|block| block.starts_with("services:")).unwrap()
}

/// As GitHub makes it of a heading.
fn anchor_of(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn pages() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<_> =
        ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root().join(name)).into();
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    paths.extend(docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
