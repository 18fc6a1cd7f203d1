//! Causal consistency of registers: what a client asks for may depend on all that it found and asked for
//! before, and on what those depend on in turn; nobody finds less than that.
//!
//! Where no value is written twice, a history is consistent if and only if it shows none of a few *bad
//! patterns*, which can be looked for in polynomial time (Bouajjani, Enea, Guerraoui and Hamza, *On
//! verifying causal consistency*, 2017). Three levels are told apart:
//!
//! | level | what it asks | bad patterns |
//! |---|---|---|
//! | [`Level::Weak`] | each answer can be explained by an order of its causes | causes in a circle; a value from nowhere; an overwritten value, or none, in spite of a cause |
//! | [`Level::Convergent`] | all clients agree on which of two concurrent writes is the later one | the same, and a circle of causes and of such agreements |
//! | [`Level::Memory`] | each client can explain all its answers by one order of all causes | the same as the first, by what happens before in that client's eyes |
//!
//! A compare-and-swap counts as a read and a write at once; one that failed tells nothing.

use std::collections::BTreeSet;
use std::fmt::Display;

use crate::graph::{Graph, Why};
use crate::relations::{Clocks, Relations, circle};
use crate::versions::{Change, Version};
use crate::{Model, Operation, Verdict};

/// How much is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// Causal consistency, CC in the paper.
    Weak,
    /// Causal convergence, CCv in the paper.
    Convergent,
    /// Causal memory, CM in the paper.
    Memory,
}

const CAUSE: &str = "it is a cause of the next";
const OVERWRITTEN: &str = "it found what was there before the next overwrote it";
const CHOSEN: &str = "who knew both found the next to be the later one";

/// Whether `history` is causally consistent.
pub fn check<M: Model>(
    model: &M,
    history: &[Operation<M::Input, M::Output>],
    level: Level,
) -> Verdict
where
    M::Input: Display,
    M::Output: Display,
{
    let relations = match Relations::of(model, history) {
        Ok(relations) => relations,
        Err(verdict) => return verdict,
    };
    if relations.change != Change::Replace {
        let why = "are appended to; causes are looked for where writes replace what was there";
        return Verdict::Unknown { about: "all keys".into(), why: why.into() };
    }
    let judged = match level {
        Level::Weak => weak(&relations).map(drop),
        Level::Convergent => convergent(&relations),
        Level::Memory => memory(&relations),
    };
    judged.map_or_else(|found| circle(found, history), |()| Verdict::Ok)
}

type Circle = Vec<(usize, Why)>;

fn weak(relations: &Relations) -> Result<(Graph, Clocks), Circle> {
    let graph = relations.graph();
    let clocks = relations.clocks(&graph, &graph.sort()?);
    for place in 0..relations.seen.len() {
        for write in relations.last_writes(&clocks, place) {
            let is_overwritten = match relations.seen[place].reads {
                None => false,
                Some(Version::Initial) => true,
                Some(Version::Of(read)) => {
                    let (session, number) = relations.at[read];
                    read != write && clocks.before(write, session) > number
                }
            };
            if is_overwritten {
                let why = |text| Why { text, by: None };
                return Err(vec![(write, why(CAUSE)), (place, why(OVERWRITTEN))]);
            }
        }
    }
    Ok((graph, clocks))
}

fn convergent(relations: &Relations) -> Result<(), Circle> {
    let (mut graph, clocks) = weak(relations)?;
    for (place, seen) in relations.seen.iter().enumerate() {
        let Some(Version::Of(read)) = seen.reads else { continue };
        for write in relations.last_writes(&clocks, place).filter(|write| *write != read) {
            graph.add_shown(write, read, Why { text: CHOSEN, by: Some(place) });
        }
    }
    graph.sort().map(drop)
}

fn memory(relations: &Relations) -> Result<(), Circle> {
    let (graph, clocks) = weak(relations)?;
    for own in &relations.sessions {
        let Some(&last) = own.last() else { continue };
        // What this client may know of.
        let is_known = |place: usize| {
            let (session, number) = relations.at[place];
            session != usize::MAX && clocks.before(last, session) > number
        };
        let mut graph = graph.within(is_known);
        let mut added = BTreeSet::new();
        loop {
            let clocks = relations.clocks(&graph, &graph.sort()?);
            let before = added.len();
            for &place in own {
                for write in relations.last_writes(&clocks, place) {
                    let Some(version) = relations.seen[place].reads else { continue };
                    let Version::Of(read) = version else {
                        let why = |text| Why { text, by: None };
                        return Err(vec![(write, why(CAUSE)), (place, why(OVERWRITTEN))]);
                    };
                    if read != write && added.insert((write, read)) {
                        graph.add_shown(write, read, Why { text: CHOSEN, by: Some(place) });
                    }
                }
            }
            if added.len() == before {
                break;
            }
        }
    }
    Ok(())
}
