//! `plan`: manifests or a cluster in, what the controller would write out.
//!
//! A cluster is read once, as the controller reads it at its start; of the objects that would be
//! written each is then read whole.
//!
//! The writes go to standard output, in their order or as the objects that come of them; what becomes
//! of each Service is told on standard error.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use humantime::format_duration;
use kube::api::GetParams;
use kube::core::Request;
use serde_json::Value;
use tokio::runtime::Builder;

use crate::args::{self, Shown};
use crate::cluster::board::Board;
use crate::cluster::control::{self, Seen};
use crate::cluster::trouble::{Unanswered, within};
use crate::cluster::{client, resource};
use crate::command::objects;
use crate::controller::placement::Placed;
use crate::controller::{Plan, View, Write, keys, plan};
use crate::kubernetes::manifest::Manifests;
use crate::kubernetes::{Key, ObjectKind};
use crate::source::watch;
use crate::telemetry::{self, Chain, Format, Level};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Objects(#[from] objects::Error),
    #[error("{}: {message}", path.display())]
    Whole { path: PathBuf, message: String },
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Connect(#[from] client::Error),
    #[error("the API server has not listed everything within {}: {missing}", format_duration(*.timeout))]
    Late { timeout: Duration, missing: String },
    #[error("the API server refuses what is needed: {missing}")]
    Refused { missing: String },
    #[error("cannot read {0}")]
    Get(Key, #[source] Unanswered),
    #[error("{0} is no JSON")]
    Json(Key, #[source] serde_json::Error),
    #[error("cannot print an object")]
    Print(#[source] serde_saphyr::ser::Error),
    #[error("cannot write the output")]
    Write(#[source] io::Error),
}

/// 0, or 1 if an input cannot be read in full.
pub(super) fn run(arguments: &args::Plan) -> ExitCode {
    match show(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(Error::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kong-metrics-exporter: {}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// What was read, what would be written, and the objects that would be written to as they are.
struct Planned {
    view: View,
    plan: Plan,
    whole_objects: BTreeMap<Key, Value>,
}

fn show(arguments: &args::Plan) -> Result<(), Error> {
    let Planned { view, plan, mut whole_objects } = if arguments.objects.paths.is_empty() {
        // What goes wrong between here and the API server is told as it happens.
        telemetry::start(Format::Text, &Level::warn());
        let runtime = Builder::new_current_thread().enable_io().enable_time().build();
        runtime.map_err(Error::Start)?.block_on(of_cluster(arguments))?
    } else {
        of_manifests(arguments)?
    };
    let printed = match arguments.output {
        Shown::Diff => diff(&plan.writes, &mut whole_objects),
        Shown::Objects => afterwards(&plan.writes, &mut whole_objects)?,
    };
    io::stdout().lock().write_all(printed.as_bytes()).map_err(Error::Write)?;
    plan.extensions.iter().for_each(tell);
    tell_of_the_others(&view, &plan);
    Ok(())
}

fn of_manifests(arguments: &args::Plan) -> Result<Planned, Error> {
    let (mut manifests, mut inputs) = (Manifests::default(), Vec::new());
    for path in &arguments.objects.paths {
        for (path, text) in objects::texts(path)? {
            let read = manifests.read(&text, arguments.objects.defaults());
            read.map_err(|error| objects::Error::Manifest { path: path.clone(), error })?;
            inputs.push((path, text));
        }
    }
    let mut view = View::new(arguments.config().settings);
    for object in manifests.objects {
        view.apply(object);
    }
    let plan = plan(&view, &arguments.options());

    let touched: BTreeSet<_> = plan.writes.iter().map(|write| &write.object).collect();
    let mut whole_objects = BTreeMap::new();
    for (path, text) in &inputs {
        let whole = whole(text).map_err(|message| Error::Whole { path: path.clone(), message })?;
        let keyed = whole.into_iter().filter_map(|value| Some((key_of(&value)?, value)));
        whole_objects.extend(keyed.filter(|(key, _)| touched.contains(key)));
    }
    Ok(Planned { view, plan, whole_objects })
}

/// The same, from the API server.
async fn of_cluster(arguments: &args::Plan) -> Result<Planned, Error> {
    let client = client::connect(&arguments.kubernetes.access()).await?;
    let (config, board, timeout) = (arguments.config(), Board::default(), arguments.timeout);
    let reading = control::once(client.clone(), &config, board.clone());
    let Seen { view, versions } = match tokio::time::timeout(timeout, reading).await {
        Ok(Some(seen)) => seen,
        Ok(None) => return Err(Error::Refused { missing: watch::missing(&board) }),
        Err(_) => return Err(Error::Late { timeout, missing: watch::missing(&board) }),
    };
    let plan = plan(&view, &arguments.options());
    let mut whole_objects = BTreeMap::new();
    for key in plan.writes.iter().map(|write| &write.object) {
        let Some(version) = versions.get(&key.kind) else { continue };
        if whole_objects.contains_key(key) {
            continue;
        }
        let namespace = Some(&*key.namespace).filter(|namespace| !namespace.is_empty());
        let path = resource::path(key.kind, version, namespace);
        let getting = async {
            let request = Request::new(path).get(&key.name, &GetParams::default());
            client.request_text(request.map_err(kube::Error::BuildRequest)?).await
        };
        match within(timeout, getting).await {
            Ok(text) => {
                let value = serde_json::from_str(&text);
                whole_objects.insert(key.clone(), value.map_err(|e| Error::Json(key.clone(), e))?);
            }
            // Not made yet, or just gone.
            Err(Unanswered::Error(kube::Error::Api(status))) if status.is_not_found() => {}
            Err(error) => return Err(Error::Get(key.clone(), error)),
        }
    }
    Ok(Planned { view, plan, whole_objects })
}

fn tell(placed: &Placed) {
    let extension = &placed.extension.key;
    for problem in &placed.extension.problems {
        eprintln!("kong-metrics-exporter: {extension}: {problem}");
    }
    for (service, outcome) in &placed.services {
        let (state, reason) = (outcome.state.as_str(), &outcome.reason);
        let because = if reason.is_empty() { "" } else { ": " };
        eprintln!("kong-metrics-exporter: {extension}: {service} is {state}{because}{reason}");
    }
}

/// Why less is planned than somebody may have expected.
fn tell_of_the_others(view: &View, plan: &Plan) {
    let counts = |key: &Key| plan.extensions.iter().any(|placed| placed.extension.key == *key);
    for (key, ..) in view.extensions().filter(|(key, ..)| !counts(key)) {
        eprintln!(
            "kong-metrics-exporter: {key} does not count: no ControlPlane or GatewayConfiguration of \
             its namespace names it in extensions, and it has no label {}: \"true\"",
            keys::MANAGED,
        );
    }
    if view.extensions().next().is_none() {
        eprintln!("kong-metrics-exporter: there is no DataPlaneMetricsExtension");
    }
    if plan.writes.is_empty() {
        eprintln!("kong-metrics-exporter: nothing to write");
    }
}

/// Each write, and the values that it changes.
fn diff(writes: &[Write], objects: &mut BTreeMap<Key, Value>) -> String {
    let mut text = String::new();
    for write in writes {
        let before = objects.get(&write.object).cloned();
        let after = write.after(before.as_ref());
        text += &format!("# {} {}: {}\n", write.verb(), write.object, write.reason);
        let (old, new) = (leaves(before.as_ref()), leaves(after.as_ref()));
        if after.is_some() {
            let paths: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for path in paths.into_iter().filter(|path| old.get(*path) != new.get(*path)) {
                for (sign, side) in [('-', &old), ('+', &new)] {
                    if let Some(value) = side.get(path) {
                        text += &format!("{sign} {path}: {value}\n");
                    }
                }
            }
        }
        match after {
            Some(after) => drop(objects.insert(write.object.clone(), after)),
            None => drop(objects.remove(&write.object)),
        }
    }
    text
}

/// The objects that have been written to and are still there.
fn afterwards(writes: &[Write], objects: &mut BTreeMap<Key, Value>) -> Result<String, Error> {
    let mut deleted = String::new();
    let mut touched = BTreeSet::new();
    for write in writes {
        match write.after(objects.get(&write.object)) {
            Some(after) => {
                objects.insert(write.object.clone(), after);
                touched.insert(&write.object);
            }
            None => {
                objects.remove(&write.object);
                touched.remove(&write.object);
                deleted += &format!("# deleted: {}\n", write.object);
            }
        }
    }
    let mut text = deleted;
    for object in touched.into_iter().filter_map(|key| objects.get(key)) {
        text += "---\n";
        text += &serde_saphyr::to_string(object).map_err(Error::Print)?;
    }
    Ok(text)
}

/// The values of an object by their paths: `metadata.annotations[konghq.com/plugins]`.
fn leaves(value: Option<&Value>) -> BTreeMap<String, String> {
    fn walk(path: &str, value: &Value, leaves: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, value) in map {
                    let is_plain = key.chars().all(|c| c.is_alphanumeric() || c == '_');
                    let path = match (path, is_plain) {
                        ("", _) => key.clone(),
                        (path, true) => format!("{path}.{key}"),
                        (path, false) => format!("{path}[{key}]"),
                    };
                    walk(&path, value, leaves);
                }
            }
            value => drop(leaves.insert(path.to_owned(), value.to_string())),
        }
    }
    let mut all = BTreeMap::new();
    value.into_iter().for_each(|value| walk("", value, &mut all));
    all
}

/// The whole objects of a text, those of lists one by one.
fn whole(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = if text.trim_start().starts_with(['{', '[']) {
        let documents = serde_json::Deserializer::from_str(text).into_iter();
        documents.collect::<Result<_, _>>().map_err(|error| error.to_string())?
    } else {
        serde_saphyr::from_multiple(text).map_err(|error| error.to_string())?
    };
    let mut objects = Vec::new();
    for document in documents {
        match document {
            Value::Array(items) => objects.extend(items),
            Value::Object(mut list) if list.get("items").is_some_and(Value::is_array) => {
                if let Some(Value::Array(items)) = list.remove("items") {
                    objects.extend(items);
                }
            }
            object => objects.push(object),
        }
    }
    Ok(objects)
}

fn key_of(object: &Value) -> Option<Key> {
    let text = |value: &'_ Value| value.as_str().map(str::to_owned);
    let kind = ObjectKind::of(&text(object.get("apiVersion")?)?, &text(object.get("kind")?)?)?;
    let metadata = object.get("metadata")?;
    let namespace = metadata.get("namespace").and_then(text).unwrap_or_default();
    let namespace = match namespace.as_str() {
        _ if !kind.is_namespaced() => "",
        "" => "default",
        namespace => namespace,
    };
    Some(Key::new(kind, namespace, &text(metadata.get("name")?)?))
}
