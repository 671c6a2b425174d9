//! The command line: arguments and environment in, checked values out.
//!
//! Every flag is declared here and below, and nowhere else, each with an environment twin. What is
//! wrong is refused before anything starts, with the flag's name and exit code 64 (EX_USAGE).

mod control;
mod controller;
mod explain;
mod kubernetes;
mod listen;
mod objects;
mod plan;
mod publish;
mod render;
mod resolve;
mod sidecar;
mod values;
mod watch;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};

use crate::rewrite::{FamilyFilter, LabelNames};
use crate::sidecar::ListenAddress;
use crate::source::Source;
use crate::telemetry;

pub use control::Control;
pub use controller::Controller;
pub use explain::{Explain, Form};
pub use kubernetes::Kubernetes;
pub use listen::Listen;
pub use objects::Objects;
pub use plan::{Plan, Shown};
pub use publish::Publish;
pub use render::Render;
pub use resolve::{Output, Resolve};
pub use sidecar::Sidecar;
use values::positive_duration;
pub use watch::Watch;

/// Turns Kong's Prometheus metrics into metrics about Kubernetes Services.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Kong's metrics with the labels of Kubernetes Services
    Sidecar(Box<Sidecar>),
    /// Write the mapping into ConfigMaps, once for all sidecars of a cluster
    Publish(Box<Publish>),
    /// Put Kong's prometheus plugin onto what DataPlaneMetricsExtensions select
    Controller(Box<Control>),
    /// Rewrite one exposition, from FILE or standard input to standard output
    Enrich(Box<Enrich>),
    /// Work out from Kubernetes manifests which Services stand behind which Kong service
    Resolve(Box<Resolve>),
    /// Tell what maps to what, by which rule, and why not, from manifests or the cluster
    Explain(Box<Explain>),
    /// Show what the controller would write, for manifests or for the cluster, and why
    Plan(Box<Plan>),
    /// Print the definition of DataPlaneMetricsExtensions, for clusters without Kong Operator
    Crd,
    /// Print the sidecar as YAML, in what makes Kong's pods
    Render(Box<Render>),
    /// Show the sidecar at work in front of a make-believe Kong, on this host alone
    Demo(Demo),
}

/// Arguments of `enrich`.
#[derive(Debug, Args)]
pub struct Enrich {
    /// The exposition to rewrite; standard input if left out
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Append the exporter's own metrics about this run
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_SELF_METRICS",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub self_metrics: bool,

    /// Exit with 1 if a line was lost
    #[arg(
        long,
        env = "KONG_METRICS_EXPORTER_STRICT",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    pub strict: bool,

    /// Where the mapping comes from.
    #[command(flatten)]
    pub mapping: Mapping,
    #[command(flatten)]
    labels: Labels,
    #[command(flatten)]
    families: Families,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// How long to run, such as 10s; until ^C if left out
    #[arg(
        long = "for",
        env = "KONG_METRICS_EXPORTER_FOR",
        value_name = "DURATION",
        value_parser = positive_duration
    )]
    pub duration: Option<Duration>,

    /// Where the sidecar listens: HOST:PORT; port 0 takes a free one
    #[arg(
        long = "web.listen-address",
        env = "KONG_METRICS_EXPORTER_WEB_LISTEN_ADDRESS",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9542"
    )]
    pub listen_address: ListenAddress,
}

/// Where the mapping comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Mapping")]
pub struct Mapping {
    /// What tells which Services stand behind a Kong service: none (names alone), file:PATH (a
    /// mapping file), dir:PATH (mounted shards of `publish`) or published:NAME (the same, watched)
    #[arg(
        long = "mapping",
        env = "KONG_METRICS_EXPORTER_MAPPING",
        value_name = "SOURCE",
        default_value = "none"
    )]
    pub source: Source,
}

/// The labels to write.
#[derive(Debug, Args)]
#[command(next_help_heading = "Labels")]
struct Labels {
    /// The label for the Service's name
    #[arg(
        long = "label.service",
        env = "KONG_METRICS_EXPORTER_LABEL_SERVICE",
        value_name = "NAME",
        default_value = "exported_service"
    )]
    service: String,

    /// The label for the Service's namespace
    #[arg(
        long = "label.namespace",
        env = "KONG_METRICS_EXPORTER_LABEL_NAMESPACE",
        value_name = "NAME",
        default_value = "exported_namespace"
    )]
    namespace: String,

    /// The label for Kong's own name of the service
    #[arg(
        long = "label.kong-service",
        env = "KONG_METRICS_EXPORTER_LABEL_KONG_SERVICE",
        value_name = "NAME",
        default_value = "kong_service"
    )]
    kong_service: String,
}

impl Labels {
    fn check(&self) -> Result<Arc<LabelNames>, clap::Error> {
        LabelNames::new(&self.service, &self.namespace, &self.kong_service)
            .map(Arc::new)
            .map_err(usage)
    }
}

/// The families to pass on.
#[derive(Debug, Args)]
#[command(next_help_heading = "Families")]
struct Families {
    /// Pass only families of these names: regular expressions, comma separated or repeated
    #[arg(
        long = "metric-allowlist",
        env = "KONG_METRICS_EXPORTER_METRIC_ALLOWLIST",
        value_name = "REGEX",
        value_delimiter = ','
    )]
    allow: Vec<String>,

    /// Pass no families of these names; wins over the allowlist
    #[arg(
        long = "metric-denylist",
        env = "KONG_METRICS_EXPORTER_METRIC_DENYLIST",
        value_name = "REGEX",
        value_delimiter = ','
    )]
    deny: Vec<String>,
}

