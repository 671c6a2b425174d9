//! The mapping in shards. In: snapshots, and shards that are whole, damaged, or of another time.
//! Asserted: what is published is what is read; one change is one shard; nothing that is not as it
//! was written is taken; what was known is never lost.

#![allow(clippy::unwrap_used)] // clippy spares only #[test] itself

use std::collections::BTreeMap;
use std::time::Instant;

use kong_metrics_exporter::mapping::shards::{
    Assembly, Error, Plan, Published, contents, plan, read,
};
use kong_metrics_exporter::mapping::{
    Backend, Entry, Kind, Label, Owner, Port, Snapshot, Target, Tier, resolve,
};
use proptest::collection::vec;
use proptest::prelude::*;

type Shards = BTreeMap<String, Vec<u8>>;

/// All shards of a snapshot, by the names of their ConfigMaps.
fn packed(snapshot: &Snapshot, revision: u64) -> Shards {
    let shards = contents(snapshot).shards.into_iter();
    let name = |number: u32| format!("map-{number}");
    shards.map(|one| (name(one.region().number()), one.pack(revision).unwrap())).collect()
}

/// As a publisher does it, for so many writes. Tells each one to `reader`.
fn publish_some(
    published: &mut Shards,
    snapshot: &Snapshot,
    most: usize,
    mut reader: impl FnMut(&Shards, &str, Option<&[u8]>),
) -> usize {
    let number = |name: &String| name.strip_prefix("map-").unwrap().parse::<u32>().unwrap();
    let there = published.iter().map(|(name, bytes)| (number(name), Published::of(bytes).ok()));
    let contents = contents(snapshot).shards;
    let Plan { revision, write, remove } = plan(&there.collect(), &contents);
    let count = write.len();
    for content in write.into_iter().take(most) {
        let name = format!("map-{}", content.region().number());
        let bytes = content.pack(revision).unwrap();
        published.insert(name.clone(), bytes.clone());
        reader(published, &name, Some(&bytes));
    }
    for number in remove.into_iter().take(most.saturating_sub(count)) {
        let name = format!("map-{number}");
        published.remove(&name);
        reader(published, &name, None);
    }
    count
}

fn publish(published: &mut Shards, snapshot: &Snapshot) -> usize {
    publish_some(published, snapshot, usize::MAX, |_, _, _| {})
}

fn assemble(shards: &Shards) -> (Assembly, Snapshot) {
    let mut assembly = Assembly::default();
    let outcome = assembly.replace(shards.clone(), &Snapshot::default(), Instant::now());
    assert!(outcome.refused.is_empty(), "{:?}", outcome.refused);
    (assembly, outcome.snapshot.unwrap_or_default())
}

fn entries(snapshot: &Snapshot) -> Vec<(String, String)> {
    snapshot.iter().map(|(name, entry)| (name.to_owned(), format!("{entry:?}"))).collect()
}

/// `count` routes with a backend and an owner each.
fn routes(count: usize) -> Vec<(String, Entry)> {
    (0..count).map(|number| (name(number), route(number, 80))).collect()
}

fn route(number: usize, port: u16) -> Entry {
    let namespace = format!("namespace-{}", number / 100);
    let service = format!("service-{number}");
    let port = Some(Port::Number(port));
    let name = format!("route-{number}");
    let backend = Backend { namespace: namespace.clone(), service, port, weight: Some(1) };
    let owner = Owner { kind: Kind::HTTPRoute, namespace, name, rule: Some(0) };
    Entry { backends: vec![backend], owners: vec![owner] }
}

fn name(number: usize) -> String {
    format!("httproute.namespace-{}.route-{number}.0", number / 100)
}

#[test]
fn fifty_thousand_routes_are_less_than_a_megabyte_of_shards() {
    let snapshot: Snapshot = routes(50_000).into_iter().collect();
    let shards = packed(&snapshot, 1);
    let bytes: usize = shards.values().map(Vec::len).sum();
    let largest = shards.values().map(Vec::len).max().unwrap();
    // As the API server sends them: in base64, each with a kilobyte of metadata.
    let sent = bytes * 4 / 3 + shards.len() * 1024;
    println!("{} shards, {bytes} bytes, the largest {largest}, sent {sent}", shards.len());
    assert!(sent < 1_000_000, "{sent}");
    assert!(largest < 32 * 1024, "{largest}");
    let (assembly, read) = assemble(&shards);
    assert!(assembly.is_whole());
    assert_eq!(entries(&read), entries(&snapshot));
}

