//! Random clusters, random changes to them: no state, not even between two writes, loses a route or
//! is refused because of us; no write of ours leaves a plugin named that is not there; what is not
//! ours stays as it would be without us, byte for byte; what is selected is measured wherever that is
//! safe, with all that is asked for, and nothing is darkened; a plan of what is as planned is empty;
//! and when all extensions are gone everything is as it would have been without us.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy spares only #[test] itself

#[path = "../common/cluster.rs"]
mod cluster;
mod steps;
#[path = "../common/translator.rs"]
mod translator;
mod twin;
#[path = "../common/world.rs"]
mod world;

use std::collections::BTreeSet;

use cluster::{kic, operator};
use kong_metrics_exporter::controller::Options;
use kong_metrics_exporter::kubernetes::ObjectKind;
use kong_metrics_exporter::resolve::Settings;
use proptest::prelude::*;
use steps::{
    EXTENSIONS, ROUTES, Step, any_begin, any_step, extension, ingress, route, service, web,
};
use twin::{Twin, without_us};

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_no_route_is_lost_and_nothing_is_refused(
        is_kic: bool,
        begin in any_begin(),
        steps in proptest::collection::vec(any_step(), 1..20),
        trouble in proptest::collection::vec(any_trouble(), 30),
    ) {
        let settings = if is_kic { kic() } else { operator() };
        all_is_well(&settings, &[begin, steps].concat(), &trouble)?;
    }
}

/// What a controller meets with in the midst of a plan.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It is cut off before this write, and plans again.
    Cut(usize),
    /// This write is refused, and so those are left out that need it.
    Refused(usize),
}

fn any_trouble() -> impl Strategy<Value = Trouble> {
    prop_oneof![(0..12_usize).prop_map(Trouble::Cut), (0..8_usize).prop_map(Trouble::Refused)]
}

/// Found by chance: a user lists a plugin that is made later, when another one has to go for it.
#[test]
fn a_plugin_of_ours_that_is_listed_ahead_is_never_beside_another() {
    let put = Step::Put;
    let latency = [true, false, false, false];
    let steps = [
        put(ingress("d")),
        put(service("d", true)),
        put(extension("y", &[], latency, [true, false, true])),
        Step::List(web(ObjectKind::Ingress, "i"), Some("x-metrics-prometheus".to_owned())),
        put(route(ROUTES[1], &[vec!["a", "d"]], Some("p"))),
        put(extension("x", &[], latency, [true, false, true])),
    ];
    all_is_well(&kic(), &steps, &[Trouble::Cut(0); 6]).unwrap();
    all_is_well(&kic(), &steps, &[Trouble::Cut(1); 6]).unwrap();
}

/// Found by chance, too: of three extensions the first is on the route, the second measures a Service
/// there for the third as well.
#[test]
fn what_a_third_extension_asks_for_is_measured_on_the_route_of_the_first() {
    let (route, put) =
        (|place: usize, rules: &[Vec<&str>]| route(ROUTES[place], rules, None), Step::Put);
    let steps = [
        put(service("b", false)),
        put(service("c", false)),
        put(route(3, &[vec!["c", "a"]])),
        put(route(0, &[vec!["b"], vec!["c"]])),
        put(extension("x", &["c"], [false; 4], [false, false, true])),
        put(extension("y", &["b"], [false; 4], [false, true, true])),
        put(extension("z", &["b"], [false, true, false, false], [false, false, true])),
    ];
    all_is_well(&kic(), &steps, &[Trouble::Cut(20); 7]).unwrap();
}

fn all_is_well(
    settings: &Settings,
    steps: &[Step],
    trouble: &[Trouble],
) -> Result<(), TestCaseError> {
    let mut twin = Twin::new(settings);
    for (step, trouble) in steps.iter().zip(trouble) {
        twin.take(step);
        // What the user did may need something to be withdrawn first. From then on all is safe.
        let mut is_safe_from_here = twin.is_safe().is_ok();
        for round in 0..2 {
            let writes = twin.plan().writes;
            let withdrawals = writes.iter().take_while(|write| write.is_withdrawal()).count();
            let mut missing = BTreeSet::new();
            for (at, write) in writes.iter().enumerate() {
                match trouble {
                    Trouble::Cut(end) if round == 0 && at == *end => break,
                    Trouble::Refused(refused) if round == 0 && at == *refused => {
                        missing.insert(at);
                        continue;
                    }
                    _ => {}
                }
                if write.needs.iter().any(|need| missing.contains(need)) {
                    missing.insert(at);
                    continue;
                }
                let written = twin.write(write);
                prop_assert!(written.is_ok(), "{} by {:?}", written.unwrap_err(), write);
                let foreign = twin.is_foreign_untouched();
                prop_assert!(foreign.is_ok(), "{} by {:?}", foreign.unwrap_err(), write);
                is_safe_from_here |= twin.is_safe().is_ok()
                    || at + 1 >= withdrawals && missing.is_empty() && !twin.lists_our_plugin();
                if is_safe_from_here {
                    let safe = twin.is_safe();
                    prop_assert!(safe.is_ok(), "{} after {:?}", safe.unwrap_err(), write);
                }
            }
            if round == 1 {
                let safe = twin.is_safe();
                prop_assert!(safe.is_ok(), "{}", safe.unwrap_err());
            }
        }
        // Objects that were written while others waited for them.
        twin.with.settle(&Options::default());
        let plan = twin.plan();
        prop_assert!(plan.events.is_empty());
        for all_is_so in
            [twin.is_safe(), twin.is_foreign_untouched(), twin.is_measured(&plan.extensions)]
        {
            prop_assert!(all_is_so.is_ok(), "{}", all_is_so.unwrap_err());
        }
    }
    for name in EXTENSIONS {
        twin.take(&Step::Delete(web(ObjectKind::DataPlaneMetricsExtension, name)));
    }
    twin.with.settle(&Options::default());
    let undone = twin.is_foreign_untouched();
    prop_assert!(undone.is_ok(), "{}", undone.unwrap_err());
    prop_assert_eq!(twin.with.content(), without_us(&twin.with));
    Ok(())
}
