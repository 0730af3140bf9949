//! Messages with handlers of their own, options, and states of older versions.

use fastness::__private as private;
use fastness::prelude::*;
use fastness::{DecodeError, MessageTo, StoredState};

mod messages {
    use fastness::prelude::*;

    pub(crate) type Outcome = Result<i64, String>;

    #[derive(Message, Serialize, Deserialize)]
    #[message(reply = Outcome)]
    pub(super) struct AddUp(pub(super) i64);

    #[derive(Message, Serialize, Deserialize)]
    #[message(reply = Option<i64>, read, name = "value")]
    pub(super) enum Query {
        Now,
        Doubled,
    }

    #[derive(Message, Serialize, Deserialize)]
    pub(super) struct Reset;

    /// A message that is written by hand may be generic.
    #[derive(Serialize, Deserialize)]
    pub(super) struct Set<T>(pub(super) T);

    impl Message for Set<i64> {
        type Reply = ();
        type Mode = fastness::Write;
        const NAME: &'static str = "set";
    }
}

use messages::{AddUp, Outcome, Query, Reset, Set};

/// Not `Clone`.
#[derive(Entity, Default, Serialize, Deserialize)]
#[entity(key = (String, u64), name = "count", version = 2, migrate = Counter::from_v1)]
#[entity(handles(AddUp, Query, Reset, Set<i64>), crate = ::fastness)]
pub(crate) struct Counter {
    value: i64,
}

impl Counter {
    fn from_v1(stored: StoredState<'_>) -> Result<Counter, DecodeError> {
        Err(DecodeError::new(format!("tried version {}", stored.version())))
    }
}

impl Handler<AddUp> for Counter {
    fn handle(&mut self, AddUp(by): AddUp, _: &mut Context<Self>) -> Outcome {
        self.value = self.value.checked_add(by).ok_or("too much")?;
        Ok(self.value)
    }
}

impl Reader<Query> for Counter {
    fn read(&self, query: Query, _: &Context<Self>) -> Option<i64> {
        match query {
            Query::Now => Some(self.value),
            Query::Doubled => self.value.checked_mul(2),
        }
    }
}

impl Handler<Reset> for Counter {
    fn handle(&mut self, _: Reset, _: &mut Context<Self>) {
        self.value = 0;
    }
}

impl Handler<Set<i64>> for Counter {
    fn handle(&mut self, Set(value): Set<i64>, _: &mut Context<Self>) {
        self.value = value;
    }
}

/// Mixes both forms, from a module that is not the entity's.
#[derive(Entity, Clone, Default, Serialize, Deserialize)]
#[entity(key = u64)]
pub(crate) enum Lamp {
    #[default]
    Off,
    On,
}

mod switches {
    use super::{Context, Handler, LampRef, Reset, handlers};

    #[handlers(Reset, crate = fastness)]
    impl super::Lamp {
        pub(super) fn switch(&mut self) -> bool {
            *self = super::Lamp::On;
            matches!(self, Self::On)
        }
    }

    impl Handler<Reset> for super::Lamp {
        fn handle(&mut self, _: Reset, _: &mut Context<Self>) {
            *self = super::Lamp::Off;
        }
    }

    #[expect(dead_code, reason = "only its types matter")]
    fn switch_two(a: LampRef, b: LampRef) {
        let _ = (a.switch(), b.ask(Reset));
    }
}

type SameCounter = Counter;
type SameLamp = Lamp;

pub(crate) fn main() {
    let mut counter = Counter::default();
    let key = ("a".to_owned(), 1);
    let ((), _) = private::with_context::<SameCounter, _>(&key, |cx| {
        assert_eq!(AddUp(2).deliver(&mut counter, cx), Ok(2));
        assert_eq!(Query::Doubled.deliver(&mut counter, cx), Some(4));
        Set(9).deliver(&mut counter, cx);
        assert_eq!(Query::Now.deliver(&mut counter, cx), Some(9));
        Reset.deliver(&mut counter, cx);
        assert_eq!(counter.value, 0);
    });
    assert!(<AddUp as MessageTo<Counter>>::is_failure(&Err("x".into())));
    assert!(!<Query as MessageTo<Counter>>::is_failure(&None));

    assert!(Entity::try_clone(&counter).is_none());
    assert!(matches!(Entity::try_clone(&SameLamp::On), Some(Lamp::On)));

    assert_eq!((Counter::NAME, Counter::VERSION), ("count", 2));
    assert_eq!((AddUp::NAME, Query::NAME, Reset::NAME), ("add_up", "value", "reset"));

    let mut lamp = Lamp::Off;
    private::with_context::<Lamp, _>(&1, |cx| {
        assert!(switches::LampSwitch {}.deliver(&mut lamp, cx));
        Reset.deliver(&mut lamp, cx);
    });
    assert!(matches!(lamp, Lamp::Off));
}
