//! That an object makes Kong have a service of some name: worked out for one kind of object at a time,
//! put together by name in [`group`](crate::resolve::group).

use crate::resolve::graph::Id;

/// That an object makes Kong have a service of some name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The object.
    pub(crate) object: Id,
    /// Which of its rules or backends.
    pub(crate) rule: u16,
    /// How it comes to the name.
    pub(crate) way: Way,
}

/// What objects claim, as it is worked out.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    only: Option<u16>,
    all: Vec<(String, Claim)>,
}

/// How an object comes to a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Together with the rules of other HTTPRoutes that have the same backends. The name is then the
    /// one without timeout, however long.
    Combined,
    /// By itself.
    Own,
}

impl Claim {
    pub(crate) const FIRST: Self = Self { object: Id::FIRST, rule: 0, way: Way::Combined };
    pub(crate) const LAST: Self = Self { object: Id::LAST, rule: u16::MAX, way: Way::Own };
}

impl Claims {
    /// Those of one rule only.
    pub(crate) fn of_rule(rule: u16) -> Self {
        Self { only: Some(rule), all: Vec::new() }
    }

    /// Whether the claims of this rule are asked for.
    pub(crate) fn wants(&self, rule: u16) -> bool {
        self.only.is_none_or(|only| only == rule)
    }

    pub(crate) fn push(&mut self, base: String, claim: Claim) {
        self.all.push((base, claim));
    }

    /// Each once, sorted by name.
    pub(crate) fn sorted(mut self) -> Vec<(String, Claim)> {
        self.all.sort_unstable();
        self.all.dedup();
        self.all
    }
}
