//! Operators that know nothing of each other, one beside each node: as soon as that node leads, it is asked
//! for one change of members after the other, whatever became of the last.
//!
//! The careful [`operator`](super::operator) waits for the end of each change, as people do. These find
//! what goes wrong when changes meet in the air: the bug of 2015 (a new leader that changes members before
//! an entry of its own term is committed) needs two leaders that both have a change under way.

use std::sync::Arc;
use std::time::Duration;

use synod_consensus::{Change, Membership, Outcome, Refusal, ReplicatedLog, Role};
use synod_kv::Store;
use synod_kv::message::{Answer, Query, Response};
use synod_kv::rules::Rules;
use synod_sim::replicated::{Answer as Reply, Call, Replica};
use synod_sim::{ClientId, Outside};

use super::operator::{contact, pick};

type World<'a, L, R> = Outside<'a, L, Replica<Store<R>>>;

/// The first of them; each has the number of its node besides.
pub(super) const RIVALS: u32 = 1 << 29;

/// How long they wait at a node that leads, at most.
const HASTE: Duration = Duration::from_millis(15);

/// What the rivals are at.
#[derive(Debug)]
pub(super) struct Rivals {
    /// The longest pause between two questions to a node that does not lead.
    pause: Duration,
    /// Each of them.
    beside: Vec<Beside>,
    is_closing: bool,
}

/// What one of them knows of its node.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// As far as it last said.
    leads: bool,
    /// Who the members are, as it said last.
    members: Arc<Membership>,
}

impl Rivals {
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, beside: Vec::new(), is_closing: false }
    }

    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    pub(super) fn begin<L: ReplicatedLog, R: Rules>(&mut self, world: &mut World<'_, L, R>) {
        self.beside = vec![Beside::default(); world.nodes().len()];
        for place in 0..self.beside.len() as u32 {
            world.wake(ClientId(RIVALS + place), Duration::from_millis(500));
        }
    }

    pub(super) fn woken<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
    ) {
        if self.is_closing {
            return;
        }
        let place = (client.0 - RIVALS) as usize;
        let node = world.nodes()[place];
        let Beside { leads, members } = &self.beside[place];
        let call = wish(world, members).unwrap_or(Call::Ask);
        world.call(client, node, call);
        let most = if *leads { HASTE } else { self.pause };
        let pause = Duration::from_nanos(world.dice().below(most.as_nanos() as u64));
        world.wake(client, Duration::from_millis(1) + pause);
    }

    pub(super) fn answered<L: ReplicatedLog, R: Rules>(
        &mut self,
        world: &mut World<'_, L, R>,
        client: ClientId,
        reply: &Reply<Response, Answer>,
    ) {
        let place = (client.0 - RIVALS) as usize;
        let beside = &mut self.beside[place];
        if let Reply::Told { members, role, .. } = reply {
            (beside.members, beside.leads) = (members.clone(), *role == Role::Leader);
        }
        let (Reply::Changed(outcome) | Reply::Transferred(outcome)) = reply else { return };
        beside.leads = !matches!(outcome, Outcome::Refused(Refusal::NotLeader { .. }));
        match (reply, outcome) {
            (Reply::Changed(_), Outcome::Done(())) => world.reached("members changed"),
            (_, Outcome::Refused(Refusal::ChangePending)) => world.reached("change is pending"),
            _ => {}
        }
    }
}

/// What a node that knows these members might be asked next, if anything. Two majorities of one change each
/// have no node in common only where the count of voters was even: so there are four most of the time.
fn wish<L: ReplicatedLog, R: Rules>(
    world: &mut World<'_, L, R>,
    members: &Membership,
) -> Option<Call<Query>> {
    let nodes = world.nodes().to_vec();
    let voters: Vec<_> = members.quorum().incoming().iter().collect();
    let (grows, shrinks) = match voters.len() {
        0..=3 => (60, 2),
        4 => (4, 8),
        _ => (1, 50),
    };
    let dice = world.dice();
    let turn = dice.below(100);
    if turn == 99 {
        return Some(Call::Transfer(None));
    }
    if turn < shrinks {
        let node = *pick(dice, if voters.is_empty() { &nodes } else { &voters });
        let stays = dice.chance(700_000);
        let wish = if stays { Change::Demote(node) } else { Change::Remove(node) };
        return Some(Call::Change(vec![wish]));
    }
    let others: Vec<_> = nodes.into_iter().filter(|node| !voters.contains(node)).collect();
    if turn >= shrinks + grows || others.is_empty() {
        return None;
    }
    let node = *pick(dice, &others);
    let wish = match members.member(node) {
        Some(_) => Change::Promote(node),
        None => Change::Add { node, contact: contact(world, node) },
    };
    Some(Call::Change(vec![wish]))
}
