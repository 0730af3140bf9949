//! The macros work inside functions, and where the names of the standard library mean other things.

pub(crate) fn main() {
    use fastness::__private::with_context;
    use fastness::{Context, Entity, MessageTo, handlers};
    use serde_json::json;

    #[derive(
        Entity,
        Default,
        fastness::__private::serde::Serialize,
        fastness::__private::serde::Deserialize,
    )]
    #[serde(crate = "fastness::__private::serde")]
    #[entity(key = u8)]
    struct Local {
        values: Vec<u8>,
    }

    #[handlers]
    impl Local {
        fn push(&mut self, value: u8, _cx: &mut Context<Self>) -> usize {
            self.values.push(value);
            self.values.len()
        }
    }

    let mut local = Local::default();
    let push = LocalPush { value: 3 };
    assert_eq!(with_context::<Local, _>(&0, |cx| push.deliver(&mut local, cx)), (1, false));
    assert_eq!(json!(local), json!({ "values": [3] }));
    shadowed::run();
}

#[allow(dead_code)]
mod shadowed {
    use fastness::{Entity, Key, Message, MessageTo, handlers};
    use serde::{Deserialize, Serialize};

    struct Option;
    struct Result;
    struct Vec;
    struct String;
    struct Context;
    #[allow(non_camel_case_types)]
    struct u32;
    mod core {}
    mod std {}
    mod fastness_macros {}

    #[derive(Key, Clone, PartialEq, Eq, Hash, Debug)]
    struct Name {
        name: ::std::string::String,
    }

    #[derive(Entity, Default, Serialize, Deserialize)]
    #[entity(key = Name, handles(Tick))]
    struct Clock {
        ticks: u64,
    }

    #[derive(Message, Serialize, Deserialize)]
    #[message(reply = u64)]
    struct Tick;

    impl fastness::Handler<Tick> for Clock {
        fn handle(&mut self, _: Tick, _: &mut fastness::Context<Self>) -> u64 {
            self.ticks += 1;
            self.ticks
        }
    }

    #[derive(Entity, Default, Serialize, Deserialize)]
    #[entity(key = Name)]
    struct Other;

    #[handlers]
    impl Other {
        fn go(&mut self, on: u64, _cx: &mut fastness::Context<Self>) -> ::std::string::String {
            format!("{on}")
        }
    }

    pub(super) fn run() {
        let name = Name { name: "n".into() };
        let ticks = |cx: &mut fastness::Context<'_, Clock>| Tick.deliver(&mut Clock::default(), cx);
        assert_eq!(fastness::__private::with_context::<Clock, _>(&name, ticks).0, 1);
        assert_eq!(Other.go_as_message(), "7");
    }

    impl Other {
        fn go_as_message(&mut self) -> ::std::string::String {
            let name = Name { name: "n".into() };
            let message = OtherGo { on: 7 };
            fastness::__private::with_context::<Other, _>(&name, |cx| message.deliver(self, cx)).0
        }
    }
}
