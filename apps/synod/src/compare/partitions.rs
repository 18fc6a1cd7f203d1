//! What becomes of writing where only some hear each other: in the shapes of Omni-Paxos (EuroSys 2023,
//! section 2), and where one node is deaf, mute or both.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ValueEnum;
use synod_engine::NodeId;
use synod_sim::Transport;

use super::stand::{Measured, Setting, Stand, value};
use super::table::{Table, quantile};
use crate::engines::{EngineName, with_engine};

/// For how long each partition is watched.
const MINUTE: Duration = Duration::from_secs(60);
/// How often a write is tried at each node, until one is done, and from then on.
const TRY_EVERY: Duration = Duration::from_millis(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// In the end, nodes that serve have done so in this time.
const LATELY: Duration = Duration::from_secs(5);
/// When a link that is silent is taken for broken: the runtime's `link_timeout_ms`.
const NOTICE: Duration = Duration::from_millis(1_500);
/// For how long a node was away before all hear it and nobody else.
const AWAY: Duration = Duration::from_secs(2);

/// Who does not hear whom, by the parts that nodes play when it begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A row of nodes, with the leader at one end.
    ChainLeaderAtEnd,
    /// A row of nodes, with the leader in the middle.
    ChainLeaderInside,
    /// All hear one node, which does not lead, and nobody else.
    QuorumLoss,
    /// The same, and it was away while others wrote.
    Constrained,
    /// The leader and all others do not hear each other.
    LeaderAlone,
    /// Nobody hears the leader.
    LeaderMute,
    /// The leader hears nobody.
    LeaderDeaf,
    /// A follower and all others do not hear each other.
    FollowerAlone,
    /// Nobody hears a follower.
    FollowerMute,
    /// A follower hears nobody.
    FollowerDeaf,
}

impl Shape {
    /// Those that three can be in, and that are no other in five.
    const OF_THREE: [Self; 3] = [Self::ChainLeaderAtEnd, Self::LeaderAlone, Self::LeaderDeaf];

    const OF_FIVE: [Self; 10] = [
        Self::QuorumLoss,
        Self::Constrained,
        Self::ChainLeaderAtEnd,
        Self::ChainLeaderInside,
        Self::LeaderAlone,
        Self::LeaderMute,
        Self::LeaderDeaf,
        Self::FollowerAlone,
        Self::FollowerMute,
        Self::FollowerDeaf,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::QuorumLoss => "quorum loss",
            Self::Constrained => "constrained",
            Self::ChainLeaderAtEnd => "chained, leader at the end",
            Self::ChainLeaderInside => "chained, leader inside",
            Self::LeaderAlone => "leader alone",
            Self::LeaderMute => "leader mute",
            Self::LeaderDeaf => "leader deaf",
            Self::FollowerAlone => "follower alone",
            Self::FollowerMute => "follower mute",
            Self::FollowerDeaf => "follower deaf",
        }
    }

    /// Whether it cuts one direction only: over ordered links, that is a cut of both.
    fn is_one_way(self) -> bool {
        matches!(
            self,
            Self::LeaderMute | Self::LeaderDeaf | Self::FollowerMute | Self::FollowerDeaf
        )
    }

    /// Cuts, and lets time pass where that belongs to the shape.
    fn strike<L: Measured>(self, stand: &mut Stand<L>) {
        let leader = stand.settle();
        let others: Vec<NodeId> = stand.nodes().filter(|node| *node != leader).collect();
        let follower = others[0];
        let all_but =
            |one: NodeId| -> Vec<NodeId> { stand.nodes().filter(|node| *node != one).collect() };
        match self {
            Self::QuorumLoss => stand.sim.star(follower),
            Self::Constrained => {
                stand.sim.isolate(&[follower]);
                let end = stand.sim.now() + AWAY;
                while stand.sim.now() < end {
                    stand.ask(leader, value());
                    stand.sim.run_for(LOOK_EVERY);
                }
                stand.sim.star(follower);
            }
            Self::ChainLeaderAtEnd => stand.sim.chain(&[&[leader], &others[..]].concat()),
            Self::ChainLeaderInside => {
                stand.sim.chain(&[&[others[0], leader], &others[1..]].concat());
            }
            Self::LeaderAlone => stand.sim.isolate(&[leader]),
            Self::LeaderMute => stand.sim.silence(&[leader]),
            Self::LeaderDeaf => stand.sim.silence(&all_but(leader)),
            Self::FollowerAlone => stand.sim.isolate(&[follower]),
            Self::FollowerMute => stand.sim.silence(&[follower]),
            Self::FollowerDeaf => stand.sim.silence(&all_but(follower)),
        }
    }
}

