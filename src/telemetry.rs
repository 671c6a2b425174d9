//! Logs: events in, lines on stderr out, as text or as JSON.
//!
//! Messages are constant phrases, data is in fields. Nothing is logged per scrape above debug;
//! changes of state are.

use std::error::Error;
use std::fmt;
use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `2026-01-31T12:00:00Z INFO kong_metrics_exporter: listening address=[::]:9542`
    Text,
    /// One JSON object a line.
    Json,
}

/// Which events are logged: a level, or one for each target such as `info,hyper=debug`.
#[derive(Debug, Clone, PartialEq)]
pub struct Level(Targets);

impl std::str::FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A single word that is no level would be taken as a target name, and log next to nothing.
        let is_word = !text.contains(['=', ',']);
        if is_word && (text.is_empty() || text.parse::<LevelFilter>().is_err()) {
            return Err("expected error, warn, info, debug, trace, off, or TARGET=LEVEL,…".into());
        }
        text.parse()
            .map(|targets| Self(without_kube(targets)))
            .map_err(|error: tracing_subscriber::filter::ParseError| error.to_string())
    }
}

impl Level {
    /// Warnings and errors.
    pub fn warn() -> Self {
        Self(without_kube(Targets::new().with_default(LevelFilter::WARN)))
    }
}

/// kube warns at every attempt of what is told once here, and quotes whole answers. Who asks for
/// debug, or names it, gets it.
fn without_kube(targets: Targets) -> Targets {
    let is_asked_for = targets.default_level() > Some(LevelFilter::INFO)
        || targets.iter().any(|(target, _)| target.starts_with("kube"));
    if is_asked_for { targets } else { targets.with_target("kube", LevelFilter::OFF) }
}

/// Sends all events of this process to stderr from now on. A second call does nothing.
pub fn start(format: Format, level: &Level) {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(false)
        // Else a closed stderr ends in a panic of eprintln.
        .log_internal_errors(false);
    let lines = match format {
        Format::Text => lines.boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    // An error means that a subscriber is there already: whoever embeds us keeps his.
    let _ = tracing_subscriber::registry().with(lines.with_filter(level.0.clone())).try_init();
}

/// An error and its causes on one line: `cannot connect to kong: connection refused`.
pub(crate) struct Chain<'a>(pub(crate) &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // hyper and std repeat their cause's text now and then.
            if !said.contains(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken_and_typing_errors_are_not() {
        for good in ["info", "WARN", "off", "info,hyper=debug", "kong_metrics_exporter=trace"] {
            assert!(good.parse::<Level>().is_ok(), "{good}");
        }
        for bad in ["verbose", "inof", "", "a=b=c", "x=loud"] {
            assert!(bad.parse::<Level>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kube_is_quiet_unless_asked_for() {
        use tracing::Level as At;
        let would_log = |level: &str| {
            let Level(targets) = level.parse().unwrap();
            targets.would_enable("kube_client::client", &At::WARN)
        };
        assert!(!would_log("info"));
        assert!(!would_log("warn,hyper=debug"));
        assert!(would_log("debug"));
        assert!(would_log("info,kube_client=warn"));
    }

    #[test]
    fn a_chain_says_each_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other(io::Error::other("inner")));
        assert_eq!(Chain(&error).to_string(), "outer: inner");
    }
}
