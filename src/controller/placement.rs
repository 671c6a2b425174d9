//! Where the plugin of each extension may be, and where it must not.
//!
//! In: the view. Out: for every extension that counts, the objects its plugin goes onto, what the
//! plugin measures, and for each Service what came of it. The two safety rules are here:
//! (a) a Service is touched only if it is the only one in every Kong service it is in, because Kong's
//! controllers drop routes whose Services have different annotations;
//! (b) nothing gets a second prometheus plugin, because Kong refuses its whole configuration then.

use std::collections::{BTreeMap, BTreeSet};

use crate::controller::annotation::items;
use crate::controller::extension::{self, Active};
use crate::controller::operator;
use crate::controller::plugin::{self, Flags, is_prometheus};
use crate::controller::safety::Listing;
use crate::controller::view::{Target, View, cluster_plugin, is_route};
use crate::controller::{Options, keys};
use crate::kubernetes::{Key, ObjectKind};
use crate::resolve::Held;

/// Where everything goes.
#[derive(Debug, Default)]
pub struct Placement {
    /// The extensions that count, oldest first.
    pub extensions: Vec<Placed>,
    /// By object: the extension whose plugin goes onto it.
    pub targets: BTreeMap<Key, usize>,
    /// By Service: the plugins of Kong Operator that are to be taken off it.
    pub operators: BTreeMap<Key, BTreeSet<String>>,
}

/// What becomes of an extension.
#[derive(Debug)]
pub struct Placed {
    /// The extension.
    pub extension: Active,
    /// What its plugin measures: what it asks for, what it would darken, and what younger extensions
    /// on the same objects ask for.
    pub flags: Flags,
    /// Why nothing at all is written for it.
    pub hands_off: Option<Outcome>,
    /// What came of each Service it selects.
    pub services: BTreeMap<Key, Outcome>,
}

/// What came of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// In a word.
    pub state: State,
    /// What there is to know beyond it, and what can be done.
    pub reason: String,
}

/// What came of a Service, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The plugin is on the Service.
    Annotated,
    /// The plugin is on routes that send to it.
    RouteAnnotated,
    /// It shares a Kong service, and none of the routes can be used.
    SharedBackend,
    /// It has a prometheus plugin of the user's.
    UserManaged,
    /// There is no such Service.
    NotFound,
    /// Another extension measures it, or another object has the plugin's name.
    Conflict,
    /// It is not to be touched.
    OptedOut,
    /// Routes are to be used, and none sends to it.
    NoRoute,
    /// Kong Operator acts on the same extension.
    ManagedByKongOperator,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Annotated,
        Self::RouteAnnotated,
        Self::SharedBackend,
        Self::UserManaged,
        Self::NotFound,
        Self::Conflict,
        Self::OptedOut,
        Self::NoRoute,
        Self::ManagedByKongOperator,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Annotated => "Annotated",
            Self::RouteAnnotated => "RouteAnnotated",
            Self::SharedBackend => "SharedBackend",
            Self::UserManaged => "UserManaged",
            Self::NotFound => "NotFound",
            Self::Conflict => "Conflict",
            Self::OptedOut => "OptedOut",
            Self::NoRoute => "NoRoute",
            Self::ManagedByKongOperator => "ManagedByKongOperator",
        }
    }

    /// Whether the Service is measured by a plugin of ours.
    pub fn is_measured(self) -> bool {
        matches!(self, Self::Annotated | Self::RouteAnnotated)
    }
}

/// Works out where everything goes.
pub fn place(view: &View, options: &Options) -> Placement {
    let active = extension::active(view, &options.unsettled);
    let own = active.iter().map(|extension| plugin::key_for(&extension.key)).collect();
    let listing = Listing { view, own: &own };
    let unsafely = listing.unsafely();
    let extensions = active.into_iter().map(|extension| {
        let hands_off = hands_off(view, options, &extension, &unsafely);
        let flags = extension.flags.clone();
        Placed { extension, flags, hands_off, services: BTreeMap::new() }
    });
    let mut placement = Placement { extensions: extensions.collect(), ..Placement::default() };
    let winners = placement.claim_services();
    for (service, winner) in winners {
        placement.place_service(listing, options, &service, winner);
    }
    placement.keep_what_others_measure(view);
    placement
}