/// What became of writing in the minute after a partition began.
struct Aftermath {
    /// The longest time without a write that was done; none if none was done in the end.
    stands_still: Option<Duration>,
    /// How often somebody came to lead.
    leaders: usize,
    /// At how many nodes writing was possible in the end.
    served: usize,
}

/// What becomes of writing under each partition, over so many seeds.
pub(super) fn table(transport: Transport, title: &'static str, seeds: u64) -> Table {
    let engines = EngineName::value_variants();
    let mut table = Table::new(title, "members | partition");
    table.columns.extend(engines.iter().map(ToString::to_string));
    for (members, shapes) in [(3, &Shape::OF_THREE[..]), (5, &Shape::OF_FIVE)] {
        let possible = |shape: &&Shape| transport == Transport::Datagrams || !shape.is_one_way();
        for &shape in shapes.iter().filter(possible) {
            let mut row = vec![members.to_string(), shape.name().to_owned()];
            row.extend(engines.iter().map(|&engine| {
                let all: Vec<_> = (1..=seeds)
                    .map(|seed| {
                        with_engine!(engine, Log => aftermath::<Log>(members, shape, transport, seed))
                    })
                    .collect();
                summary(&all, members)
            }));
            table.rows.push(row);
        }
    }
    table
}

/// How long writing stood still, how many came to lead, and how many nodes serve in the end.
fn summary(all: &[Aftermath], members: u64) -> String {
    let mut times: Vec<_> = all.iter().filter_map(|it| it.stands_still).collect();
    times.sort_unstable();
    let served = spread(all.iter().map(|it| it.served as u128));
    let leaders = spread(all.iter().map(|it| it.leaders as u128));
    let leaders = match leaders.as_str() {
        "0" => String::new(),
        "1" => "; 1 new leader".to_owned(),
        many => format!("; {many} new leaders"),
    };
    let time = match all.len() - times.len() {
        0 if quantile(&times, 100) <= 2 * LOOK_EVERY => "goes on".to_owned(),
        0 => format!("{} ms", spread(times.iter().map(Duration::as_millis))),
        never if never == all.len() => "**never**".to_owned(),
        never => format!("**never** in {never} of {}", all.len()),
    };
    format!("{time}{leaders}; {served} of {members}")
}

/// The least and the most of these.
fn spread(values: impl Iterator<Item = u128>) -> String {
    let values: BTreeSet<_> = values.collect();
    match (values.first(), values.last()) {
        (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
        (_, only) => only.map_or("-".to_owned(), ToString::to_string),
    }
}

fn aftermath<L: Measured>(
    members: u64,
    shape: Shape,
    transport: Transport,
    seed: u64,
) -> Aftermath {
    let mut stand =
        Stand::<L>::new(&Setting { transport, seed, notice: NOTICE, ..Setting::of(members) });
    stand.sim.run_for(Duration::from_secs(1));
    shape.strike(&mut stand);
    let (first, began, led) = (stand.next(), stand.sim.now(), stand.reigns());
    let end = began + MINUTE;
    while stand.sim.now() < end {
        for node in stand.nodes() {
            stand.ask(node, value());
        }
        let goes_on = stand.first_done(first).is_some();
        stand.sim.run_for(if goes_on { LOOK_EVERY } else { TRY_EVERY });
    }
    let mut times = stand.done_since(first);
    let served = stand.nodes().filter(|node| {
        let probe = stand.sim.app(*node);
        probe.is_some_and(|probe| probe.done_since(first).any(|(_, done)| done.at > end - LATELY))
    });
    let served = served.count();
    times.push(end);
    times.sort();
    let gaps = times.iter().zip([&began].into_iter().chain(&times)).map(|(at, last)| *at - *last);
    let longest = gaps.max().expect("at least one");
    Aftermath {
        stands_still: (served > 0).then_some(longest),
        leaders: stand.reigns().difference(&led).count(),
        served,
    }
}
