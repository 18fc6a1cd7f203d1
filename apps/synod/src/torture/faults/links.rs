//! Links that are cut, in all the shapes that are known to hurt, and links that are slow.

use std::fmt::Write;

use synod_engine::Random;

use super::{Kind, span};
use crate::network::{Fate, Pace, Way};
use crate::torture::field::Field;

/// Cuts links for a while.
pub(super) async fn partition(field: &Field, random: &mut Random) {
    let nodes = shuffled(field, random).await;
    let Some((what, ways)) = shape(&nodes, random) else { return };
    let fate = [Fate::Hangs, Fate::Vanishes, Fate::Breaks][random.below(3) as usize];
    let what = match fate {
        Fate::Hangs => format!("{what}: bytes wait"),
        Fate::Vanishes => format!("{what}: bytes vanish"),
        Fate::Breaks => format!("{what}: connections break"),
        Fate::Passes => unreachable!("that is no cut"),
    };
    let _under_way = field.timeline.fault(Kind::Partition, what);
    field.cluster().network().cut(ways, fate);
    field.hold(span(random, 100, 8_000)).await;
    field.cluster().network().heal();
}

/// Slows links down for a while.
pub(super) async fn slow(field: &Field, random: &mut Random) {
    let nodes = shuffled(field, random).await;
    let all = every_way(&nodes);
    let pace = Pace { delay: span(random, 2, 400), bytes_per_second: 20_000 << random.below(8) };
    let one = nodes[0] as usize;
    let (whose, ways): (String, Vec<Way>) = match random.below(3) {
        0 => ("all links".into(), all),
        1 => (
            format!("to and from node {one}"),
            all.into_iter().filter(|(a, b)| *a == one || *b == one).collect(),
        ),
        _ => (format!("from node {one}"), all.into_iter().filter(|(a, _)| *a == one).collect()),
    };
    let Pace { delay, bytes_per_second } = pace;
    let what = format!("{whose}: {delay:?}, {} kB/s", bytes_per_second / 1_000);
    let _under_way = field.timeline.fault(Kind::Slow, what);
    field.cluster().network().slow(ways, pace);
    field.hold(span(random, 500, 10_000)).await;
    field.cluster().network().hurry();
}

/// The members in a random order; the leader first, one time in three.
async fn shuffled(field: &Field, random: &mut Random) -> Vec<u64> {
    let mut nodes = field.atlas.members();
    for place in (1..nodes.len()).rev() {
        nodes.swap(place, random.below(place as u64 + 1) as usize);
    }
    if random.below(3) == 0
        && let Some(leader) = field.leader().await
        && let Some(place) = nodes.iter().position(|node| *node == leader.log.node.0)
    {
        nodes.swap(0, place);
    }
    nodes
}

fn every_way(nodes: &[u64]) -> Vec<Way> {
    let pairs = nodes.iter().flat_map(|a| nodes.iter().map(|b| (*a as usize, *b as usize)));
    pairs.filter(|(a, b)| a != b).collect()
}

/// Which ways are cut between these nodes, and what that looks like; `None` if there are too few of them.
fn shape(nodes: &[u64], random: &mut Random) -> Option<(String, Vec<Way>)> {
    let all = every_way(nodes);
    let (count, one) = (nodes.len(), *nodes.first()? as usize);
    let two = *nodes.get(1)? as usize;
    let linked = |links: &[(u64, u64)]| {
        let is_linked = |(a, b): &Way| {
            let (a, b) = (*a as u64, *b as u64);
            links.contains(&(a, b)) || links.contains(&(b, a))
        };
        all.iter().copied().filter(|way| !is_linked(way)).collect::<Vec<Way>>()
    };
    let row: Vec<(u64, u64)> = nodes.windows(2).map(|pair| (pair[0], pair[1])).collect();
    Some(match random.below(8) {
        0 | 1 => {
            let side = &nodes[..random.between(1, count as u64 / 2) as usize];
            let is_here = |node: usize| side.contains(&(node as u64));
            let ways = all.iter().copied().filter(|(a, b)| is_here(*a) != is_here(*b)).collect();
            (format!("{} apart from the others", list(side)), ways)
        }
        2 => (
            format!("node {one} is not heard"),
            all.into_iter().filter(|(a, _)| *a == one).collect(),
        ),
        3 => (
            format!("node {one} hears nobody"),
            all.into_iter().filter(|(_, b)| *b == one).collect(),
        ),
        4 => (format!("from node {one} to node {two}"), vec![(one, two)]),
        5 if count > 2 => {
            let links: Vec<_> = nodes[1..].iter().map(|other| (nodes[0], *other)).collect();
            let (left, right) = nodes[1..].split_at((count - 1) / 2);
            let within = |side: &[u64]| {
                let ways = side.iter().flat_map(|a| side.iter().map(|b| (*a, *b)));
                ways.collect::<Vec<_>>()
            };
            let links = [links, within(left), within(right)].concat();
            (format!("node {one} is the bridge between two sides"), linked(&links))
        }
        6 if count > 3 => {
            let ring = [row, vec![(nodes[count - 1], nodes[0])]].concat();
            (format!("the ring {}", list(nodes)), linked(&ring))
        }
        5..7 => (format!("between nodes {one} and {two}"), vec![(one, two), (two, one)]),
        _ => (format!("the chain {}", list(nodes)), linked(&row)),
    })
}

fn list(nodes: &[u64]) -> String {
    let mut list = String::new();
    for node in nodes {
        let comma = if list.is_empty() { "" } else { ", " };
        write!(list, "{comma}{node}").expect("text takes text");
    }
    list
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_shape_cuts_something_and_none_cuts_all_where_there_are_three() {
        let mut shapes = BTreeSet::new();
        for count in 2..=5 {
            let nodes: Vec<u64> = (1..=count).collect();
            let mut random = Random::new(count);
            for _ in 0..200 {
                let (what, ways) = shape(&nodes, &mut random).unwrap();
                let all = every_way(&nodes).len();
                assert!(count == 2 || (1..all).contains(&ways.len()), "{what}: {ways:?}");
                assert!(ways.iter().all(|(a, b)| a != b), "{what}");
                shapes.insert(what.split(' ').take(2).collect::<Vec<_>>().join(" "));
            }
        }
        assert!(shapes.contains("the ring") && shapes.contains("the chain"), "{shapes:?}");
    }

    #[test]
    fn a_bridge_sees_all_and_two_sides_do_not_see_each_other() {
        let mut random = Random::new(3);
        let (_, ways) = std::iter::repeat_with(|| shape(&[1, 2, 3, 4, 5], &mut random).unwrap())
            .find(|(what, _)| what.contains("bridge"))
            .unwrap();
        let apart = |a, b| ways.contains(&(a, b)) && ways.contains(&(b, a));
        assert!(apart(2, 4) && apart(2, 5) && apart(3, 4) && apart(3, 5) && ways.len() == 8);
    }

    #[test]
    fn who_is_alone_has_no_links() {
        assert!(shape(&[1], &mut Random::new(1)).is_none());
    }

    #[test]
    fn delays_are_short_against_a_round() {
        let mut random = Random::new(1);
        assert!((0..100).all(|_| span(&mut random, 2, 400) <= Duration::from_millis(400)));
    }
}
