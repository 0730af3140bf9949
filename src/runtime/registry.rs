//! The entity types of a grid, and its bounds: what every processing unit knows alike.

use std::any::TypeId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{EntityOptions, Limits};
use crate::entity::Entity;

use super::entities::{AnyEntities, Entities, Usage};

/// One entity type.
pub(crate) struct RegisteredType {
    type_id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) options: EntityOptions,
    /// What its entities take in memory, all partitions together.
    usage: Arc<Usage>,
    make: fn(u16, EntityOptions, Arc<Usage>, u16) -> Box<dyn AnyEntities>,
}

/// The entity types of a grid, and its bounds.
pub(crate) struct Registry {
    pub(crate) limits: Limits,
    /// How long an ask waits that says nothing of it.
    pub(crate) default_deadline: Duration,
    pub(crate) kinds: Vec<RegisteredType>,
    /// Types whose rows are left alone.
    pub(crate) retired: BTreeSet<String>,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        Registry {
            limits: Limits::default(),
            default_deadline: Registry::DEFAULT_DEADLINE,
            kinds: Vec::new(),
            retired: BTreeSet::new(),
        }
    }

    /// Long enough for a store to catch up, short enough that a caller is not forgotten.
    const DEFAULT_DEADLINE: Duration = Duration::from_secs(10);

    /// Adds an entity type; returns false if one of its wire name is there.
    pub(crate) fn add<E: Entity>(&mut self, options: EntityOptions) -> bool {
        if self.kinds.iter().any(|kind| kind.name == E::NAME) {
            return false;
        }
        self.kinds.push(RegisteredType {
            type_id: TypeId::of::<E>(),
            name: E::NAME,
            options,
            usage: Arc::default(),
            make: make::<E>,
        });
        true
    }

    pub(crate) fn index_of<E: Entity>(&self) -> Option<u16> {
        // A grid has few types: looking at each is faster than hashing.
        let at = self.kinds.iter().position(|kind| kind.type_id == TypeId::of::<E>())?;
        u16::try_from(at).ok()
    }

    pub(crate) fn index_named(&self, name: &str) -> Option<usize> {
        self.kinds.iter().position(|kind| kind.name == name)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name).collect()
    }

    /// Room for the entities of one partition of so many, type by type.
    pub(crate) fn make_all(&self, partitions: u16) -> Vec<Box<dyn AnyEntities>> {
        let make = |(index, kind): (usize, &RegisteredType)| {
            (kind.make)(index as u16, kind.options, Arc::clone(&kind.usage), partitions)
        };
        self.kinds.iter().enumerate().map(make).collect()
    }
}

fn make<E: Entity>(
    index: u16,
    options: EntityOptions,
    usage: Arc<Usage>,
    partitions: u16,
) -> Box<dyn AnyEntities> {
    Box::new(Entities::<E>::new(index, options, usage, partitions))
}