impl Families {
    fn check(&self) -> Result<Arc<FamilyFilter>, clap::Error> {
        // One list at a time, so that the message can name the flag.
        for (flag, list) in [("metric-allowlist", &self.allow), ("metric-denylist", &self.deny)] {
            FamilyFilter::new(list, &[]).map_err(|error| usage(format!("--{flag}: {error}")))?;
        }
        FamilyFilter::new(&self.allow, &self.deny).map(Arc::new).map_err(usage)
    }
}

/// Logs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Logs")]
pub struct Logs {
    /// What a log line looks like
    #[arg(
        long = "log.format",
        env = "KONG_METRICS_EXPORTER_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub format: telemetry::Format,

    /// Which events are logged: error, warn, info, debug, trace, off, or TARGET=LEVEL,…
    #[arg(
        long = "log.level",
        env = "KONG_METRICS_EXPORTER_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    pub level: telemetry::Level,
}

impl Enrich {
    /// The labels to write and the families to pass on.
    ///
    /// # Errors
    /// Names the flag whose value cannot be used.
    pub fn rules(&self) -> Result<(Arc<LabelNames>, Arc<FamilyFilter>), clap::Error> {
        Ok((self.labels.check()?, self.families.check()?))
    }
}

/// Reads the arguments of this process; the environment fills in. `Err` is the exit code of a run
/// that ends here, after help, the version or what is wrong has been printed.
pub fn parse() -> Result<Arguments, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| refuse(&error))
}

/// As [`parse`], from a given list that starts with the program's name. Prints nothing.
pub fn parse_from(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Arguments, clap::Error> {
    let arguments = Arguments::try_parse_from(arguments)?;
    // What clap cannot check flag by flag.
    match &arguments.command {
        Command::Sidecar(sidecar) => drop(sidecar.config()?),
        Command::Enrich(enrich) => drop(enrich.rules()?),
        Command::Publish(_) | Command::Controller(_) | Command::Crd => {}
        Command::Resolve(resolve) => resolve.objects.required()?,
        Command::Explain(explain) => drop(explain.subject()?),
        Command::Plan(_) => {}
        Command::Render(render) => drop(render.settings()?),
        Command::Demo(_) => {}
    }
    Ok(arguments)
}

/// Prints a usage error, or the help that was asked for, and says with what to exit.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Nobody is left to tell when this fails.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS }
}

fn usage(message: impl std::fmt::Display) -> clap::Error {
    Arguments::command().error(ErrorKind::ValueValidation, message)
}

const KONG: &str = "Kong";
const WEB: &str = "Web";

/// `EX_USAGE` of sysexits.h.
const EX_USAGE: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, clap::Error> {
        parse_from(["kong-metrics-exporter"].iter().chain(arguments))
    }

    fn refused(argument: &str) -> String {
        parse(&["sidecar", argument]).unwrap_err().to_string()
    }

    #[test]
    fn every_flag_has_an_environment_twin_that_is_named_after_it() {
        for command in Arguments::command().get_subcommands() {
            for flag in command.get_arguments().filter(|a| a.get_long().is_some()) {
                let long = flag.get_long().unwrap();
                if ["help", "version"].contains(&long) {
                    continue;
                }
                let twin = long.to_uppercase().replace(['.', '-'], "_");
                let env = flag.get_env().and_then(|env| env.to_str()).unwrap_or_default();
                assert_eq!(env, format!("KONG_METRICS_EXPORTER_{twin}"));
            }
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let Command::Sidecar(sidecar) = parse(&["sidecar"]).unwrap().command else { panic!() };
        let config = sidecar.config().unwrap();
        assert_eq!(format!("{config:?}"), format!("{:?}", crate::sidecar::Config::default()));
        assert_eq!(sidecar.listen.listen_addresses, [":9542".parse().unwrap()]);
        assert_eq!(sidecar.shutdown_delay, Duration::from_secs(10));
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_flags_name() {
        for argument in [
            "--kong.url=https://127.0.0.1:8444/metrics",
            "--kong.url=unix:/run/kong",
            "--kong.url=127.0.0.1:8100",
            "--kong.url=http://user:word@127.0.0.1/",
            "--kong.timeout=0s",
            "--kong.timeout=5",
            "--web.listen-address=9542",
            "--web.telemetry-path=metrics",
            "--web.telemetry-path=/livez",
            "--web.telemetry-path=/a?b",
            "--web.max-requests=0",
            "--web.max-connections=0",
            "--web.gzip-level=10",
            "--shutdown-delay=soon",
            "--mapping=dir:",
            "--mapping=watch:all",
            "--namespaces=A",
            "--gateway=kong",
            "--watch.list=all",
            "--mapping=published:A",
            "--mapping.namespace=A.b",
            "--mapping=file:",
            "--label.service=pod",
            "--label.namespace=exported-namespace",
            "--label.kong-service=",
            "--metric-allowlist=kong_(",
            "--metric-denylist=ok,[",
            "--log.format=xml",
            "--log.level=loud",
        ] {
            let (flag, _) = argument.split_once('=').unwrap();
            let message = refused(argument);
            assert!(message.contains(flag), "{argument}: {message}");
        }
    }

    #[test]
    fn lists_may_be_repeated_or_separated() {
        let arguments =
            ["sidecar", "--web.listen-address=:1,:2", "--web.listen-address=127.0.0.1:3"];
        let Command::Sidecar(sidecar) = parse(&arguments).unwrap().command else { panic!() };
        let addresses: Vec<_> =
            sidecar.listen.listen_addresses.iter().map(|a| a.to_string()).collect();
        assert_eq!(addresses, [":1", ":2", "127.0.0.1:3"]);
    }
}
