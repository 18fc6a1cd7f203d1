//! One engine inside another: the outer owns the inner, passes it the inputs that concern it, and wraps
//! what it says, writes and sets.

use alloc::vec::Vec;
use core::convert::Infallible;

use crate::{Context, Effect, Engine, Input};

/// An engine that owns an engine `I`, and how it wraps what that one says, writes and sets.
///
/// What it wraps comes back to it, as a message from a peer that embeds the same, as a record to replay,
/// as a timer: it unwraps it and passes it on. The inner engine has no tasks.
pub trait Embeds<I: Engine<Task = Infallible>>: Engine {
    /// The inner engine's message as one of this engine.
    fn wrap_message(message: I::Message) -> Self::Message;

    /// The inner engine's record as one of this engine.
    fn wrap_record(record: I::Record) -> Self::Record;

    /// The inner engine's timer as one of this engine.
    fn wrap_timer(timer: I::Timer) -> Self::Timer;
}

impl<E: Engine> Context<'_, E> {
    /// Lets `inner` take an input. Its effects become effects of the outer engine, in their order; its
    /// events are for the outer engine and are given back at once.
    ///
    /// So an event arrives before the inner records that it waits for are durable. What the outer engine
    /// makes of it is held behind them all the same, unless it is marked *now*.
    pub fn embed<I>(&mut self, inner: &mut I, input: Input<I>) -> Vec<I::Event>
    where
        E: Embeds<I>,
        I: Engine<Task = Infallible>,
    {
        let mut effects = Vec::new();
        inner.step(&mut self.within(&mut effects), input);
        let mut events = Vec::new();
        for effect in effects {
            let wrapped = match effect {
                Effect::Persist(record) => Effect::Persist(E::wrap_record(record)),
                Effect::Send { to, message, when } => {
                    Effect::Send { to, message: E::wrap_message(message), when }
                }
                Effect::SetTimer { timer, after } => {
                    Effect::SetTimer { timer: E::wrap_timer(timer), after }
                }
                Effect::CancelTimer(timer) => Effect::CancelTimer(E::wrap_timer(timer)),
                Effect::StartTask { task, .. } => match task {},
                Effect::AbortTask(id) => Effect::AbortTask(id),
                Effect::Emit { event, .. } => {
                    events.push(event);
                    continue;
                }
            };
            self.effects.push(wrapped);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use alloc::vec;
    use core::fmt;
    use core::hash::Hasher;
    use core::time::Duration;

    use super::*;
    use crate::{Class, Corrupt, Instant, Message, NodeId, Random, Record, Sound};

    /// A word of the inner engine.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    struct Word(u64);

    /// A word of the outer engine.
    #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
    enum Wrapped {
        Inner(Word),
        Own(u64),
    }

    impl fmt::Display for Word {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)
        }
    }

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Inner(word) => write!(f, "inner {word}"),
                Self::Own(number) => write!(f, "own {number}"),
            }
        }
    }

    impl Message for Word {
        fn class(&self) -> Class {
            Class::Datagram
        }
    }

    impl Message for Wrapped {
        fn class(&self) -> Class {
            Class::Datagram
        }
    }

    impl Record for Word {}

    impl Record for Wrapped {}

    /// Does one of each, and draws a number.
    #[derive(Clone)]
    struct Inner;

    /// Owns one that does, between two things of its own.
    #[derive(Clone)]
    struct Outer(Inner, Vec<Word>);

    macro_rules! engine {
        ($name:ident, $word:ident, $new:expr, $step:expr) => {
            impl Engine for $name {
                type Config = ();
                type Message = $word;
                type Record = $word;
                type Timer = $word;
                type Request = ();
                type Event = $word;
                type Task = Infallible;
                type Output = Infallible;
                type Rules = Sound;
                type View = u64;

                fn new((): ()) -> Self {
                    $new
                }

                fn replay(&mut self, _: $word) -> Result<(), Corrupt> {
                    Ok(())
                }

                fn step(&mut self, context: &mut Context<'_, Self>, input: Input<Self>) {
                    ($step)(self, context, input);
                }

                fn fingerprint<H: Hasher>(&self, _: Instant, _: &mut H) {}

                fn view(&self) -> u64 {
                    0
                }
            }
        };
    }

    engine!(Inner, Word, Self, |_: &mut Inner,
                                context: &mut Context<'_, Inner>,
                                input: Input<Inner>| {
        assert!(matches!(input, Input::Timer(Word(9))), "the input that was passed on");
        assert_eq!(context.now(), Instant::from_nanos(5), "the outer engine's time");
        context.persist(Word(1));
        let drawn = context.random().bits();
        context.emit(Word(drawn));
        context.send_now(NodeId(2), Word(2));
        context.send_others(Word(3));
        context.set_timer(Word(4), Duration::from_millis(4));
        context.cancel_timer(Word(5));
    });

    engine!(
        Outer,
        Wrapped,
        Self(Inner, vec![]),
        |outer: &mut Outer, context: &mut Context<'_, Outer>, _| {
            context.persist(Wrapped::Own(0));
            outer.1 = context.embed(&mut outer.0, Input::Timer(Word(9)));
            context.emit(Wrapped::Own(6));
        }
    );

    impl Embeds<Inner> for Outer {
        fn wrap_message(message: Word) -> Wrapped {
            Wrapped::Inner(message)
        }

        fn wrap_record(record: Word) -> Wrapped {
            Wrapped::Inner(record)
        }

        fn wrap_timer(timer: Word) -> Wrapped {
            Wrapped::Inner(timer)
        }
    }

    #[test]
    fn inner_effects_are_wrapped_in_their_order_and_inner_events_are_given_back() {
        let mut outer = Outer::new(());
        let mut effects = Vec::new();
        let mut random = Random::new(7);
        let mut context = Context::new(Instant::from_nanos(5), &mut random, &mut effects);
        outer.step(&mut context, Input::Start);
        let effects: Vec<String> = effects.iter().map(ToString::to_string).collect();
        assert_eq!(
            effects,
            [
                "persist own 0",
                "persist inner 1",
                "send n2 now inner 2",
                "send others inner 3",
                "set Inner(Word(4)) in 4ms",
                "cancel Inner(Word(5))",
                "emit own 6",
            ]
        );
        assert_eq!(outer.1, [Word(Random::new(7).bits())], "the outer engine's chance");
    }
}