#[test]
fn one_route_that_changes_is_one_shard_that_changes() {
    let mut routes: BTreeMap<_, _> = routes(20_000).into_iter().collect();
    let snapshot = |routes: &BTreeMap<String, Entry>| routes.clone().into_iter().collect();
    let mut published = Shards::new();
    let count = publish(&mut published, &snapshot(&routes));
    assert!(count > 20, "{count}");
    assert_eq!(publish(&mut published, &snapshot(&routes)), 0);
    for number in [0, 777, 19_999] {
        routes.insert(name(number), route(number, 81));
        assert_eq!(publish(&mut published, &snapshot(&routes)), 1);
    }
    for number in [5, 6_000] {
        routes.remove(&name(number));
        let written = publish(&mut published, &snapshot(&routes));
        // Where it was the last one that the number of shards hung on.
        assert!((1..=2).contains(&written), "{written}");
    }
    assert_eq!(entries(&assemble(&published).1), entries(&snapshot(&routes)));
}

#[test]
fn growing_and_shrinking_touches_a_few_shards_at_a_time() {
    let mut published = Shards::new();
    publish(&mut published, &routes(3_000).into_iter().collect());
    for count in (3_001..3_800).step_by(7).chain((3_000..3_800).rev().step_by(7)) {
        let snapshot = routes(count).into_iter().collect();
        let before = published.len();
        let written = publish(&mut published, &snapshot);
        // Seven routes in seven shards, one that is split or joined, one that is new.
        assert!(written <= 9, "{written}");
        assert!(published.len().abs_diff(before) <= 1);
    }
}

#[test]
fn an_empty_mapping_is_one_shard_and_whole() {
    let shards = packed(&Snapshot::default(), 1);
    assert_eq!(shards.len(), 1);
    let (assembly, snapshot) = assemble(&shards);
    assert!(assembly.is_whole() && snapshot.is_empty());
}

