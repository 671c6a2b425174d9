//! A snapshot that follows another one by changes is the one that a plain list of all names makes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kong_metrics_exporter::mapping::snapshot::RETENTION;
use kong_metrics_exporter::mapping::{Backend, Entry, Kind, Label, Owner, Port, Snapshot, Tier};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a snapshot is to be: each name, and since when it is gone if it is.
#[derive(Clone, Default)]
struct Plain(BTreeMap<String, (Entry, Option<Instant>)>);

impl Plain {
    fn update(&mut self, changes: &[(String, Option<Entry>)], now: Instant) {
        let last: BTreeMap<_, _> = changes.iter().map(|(name, entry)| (name, entry)).collect();
        for (name, entry) in last {
            match entry {
                Some(entry) => {
                    self.0.insert(name.clone(), (entry.clone(), None));
                }
                None => {
                    if let Some((_, since)) = self.0.get_mut(name) {
                        since.get_or_insert(now);
                    }
                }
            }
        }
        self.0.retain(|_, (_, since)| since.is_none_or(|since| now - since < RETENTION));
    }

    fn there(&self) -> impl Iterator<Item = (&String, &Entry)> {
        self.0
            .iter()
            .filter(|(_, (_, since))| since.is_none())
            .map(|(name, (entry, _))| (name, entry))
    }
}

/// The entry as it is found, whoever keeps it.
fn found(snapshot: &Snapshot, name: &str) -> Option<(String, Tier)> {
    let (entry, tier) = snapshot.find(Label::Service, name)?;
    Some((format!("{entry:?}"), tier))
}

fn check(snapshot: &Snapshot, plain: &Plain) -> Result<(), TestCaseError> {
    for number in 0..NAMES {
        let name = name(number);
        let expected = plain.0.get(&name).and_then(|(entry, since)| {
            let alone: Snapshot = [(name.clone(), entry.clone())].into_iter().collect();
            let tier = if since.is_some() { Tier::Retained } else { Tier::Exact };
            Some((found(&alone, &name)?.0, tier))
        });
        prop_assert_eq!(found(snapshot, &name), expected, "{}", name);
    }
    let there: Vec<_> = plain.there().map(|(name, _)| name.as_str()).collect();
    prop_assert_eq!(snapshot.iter().map(|(name, _)| name).collect::<Vec<_>>(), there);
    prop_assert_eq!(snapshot.len(), plain.there().count());
    prop_assert_eq!(snapshot.retained_len(), plain.0.len() - snapshot.len());
    Ok(())
}

fn name(number: usize) -> String {
    format!("httproute.web.route-{number}.0")
}

fn entry() -> impl Strategy<Value = Entry> {
    let text = || prop_oneof!["[a-z]{1,3}", Just("web".to_owned()), Just("route-1".to_owned())];
    let port = prop_oneof![any::<u16>().prop_map(Port::Number), text().prop_map(Port::Name),];
    let backend = (text(), text(), proptest::option::of(port), proptest::option::of(any::<u32>()));
    let backend = backend.prop_map(|(namespace, service, port, weight)| Backend {
        namespace,
        service,
        port,
        weight,
    });
    let kind = proptest::sample::select(vec![Kind::Ingress, Kind::HTTPRoute, Kind::KongService]);
    let owner = (kind, text(), text(), proptest::option::of(any::<u32>()));
    let owner =
        owner.prop_map(|(kind, namespace, name, rule)| Owner { kind, namespace, name, rule });
    (vec(backend, 0..4), vec(owner, 0..3)).prop_map(|(backends, owners)| Entry { backends, owners })
}

/// A few changes, or so many that they do not fit where the names were before, or that hardly any
/// name is left.
fn changes() -> impl Strategy<Value = Vec<(String, Option<Entry>)>> {
    let few = vec((0..NAMES, proptest::option::of(entry())), 0..8);
    let many = vec((0..NAMES, proptest::option::weighted(0.9, entry())), 0..2 * NAMES);
    let less = (0..NAMES).prop_map(|last| (0..last).map(|number| (number, None)).collect());
    prop_oneof![4 => few, 1 => many, 1 => less].prop_map(|changes: Vec<(usize, _)>| {
        changes.into_iter().map(|(number, entry)| (name(number), entry)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_one_after_the_other_make_what_all_names_make(
        steps in vec((changes(), 0..45_u64), 1..10),
    ) {
        let mut now = Instant::now();
        let mut plain = Plain::default();
        let (mut updated, mut succeeding) = (Snapshot::default(), Snapshot::default());
        for (changes, minutes) in steps {
            plain.update(&changes, now);
            updated = updated.updated(changes, now);
            check(&updated, &plain)?;
            let all = plain.there().map(|(name, entry)| (name.clone(), entry.clone()));
            succeeding = all.collect::<Snapshot>().succeed(&succeeding, now);
            check(&succeeding, &plain)?;
            now += Duration::from_secs(60 * minutes);
            plain.update(&[], now);
            updated = updated.forget(now).unwrap_or(updated);
            succeeding = succeeding.forget(now).unwrap_or(succeeding);
            check(&updated, &plain)?;
        }
    }
}

/// More than one table of them, so that tables are split and put together.
const NAMES: usize = 700;
