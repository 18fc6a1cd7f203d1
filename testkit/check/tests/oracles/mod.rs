//! Oracles that try every partial order of causes, and every order of a key's writes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use synod_check::causal::Level;
use synod_check::registers::{Input, Output};
use synod_check::sessions::Guarantee;

use crate::operations::Operation;

const MOST: usize = 5;

/// For each operation, the set of those before it, as bits.
type Order = [u8; MOST];

/// All strict partial orders of so many operations.
pub(crate) struct Causal {
    orders: Vec<Order>,
    permutations: Vec<Vec<usize>>,
}

fn permutations(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, first) in of.iter().enumerate() {
        let mut rest = of.to_vec();
        rest.remove(place);
        all.extend(permutations(&rest).into_iter().map(|mut rest| {
            rest.insert(0, *first);
            rest
        }));
    }
    all
}

impl Causal {
    pub(crate) fn new() -> Self {
        let permutations = permutations(&[0, 1, 2, 3, 4]);
        let mut orders = BTreeSet::new();
        for permutation in &permutations {
            for pairs in 0..1u32 << (MOST * (MOST - 1) / 2) {
                let mut order = [0; MOST];
                let mut pair = 0;
                for later in 1..MOST {
                    for earlier in 0..later {
                        if pairs >> pair & 1 == 1 {
                            let earlier = permutation[earlier];
                            order[permutation[later]] |= 1 << earlier | order[earlier];
                        }
                        pair += 1;
                    }
                }
                orders.insert(order);
            }
        }
        Self { orders: orders.into_iter().collect(), permutations }
    }

    pub(crate) fn explains(&self, history: &[Operation], level: Level) -> bool {
        let count = history.len();
        let client = |place: usize| history[place].client;
        let keeps_clients = |order: &&Order| {
            (0..count).all(|later| {
                (0..later).all(|earlier| {
                    client(earlier) != client(later) || order[later] >> earlier & 1 == 1
                })
            }) && (0..MOST)
                .all(|place| order[place] >> count == 0 && (place < count || order[place] == 0))
        };
        let mut orders = self.orders.iter().filter(keeps_clients);
        let mut total: Vec<Vec<usize>> = self
            .permutations
            .iter()
            .map(|all| all.iter().copied().filter(|place| *place < count).collect())
            .collect();
        total.sort();
        total.dedup();
        let fits = |order: &Order, total: &[usize]| {
            (0..total.len())
                .all(|at| total[at..].iter().all(|later| order[total[at]] >> later & 1 == 0))
        };
        orders.any(|order| {
            let fitting: Vec<_> = total.iter().filter(|total| fits(order, total)).collect();
            match level {
                Level::Weak => (0..count).all(|place| {
                    let known = order[place] | 1 << place;
                    fitting.iter().any(|total| legal(history, total, known, 1 << place))
                }),
                Level::Convergent => fitting.iter().any(|total| {
                    (0..count).all(|place| {
                        // Itself stands after all that it knows of.
                        let mut own: Vec<_> = total.to_vec();
                        own.retain(|other| *other != place);
                        own.push(place);
                        legal(history, &own, order[place] | 1 << place, 1 << place)
                    })
                }),
                Level::Memory => (0..count).all(|place| {
                    let known = order[place] | 1 << place;
                    let own = (0..count).filter(|it| client(*it) == client(place) && *it <= place);
                    let asked = own.fold(0, |all, it| all | 1 << it);
                    fitting.iter().any(|total| legal(history, total, known, asked))
                }),
            }
        })
    }
}

/// Whether those `known`, done in this order, explain the answers of those `asked`.
fn legal(history: &[Operation], total: &[usize], known: u8, asked: u8) -> bool {
    let mut held = BTreeMap::new();
    for place in total.iter().filter(|place| known >> **place & 1 == 1) {
        if let Input::Put { key, value } = &history[*place].input {
            held.insert(key, value);
        }
        let is_asked = asked >> place & 1 == 1;
        if let (Input::Get { key }, Some(Output::Value { value, .. })) =
            (&history[*place].input, history[*place].output())
            && is_asked
            && held.get(key).copied() != value.as_ref()
        {
            return false;
        }
    }
    true
}

/// Whether each key's writes have an order by which all clients have these guarantees.
pub(crate) fn keeps(history: &[Operation], asked: &[Guarantee]) -> bool {
    ["x", "y"].iter().all(|key| {
        let own: Vec<_> = history.iter().filter(|it| it.input.key() == key).collect();
        let written = |operation: &Operation| match &operation.input {
            Input::Put { value, .. } => Some(value.clone()),
            _ => None,
        };
        let found = |operation: &Operation| match operation.output() {
            Some(Output::Value { value, .. }) => Some(value.clone()),
            _ => None,
        };
        let writes: Vec<Bytes> = own.iter().filter_map(|it| written(it)).collect();
        let numbers: Vec<_> = (0..writes.len()).collect();
        permutations(&numbers).into_iter().any(|order| {
            let age = |value: Option<Bytes>| match value {
                None => 0,
                Some(value) => {
                    1 + order
                        .iter()
                        .position(|number| writes[*number] == value)
                        .expect("somebody wrote it")
                }
            };
            let wrote = |it: &Operation| written(it).map(|value| age(Some(value)));
            let read = |it: &Operation| found(it).map(age);
            asked.iter().all(|guarantee| {
                own.iter().enumerate().all(|(later, second)| {
                    let before = own[..later].iter().filter(|first| first.client == second.client);
                    before.into_iter().all(|first| {
                        let (older, newer) = match guarantee {
                            Guarantee::ReadYourWrites => (wrote(first), read(second)),
                            Guarantee::MonotonicReads => (read(first), read(second)),
                            Guarantee::MonotonicWrites => (wrote(first), wrote(second)),
                            Guarantee::WritesFollowReads => (read(first), wrote(second)),
                        };
                        let strict = matches!(
                            guarantee,
                            Guarantee::MonotonicWrites | Guarantee::WritesFollowReads
                        );
                        match (older, newer) {
                            (Some(older), Some(newer)) => {
                                older < newer || !strict && older == newer
                            }
                            _ => true,
                        }
                    })
                })
            })
        })
    })
}