impl Placement {
    /// For each Service the extension that measures it: the oldest. It measures for the others, too.
    fn claim_services(&mut self) -> BTreeMap<Key, usize> {
        let mut winners = BTreeMap::<Key, usize>::new();
        for at in 0..self.extensions.len() {
            let Some(Placed { extension, hands_off, .. }) = self.extensions.get(at) else {
                continue;
            };
            let (key, flags) = (extension.key.clone(), extension.flags.clone());
            let (services, hands_off) = (extension.services.clone(), hands_off.clone());
            for service in services {
                let outcome = match (&hands_off, winners.get(&service)) {
                    (Some(outcome), _) => outcome.clone(),
                    (None, None) => {
                        winners.insert(service, at);
                        continue;
                    }
                    (None, Some(winner)) => {
                        let Some(winner) = self.extensions.get_mut(*winner) else { continue };
                        winner.flags.extend(&flags);
                        let older = &winner.extension.key.name;
                        let reason = format!(
                            "{} {older} is older and measures it; what {} asks for is added there",
                            key.kind.as_str(),
                            key.name
                        );
                        Outcome { state: State::Conflict, reason }
                    }
                };
                if let Some(placed) = self.extensions.get_mut(at) {
                    placed.services.insert(service, outcome);
                }
            }
        }
        winners
    }

    fn place_service(&mut self, listing: Listing<'_>, options: &Options, service: &Key, at: usize) {
        let view = listing.view;
        let Some(Placed { extension, .. }) = self.extensions.get(at) else { return };
        let name = plugin::name_for(&extension.key.name);
        let (namespace, on_routes) = (extension.key.namespace.clone(), extension.on_routes);
        let held = view.index().kong_services_of(service);
        let outcome = match view.target(service).filter(|target| !target.is_deleted) {
            None => outcome(State::NotFound, "no such Service in the extension's namespace"),
            Some(target) => {
                if options.adopt && !extension.attached_to.is_empty() {
                    let operators = operator::plugins_on(view, service, target);
                    if !operators.is_empty() || operator::is_noted_on(target) {
                        self.operators.insert(service.clone(), operators);
                    }
                }
                if target.is_opted_out {
                    outcome(State::OptedOut, &format!("it is annotated {}", keys::OPT_OUT))
                } else if !on_routes && !held.iter().any(Held::is_shared) {
                    self.place_on_service(listing, service, target, &name, &held, at)
                } else {
                    self.place_on_routes(listing, service, &namespace, &held, at)
                }
            }
        };
        if let Some(placed) = self.extensions.get_mut(at) {
            placed.services.insert(service.clone(), outcome);
        }
    }

    fn place_on_service(
        &mut self,
        listing: Listing<'_>,
        service: &Key,
        target: &Target,
        name: &str,
        held: &[Held],
        at: usize,
    ) -> Outcome {
        let taken_off = self.operators.get(service);
        if let Some(other) = listing.second(service, target, name, taken_off) {
            return outcome(
                State::UserManaged,
                &format!("it has the prometheus plugin {other} already; Kong takes no second one"),
            );
        }
        self.targets.insert(service.clone(), at);
        let routes: BTreeSet<_> = held.iter().flat_map(|held| &held.owners).collect();
        let overridden = routes.into_iter().find_map(|route| {
            let other = listing.second(route, listing.view.target(route)?, name, None)?;
            Some(format!("on {route} its prometheus plugin {other} counts instead"))
        });
        outcome(State::Annotated, &overridden.unwrap_or_default())
    }

    fn place_on_routes(
        &mut self,
        listing: Listing<'_>,
        service: &Key,
        namespace: &str,
        held: &[Held],
        at: usize,
    ) -> Outcome {
        let owners: BTreeSet<_> =
            held.iter().flat_map(|held| &held.owners).filter(|key| is_route(key.kind)).collect();
        let (mut placed, mut not_placed) = (0, Vec::new());
        let mut state = State::NoRoute;
        for route in owners {
            if *route.namespace != *namespace {
                let with = with_whom(held, service, route);
                not_placed.push(format!(
                    "{route} is in another namespace{with}: attach an extension or a KongPlugin there"
                ));
                state = State::SharedBackend;
                continue;
            }
            let Some(target) = listing.view.target(route).filter(|target| !target.is_deleted)
            else {
                continue;
            };
            let winner = self.targets.get(route).copied().unwrap_or(at);
            let name = self.extensions.get(winner).map(|winner| winner.extension.key.name.clone());
            let name = plugin::name_for(&name.unwrap_or_default());
            if target.is_opted_out {
                not_placed.push(format!("{route} is annotated {}", keys::OPT_OUT));
                state = State::OptedOut;
            } else if let Some(other) = listing.second(route, target, &name, None) {
                not_placed.push(format!("{route} has the prometheus plugin {other}"));
                state = State::UserManaged;
            } else {
                placed += 1;
                self.place_on_route(route, winner.min(at), winner.max(at));
            }
        }
        let reason = not_placed.join("; ");
        match state {
            _ if placed > 0 => outcome(State::RouteAnnotated, &reason),
            State::NoRoute => outcome(state, "no route of its namespace sends to it"),
            state => outcome(state, &reason),
        }
    }

