//! How Kong's controller is set up, as far as the names depend on it.
//!
//! In: what the user says, and the ControlPlanes and IngressClasses there are. Out: the [`Forms`]
//! of names to make and the ingress classes that count. The one decision: what is not told is not
//! guessed; the names of every possible answer are made side by side. A name that Kong does not use
//! never meets a line, so all it costs is memory.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::kubernetes::ObjectKind;
use crate::kubernetes::types::{ControlPlaneSpec, IngressClassSpec};

/// How Kong's controller is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which controller it is.
    pub flavor: Flavor,
    /// Whether rules of different HTTPRoutes with the same backends are one Kong service: `On` is
    /// the default of Kong Operator 2.1, `Off` that of Kong Ingress Controller. `Auto`: as the
    /// ControlPlanes say where they do, else both.
    pub combined: Switch,
    /// Whether Kong's router is `expressions`, which shows in the names of GRPCRoutes. `Auto`: both.
    pub expressions: Switch,
    /// Whether KongServiceFacades count, a feature gate of Kong's controllers. On unless told
    /// otherwise: where the gate is closed, the names are not there.
    pub facade: bool,
    /// The one ingress class that counts. `None`: `kong`, the classes of Kong's controllers and
    /// those that ControlPlanes name.
    pub ingress_class: Option<String>,
    /// Namespace and name of the Gateways whose routes count. Empty: all but those of another
    /// vendor's GatewayClass.
    pub gateways: BTreeSet<(String, String)>,
}

/// Which of Kong's controllers made the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// Kong Operator 2.x.
    KongOperator,
    /// Kong Ingress Controller 3.4 or 3.5.
    Kic,
    /// Either.
    Auto,
}

/// A setting that need not be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// It is so.
    On,
    /// It is not so.
    Off,
    /// It is not known.
    Auto,
}

/// Which names are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forms {
    /// HTTPRoutes: named after the backends.
    pub(crate) combined: bool,
    /// HTTPRoutes: named after route and rule.
    pub(crate) separate: bool,
    /// GRPCRoutes: named after route and rule.
    pub(crate) traditional: bool,
    /// GRPCRoutes: named after route, host name and rule.
    pub(crate) expressions: bool,
    /// As Kong Operator does it: rules with different timeouts are different Kong services, and
    /// GRPCRoutes inherit host names of their Gateways.
    pub(crate) operator: bool,
    /// As Kong Ingress Controller does it; there are TCPIngresses and UDPIngresses.
    pub(crate) kic: bool,
    /// Ingresses may name KongServiceFacades.
    pub(crate) facade: bool,
}

/// Which ingress classes count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Classes {
    names: BTreeSet<String>,
    /// Whether one of them is the cluster's default.
    are_default: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flavor: Flavor::Auto,
            combined: Switch::Auto,
            expressions: Switch::Auto,
            facade: true,
            ingress_class: None,
            gateways: BTreeSet::new(),
        }
    }
}

impl Settings {
    /// Whether objects of this kind can make a difference to the mapping.
    pub fn need(&self, kind: ObjectKind) -> bool {
        let Self { flavor, combined, expressions, facade, ingress_class, gateways } = self;
        let (may_be_operator, may_be_kic) =
            (*flavor != Flavor::Kic, *flavor != Flavor::KongOperator);
        match kind {
            ObjectKind::TCPIngress | ObjectKind::UDPIngress => may_be_kic,
            ObjectKind::KongServiceFacade => *facade,
            ObjectKind::KongService => may_be_operator,
            ObjectKind::ControlPlane => {
                may_be_operator && (*combined == Switch::Auto || ingress_class.is_none())
            }
            // Which Gateways are Kong's, or the host names of their listeners.
            ObjectKind::GatewayClass => gateways.is_empty(),
            ObjectKind::Gateway => {
                gateways.is_empty() || (may_be_operator && *expressions != Switch::Off)
            }
            _ => kind.is_of_mapping(),
        }
    }

    pub(crate) fn forms<'c>(
        &self,
        control_planes: impl IntoIterator<Item = &'c ControlPlaneSpec>,
    ) -> Forms {
        let (mut is_on, mut is_off) = (false, false);
        match self.combined {
            Switch::On => is_on = true,
            Switch::Off => is_off = true,
            Switch::Auto if self.flavor == Flavor::Kic => {}
            Switch::Auto => {
                for control_plane in control_planes {
                    match control_plane.translation.combined_services.as_deref() {
                        Some("enabled") => is_on = true,
                        Some("disabled") => is_off = true,
                        // Kong Operator 2.0 and older do not say, and are not 2.1.
                        _ => (is_on, is_off) = (true, true),
                    }
                }
            }
        }
        let is_unknown = !is_on && !is_off;
        Forms {
            combined: is_on || is_unknown,
            separate: is_off || is_unknown,
            traditional: self.expressions != Switch::On,
            expressions: self.expressions != Switch::Off,
            operator: self.flavor != Flavor::Kic,
            kic: self.flavor != Flavor::KongOperator,
            facade: self.facade,
        }
    }

    pub(crate) fn classes<'c>(
        &self,
        ingress_classes: &BTreeMap<Box<str>, (IngressClassSpec, bool)>,
        control_planes: impl IntoIterator<Item = &'c ControlPlaneSpec>,
    ) -> Classes {
        let names: BTreeSet<_> = match &self.ingress_class {
            Some(name) => BTreeSet::from([name.clone()]),
            None => {
                let of_kong = ingress_classes.iter();
                let of_kong = of_kong.filter(|(_, (class, _))| class.controller == KONG_CONTROLLER);
                let of_kong = of_kong.map(|(name, _)| name.to_string());
                let named = control_planes.into_iter().filter_map(|c| c.ingress_class.clone());
                of_kong.chain(named).chain([DEFAULT_CLASS.to_owned()]).collect()
            }
        };
        let is_default =
            |name: &String| ingress_classes.get(name.as_str()).is_some_and(|(_, is)| *is);
        let are_default = names.iter().any(is_default);
        Classes { names, are_default }
    }
}

impl Classes {
    /// Their names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Whether an object of this class, or of none, counts.
    pub(crate) fn accept(&self, class: Option<&str>) -> bool {
        class.map_or(self.are_default, |class| self.names.contains(class))
    }
}

impl FromStr for Flavor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kong-operator" => Ok(Self::KongOperator),
            "kic" => Ok(Self::Kic),
            "auto" => Ok(Self::Auto),
            _ => Err("expected kong-operator, kic or auto".to_owned()),
        }
    }
}

impl FromStr for Switch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            "auto" => Ok(Self::Auto),
            _ => Err("expected on, off or auto".to_owned()),
        }
    }
}

/// `spec.controller` of Kong's IngressClasses.
const KONG_CONTROLLER: &str = "ingress-controllers.konghq.com/kong";

/// The class that Kong's controllers act on unless told otherwise.
const DEFAULT_CLASS: &str = "kong";