#[test]
fn no_byte_can_be_changed_and_none_left_out_or_added() {
    let shards = packed(&routes(30).into_iter().collect(), 1);
    let good = &shards["map-0"];
    assert_eq!(read(good).unwrap().entries.len(), 30);
    for at in 0..good.len() {
        assert!(read(&good[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert!(read(&bad).is_err(), "bit {bit} of byte {at}");
        }
    }
    let mut bad = good.clone();
    bad.push(0);
    assert!(matches!(read(&bad), Err(Error::Damaged)));
    bad.extend_from_slice(good);
    assert!(matches!(read(&bad), Err(Error::Damaged)));
}

#[test]
fn what_is_wrong_with_a_shard_is_told() {
    let told = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
    let good = &packed(&routes(3).into_iter().collect(), 1)["map-0"];
    let foreign = "no shard of a mapping: it does not begin as one does";
    assert_eq!(told(b""), foreign);
    assert_eq!(told(b"{\"services\": {}}"), foreign);
    assert_eq!(told(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 0xff, 3, 0]), foreign);
    let damaged = "cut off or damaged: its SHA-256 is not the one in its header";
    assert_eq!(told(&good[..good.len() - 1]), damaged);
    let at = good.windows(9).position(|window| window == b"version=1").unwrap();
    let mut newer = good.clone();
    newer[at + 8] = b'2';
    let version = "format version 2: only version 1 is known, so a newer exporter wrote it";
    assert_eq!(told(&newer), version);
    let huge = vec![0; 2 << 20];
    assert_eq!(told(&huge), "2097152 bytes are more than the 1032192 that a shard has");
}

#[test]
fn a_name_that_says_itself_is_not_published_and_means_the_same() {
    let one = |namespace: &str, service: &str, weight| Backend {
        namespace: namespace.to_owned(),
        service: service.to_owned(),
        port: Some(Port::Number(80)),
        weight,
    };
    let snapshot: Snapshot = [
        ("httproute.web.svc.web.echo.80.1", vec![one("web", "echo", Some(1))]),
        ("web.echo.80", vec![one("web", "echo", None)]),
        // Not what the name says.
        ("httproute.web.svc.web.b.80.1", vec![one("web", "c", Some(1))]),
        ("httproute.web.svc.web.d.80.1", vec![]),
        // Its routes are in the entry only.
        (
            "httproute.web.svc.a.x.80.1_a.y.80.1",
            vec![one("a", "x", Some(1)), one("a", "y", Some(1))],
        ),
    ]
    .into_iter()
    .map(|(name, backends)| {
        let owner =
            Owner { kind: Kind::HTTPRoute, namespace: "web".into(), name: "r".into(), rule: None };
        (name.to_owned(), Entry { backends, owners: vec![owner] })
    })
    .collect();
    let (_, read) = assemble(&packed(&snapshot, 1));
    assert_eq!(read.len(), 3);
    for (name, _) in snapshot.iter() {
        for (label, name) in [(Label::Service, name), (Label::Upstream, name)] {
            assert_eq!(
                resolve(&read, label, name).target,
                resolve(&snapshot, label, name).target,
                "{name}"
            );
        }
    }
    let upstream = resolve(&read, Label::Upstream, "echo.web.80.svc");
    assert_eq!(upstream.target, resolve(&snapshot, Label::Upstream, "echo.web.80.svc").target);
}

#[test]
fn a_name_that_says_itself_from_now_on_keeps_nothing_of_what_it_stood_for() {
    let name = "httproute.web.svc.web.echo.80.1";
    let owner =
        Owner { kind: Kind::HTTPRoute, namespace: "web".into(), name: "r".into(), rule: None };
    let with = |backends| {
        let entry = Entry { backends, owners: vec![owner.clone()] };
        routes(3).into_iter().chain([(name.to_owned(), entry)]).collect::<Snapshot>()
    };
    // A route that was there before its Service.
    let mut shards = packed(&with(Vec::new()), 1);
    let (mut assembly, snapshot) = assemble(&shards);
    let target = |snapshot: &Snapshot| {
        let target = resolve(snapshot, Label::Service, name).target;
        matches!(target, Target::Service { namespace: "web", service: "echo", .. })
    };
    assert!(!target(&snapshot));
    let echo = Backend {
        namespace: "web".to_owned(),
        service: "echo".to_owned(),
        port: Some(Port::Number(80)),
        weight: Some(1),
    };
    publish(&mut shards, &with(vec![echo]));
    let outcome = assembly.replace(shards, &snapshot, Instant::now());
    let snapshot = outcome.snapshot.unwrap();
    assert!(target(&snapshot), "{:?}", resolve(&snapshot, Label::Service, name));
    assert_eq!((snapshot.len(), snapshot.retained_len()), (3, 0));
}

#[test]
fn an_entry_that_no_reader_takes_is_left_out_and_told() {
    let mut odd = route(1, 80);
    odd.backends[0].service = "No_Service".to_owned();
    let snapshot = routes(1).into_iter().chain([("odd".to_owned(), odd)]).collect();
    assert_eq!(contents(&snapshot).left_out, ["odd"]);
    assert_eq!(assemble(&packed(&snapshot, 1)).1.len(), 1);
}

#[test]
fn a_damaged_shard_keeps_its_last_good_state_and_is_told_once() {
    let mut routes: BTreeMap<_, _> = routes(5_000).into_iter().collect();
    let before: Snapshot = routes.clone().into_iter().collect();
    let mut shards = packed(&before, 1);
    let (mut assembly, mut snapshot) = assemble(&shards);
    routes.remove(&name(7));
    routes.insert(name(8), route(8, 81));
    let after: Snapshot = routes.into_iter().collect();
    publish(&mut shards, &after);
    let new_one = shards.iter().find(|(_, bytes)| read(bytes).unwrap().header.revision == 2);
    let (from, good) = new_one.map(|(from, bytes)| (from.clone(), bytes.clone())).unwrap();
    shards.insert(from.clone(), good[..good.len() / 2].to_vec());

    let now = Instant::now();
    let outcome = assembly.replace(shards.clone(), &snapshot, now);
    let [(told, error)] = &outcome.refused[..] else { panic!("{:?}", outcome.refused) };
    assert_eq!((told, error.to_string().starts_with("cut off or damaged")), (&from, true));
    snapshot = outcome.snapshot.unwrap_or(snapshot);
    let is_about = |name: &str| read(&good).unwrap().entries.iter().any(|(there, _)| there == name);
    for number in [7, 8, 9] {
        let tier = |snapshot: &Snapshot| {
            snapshot.find(Label::Service, &name(number)).map(|(_, tier)| tier)
        };
        if number != 7 || is_about(&name(7)) {
            assert_eq!(tier(&snapshot), Some(Tier::Exact), "{number}");
        }
    }
    assert!(assembly.is_whole(), "the last good one counts");
    assert_eq!((assembly.refused_len(), assembly.revision()), (1, 2));
    let outcome = assembly.replace(shards.clone(), &snapshot, now);
    assert!(outcome.refused.is_empty() && outcome.snapshot.is_none(), "told once, nothing new");

    shards.insert(from, good);
    let outcome = assembly.replace(shards, &snapshot, now);
    assert_eq!((outcome.accepted, assembly.refused_len()), (1, 0));
    let snapshot = outcome.snapshot.unwrap();
    assert_eq!(entries(&snapshot), entries(&after));
    assert_eq!(snapshot.retained_len(), 1);
}

#[test]
fn a_shard_that_vanishes_takes_nothing_with_it() {
    let all: Snapshot = routes(5_000).into_iter().collect();
    let mut shards = packed(&all, 1);
    let (mut assembly, snapshot) = assemble(&shards);
    let count = shards.len();
    shards.remove("map-1");
    let outcome = assembly.replace(shards.clone(), &snapshot, Instant::now());
    assert!(outcome.snapshot.is_none() && !assembly.is_whole());
    assert_eq!(assembly.missing()[0].number(), 1);
    assert_eq!(assembly.accepted_len(), count - 1);
    let (others, others_read) = assemble(&shards);
    assert_eq!(others.missing(), assembly.missing());
    assert!(others_read.len() > 4_000, "a reader that starts now has the others");
}

#[test]
fn a_leftover_does_not_count_against_a_later_shard() {
    // As if the removal of the leftovers of a larger mapping had failed.
    let large: Snapshot = routes(5_000).into_iter().collect();
    let mut shards = packed(&large, 1);
    let small: Snapshot = routes(10).into_iter().collect();
    let fewer = packed(&small, 2);
    assert_eq!(fewer.len(), 1);
    shards.extend(fewer);
    let (assembly, snapshot) = assemble(&shards);
    assert!(assembly.is_whole());
    assert_eq!(entries(&snapshot), entries(&small));
}

/// What a running reader and one that starts see of a publisher that may stop after any write.
fn follow(steps: &[Vec<(usize, Option<u16>)>], cuts: &[usize]) {
    let (mut plain, mut published) = (BTreeMap::new(), Shards::new());
    let (mut running, mut snapshot) = (Assembly::default(), Snapshot::default());
    for (changes, cut) in steps.iter().zip(cuts) {
        for (number, port) in changes {
            match port {
                Some(port) => plain.insert(name(*number), route(*number, *port)),
                None => plain.remove(&name(*number)),
            };
        }
        let target: Snapshot = plain.clone().into_iter().collect();
        // The first publication is whole, then every other one is cut.
        for most in if running.is_whole() { [*cut, usize::MAX] } else { [usize::MAX; 2] } {
            publish_some(&mut published, &target, most, |published, from, bytes| {
                let was_whole = running.is_whole();
                match bytes {
                    Some(bytes) => {
                        let one = [(from.to_owned(), bytes)];
                        let outcome = running.update(one, &snapshot, Instant::now());
                        assert!(outcome.refused.is_empty());
                        if let Some(after) = outcome.snapshot {
                            snapshot = after;
                        }
                    }
                    None => running.remove(from),
                }
                assert!(running.is_whole() || !was_whole);
                let (starting, read) = assemble(published);
                assert_eq!(starting.missing(), running.missing());
                assert_eq!(entries(&read), entries(&snapshot));
            });
            // A publication that is cut may be followed by another one.
            if most == *cut && cut % 2 == 0 {
                break;
            }
        }
        if cut % 2 == 1 {
            assert_eq!(entries(&snapshot), entries(&target));
            assert_eq!(publish(&mut published, &target), 0);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Vec<(usize, Option<u16>)>>> {
    let change = (0..NAMES, proptest::option::weighted(0.7, 1..9_u16));
    let all = (0..NAMES).prop_map(|count| (0..count).map(|number| (number, Some(80))).collect());
    let none = (0..NAMES).prop_map(|count| (count..NAMES).map(|number| (number, None)).collect());
    vec(prop_oneof![3 => vec(change, 0..20), 2 => all, 1 => none], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_agree_after_each_write_and_miss_nothing_from_the_first_publication_on(
        steps in steps(),
        cuts in vec(0..6_usize, 6),
    ) {
        follow(&steps, &cuts);
    }

    #[test]
    fn a_damaged_shard_is_never_taken(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let good = &packed(&routes(300).into_iter().collect(), 1)["map-0"];
        let mut bad = good.clone();
        bad[at.index(good.len())] = byte;
        prop_assert!(&bad == good || read(&bad).is_err());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }
}

/// Enough for several shards.
const NAMES: usize = 1_500;