    /// The older of two extensions is on the route, and measures what the younger one does: what it
    /// asks for, and what those ask for whose Services it measures.
    fn place_on_route(&mut self, route: &Key, older: usize, younger: usize) {
        self.targets.insert(route.clone(), older);
        let flags = self.extensions.get(younger).map(|younger| younger.flags.clone());
        if let Some(older) = self.extensions.get_mut(older) {
            older.flags.extend(flags.unwrap_or_default());
        }
    }

    /// On the objects that a plugin is on, no other one counts any more. So it measures what they do.
    fn keep_what_others_measure(&mut self, view: &View) {
        let global = global_flags(view);
        let asked: Vec<_> = self.extensions.iter().map(|placed| placed.flags.clone()).collect();
        for (target, at) in &self.targets {
            let Some(placed) = self.extensions.get_mut(*at) else { continue };
            placed.flags.extend(&global);
            for service in view.index().kong_services_by(target).iter().flat_map(|h| &h.services) {
                if let Some(other) = self.targets.get(service).filter(|other| *other != at) {
                    placed.flags.extend(asked.get(*other).into_iter().flatten());
                }
                let list = view.target(service).and_then(|own| own.plugins.list.as_deref());
                for item in items(list.unwrap_or_default()) {
                    let listed = view.plugin_of(&service.namespace, item);
                    let is_foreign = |key: &Key| {
                        view.plugin(key).is_some_and(|(metadata, _)| !plugin::is_ours(metadata))
                    };
                    if let Some((_, listed)) =
                        listed.filter(|(key, one)| is_prometheus(one) && is_foreign(key))
                    {
                        placed.flags.extend(plugin::flags_of_plugin(listed));
                    }
                }
            }
        }
    }
}

/// Why nothing is to be written for an extension.
fn hands_off(
    view: &View,
    options: &Options,
    extension: &Active,
    listed_unsafely: &BTreeMap<Key, &Key>,
) -> Option<Outcome> {
    if !options.adopt
        && let Some(found) = operator::manages(view, extension)
    {
        return Some(outcome(State::ManagedByKongOperator, &found));
    }
    let key = plugin::key_for(&extension.key);
    let conflict = |reason: String| Some(outcome(State::Conflict, &reason));
    match view.plugin(&key) {
        Some((metadata, there)) => {
            let is_operators = options.adopt && plugin::is_operators(metadata);
            if !plugin::is_ours(metadata) && !is_operators || !is_prometheus(there) {
                return conflict(format!("{key} is there and not ours; rename it"));
            }
        }
        None if view.plugin(&cluster_plugin(&key.name)).is_some() => {
            return conflict(format!(
                "{key} would take the place of the KongClusterPlugin of that name; rename it"
            ));
        }
        None => {}
    }
    let at = listed_unsafely.get(&key)?;
    conflict(format!(
        "{at} lists {} in a way that Kong refuses as soon as it is there; take it off the list",
        key.name
    ))
}

/// What the one global prometheus plugin measures. Of several Kong's controllers apply none.
fn global_flags(view: &View) -> Flags {
    let mut globals = view.plugins().filter(|(key, metadata, plugin)| {
        key.kind == ObjectKind::KongClusterPlugin
            && metadata.labels.get("global").is_some_and(|value| value == "true")
            && is_prometheus(plugin)
    });
    match (globals.next(), globals.next()) {
        (Some((.., plugin)), None) => plugin::flags_of_plugin(plugin),
        _ => Flags::new(),
    }
}

/// `, shared with Service a/b` for what a route makes of a Service.
fn with_whom(held: &[Held], service: &Key, route: &Key) -> String {
    let others = held.iter().filter(|held| held.owners.contains(route));
    let others: BTreeSet<_> = others.flat_map(|held| &held.services).collect();
    let others: Vec<_> =
        others.into_iter().filter(|one| *one != service).map(ToString::to_string).collect();
    if others.is_empty() {
        String::new()
    } else {
        format!(" and also sends to {}", others.join(", "))
    }
}

fn outcome(state: State, reason: &str) -> Outcome {
    Outcome { state, reason: reason.to_owned() }
}
