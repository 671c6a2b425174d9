//! All that the meaning of a name depends on, as one value that those who work names out are lent.
//!
//! Only [`Index`](crate::resolve::index::Index) changes it.

use std::collections::{BTreeMap, HashMap};

use crate::kubernetes::types::{ControlPlaneSpec, IngressClassSpec, ReferenceGrantSpec};
use crate::resolve::graph::{Graph, Id};
use crate::resolve::settings::{Classes, Forms, Settings};

/// All that the meaning of a name depends on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) forms: Forms,
    pub(crate) classes: Classes,
    pub(crate) graph: Graph,
    /// By the namespace they are in and allow to refer to.
    pub(crate) grants: HashMap<Box<str>, BTreeMap<Box<str>, ReferenceGrantSpec>>,
    /// The Ingress whose default backend counts.
    pub(crate) default_ingress: Option<Id>,
    pub(crate) ingress_classes: BTreeMap<Box<str>, (IngressClassSpec, bool)>,
    pub(crate) control_planes: BTreeMap<(Box<str>, Box<str>), ControlPlaneSpec>,
}

impl World {
    /// A cluster without any object.
    pub(crate) fn of_nothing(settings: Settings) -> Self {
        let (forms, classes) = (settings.forms([]), settings.classes(&BTreeMap::new(), []));
        Self {
            settings,
            forms,
            classes,
            graph: Graph::default(),
            grants: HashMap::new(),
            default_ingress: None,
            ingress_classes: BTreeMap::new(),
            control_planes: BTreeMap::new(),
        }
    }
}
