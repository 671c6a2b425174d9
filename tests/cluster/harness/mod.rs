//! A real control plane for tests. A test is an async function that takes a [`Cluster`]; the first
//! one that runs starts etcd, kube-apiserver and kube-controller-manager, `end` stops them.
//!
//! ```text
//!  test ──> Cluster (client, namespaces, YAML) ──> kube-apiserver ──> etcd      Plane: start, kill
//!    │         Account (token, RBAC)                  ▲    ▲
//!    └──> exporter ──> Proxy (count, cut, swallow) ───┘    └── kube-controller-manager
//! ```

mod account;
mod audit;
mod binaries;
mod cluster;
mod crds;
mod etcd;
mod gate;
mod manifests;
mod pki;
mod plane;
mod proxy;
mod runner;
mod sandbox;
mod scraping;

#[allow(unused_imports)] // for the tests that come
pub(crate) use self::{
    account::Account,
    audit::Request,
    binaries::{APISERVER, Binaries, CONTROLLERS, ETCD},
    cluster::Cluster,
    gate::{Fate, Gate, Sent},
    manifests::{moved, read},
    plane::{APISERVER_ADDRESS, Plane},
    proxy::Proxy,
    runner::{Access, Test, run},
    scraping::Scraping,
};

/// A list of tests: `tests![Shared: one, another]`; `Controlled` for those that need controllers,
/// `Alone` for those that kill parts of the control plane.
macro_rules! tests {
    ($access:ident: $($name:ident),* $(,)?) => {
        vec![$($crate::harness::Test::new(
            concat!(module_path!(), "::", stringify!($name)),
            $crate::harness::Access::$access,
            |cluster| Box::pin($name(cluster)),
        )),*]
    };
}
pub(crate) use tests;
