//! Makes a failure small: delta debugging of its decisions.
//!
//! A draw of 0 is the calmest, and a stream that ends goes on with zeros. So a part of a log that is set to
//! zeros is a part of the run in which nothing happens by chance; what fails with most of them at zero is
//! told by the few that are left. Parts are tried from the largest to the single draw, in all streams side
//! by side, so that a budget that ends early has bought the most. What is then left is halved.

use crate::Decisions;

/// The streams in the order in which they are calmed: first what decides which faults there are at all,
/// since without them all later draws of other streams fall into place.
const ORDER: [usize; 6] = [0, 3, 2, 1, 5, 4];

/// What came of a smaller log.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// It fails in the same way. This part of it was made use of: what
    /// [`Sim::decisions`](crate::Sim::decisions) says of its replay.
    Fails(Decisions),
    /// It does not.
    Passes,
    /// It was not tried, nor is any other to be: the budget is spent.
    Stop,
}

/// A log that fails like `log` and is no larger; a small one, if `attempt` makes enough runs. It depends on
/// nothing but what `attempt` says.
pub fn shrink(log: Decisions, attempt: impl FnMut(&Decisions) -> Attempt) -> Decisions {
    let mut shrinking = Shrinking { best: log, attempt, is_over: false };
    loop {
        let before = (shrinking.best.weight(), shrinking.best.streams.clone());
        ORDER.iter().for_each(|stream| shrinking.cut(*stream));
        shrinking.in_parts(|draw| (draw > 0).then_some(0));
        shrinking.in_parts(|draw| (draw > 1).then_some(draw / 2));
        if shrinking.is_over || before == (shrinking.best.weight(), shrinking.best.streams.clone())
        {
            return shrinking.best;
        }
    }
}

struct Shrinking<F> {
    best: Decisions,
    attempt: F,
    is_over: bool,
}

impl<F: FnMut(&Decisions) -> Attempt> Shrinking<F> {
    /// Takes the change if the run still fails; whether it does.
    fn change(&mut self, change: impl FnOnce(&mut Decisions)) -> bool {
        let mut changed = self.best.clone();
        change(&mut changed);
        if self.is_over || changed == self.best {
            return false;
        }
        match (self.attempt)(&changed) {
            Attempt::Fails(used) => self.best = used,
            Attempt::Passes => return false,
            Attempt::Stop => {
                self.is_over = true;
                return false;
            }
        }
        true
    }

    /// Cuts the end of a stream off, as much as may go.
    fn cut(&mut self, stream: usize) {
        let mut step = self.best.streams[stream].len();
        while step > 0 && !self.is_over {
            let keep = self.best.streams[stream].len().saturating_sub(step);
            if !self.change(|log| log.streams[stream].truncate(keep)) {
                step /= 2;
            }
            step = step.min(self.best.streams[stream].len());
        }
    }

    /// Changes draws that can be changed: all of a stream, half of them, a quarter, down to each alone.
    fn in_parts(&mut self, change: impl Fn(u64) -> Option<u64>) {
        let mut parts = 1;
        loop {
            let mut most = 0;
            for stream in ORDER {
                let draws = &self.best.streams[stream];
                let places = (0..draws.len()).filter(|place| change(draws[*place]).is_some());
                let places: Vec<_> = places.collect();
                most = most.max(places.len());
                if places.is_empty() || parts / 2 >= places.len() {
                    continue;
                }
                for part in places.chunks(places.len().div_ceil(parts)) {
                    self.change(|log| {
                        let draws = &mut log.streams[stream];
                        for place in part {
                            if let Some(draw) = draws.get_mut(*place) {
                                *draw = change(*draw).unwrap_or(*draw);
                            }
                        }
                    });
                }
            }
            if parts >= most || self.is_over {
                return;
            }
            parts *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(network: Vec<u64>) -> Decisions {
        let streams = [vec![5; 40], network, vec![9; 3], Vec::new(), vec![1], vec![7; 2_000]];
        Decisions { config: String::new(), seed: 0, ended: String::new(), streams }
    }

    /// Fails where the draws 70 and 900 of the network are at least 3 and 40.
    fn fails(log: &Decisions) -> Attempt {
        let draw = |place: usize| log.streams[1].get(place).copied().unwrap_or(0);
        let fails = draw(70) >= 3 && draw(900) >= 40;
        if fails { Attempt::Fails(log.clone()) } else { Attempt::Passes }
    }

    #[test]
    fn the_draws_that_matter_are_left_and_are_small() {
        let mut runs = 0;
        let small = shrink(log((0..2_000).collect()), |log| {
            runs += 1;
            fails(log)
        });
        let left: Vec<_> = (0..).zip(&small.streams[1]).filter(|(_, draw)| **draw > 0).collect();
        assert_eq!(left, [(70, &4), (900, &56)]);
        assert_eq!((small.weight(), small.streams[1].len()), (2, 901));
        assert!(runs < 200, "{runs}");
        assert_eq!(small, shrink(log((0..2_000).collect()), fails));
    }

    #[test]
    fn a_budget_that_ends_leaves_a_log_that_fails_and_is_no_larger() {
        for most in 0..60 {
            let mut runs = 0;
            let small = shrink(log((0..2_000).collect()), |log| {
                runs += 1;
                if runs > most { Attempt::Stop } else { fails(log) }
            });
            assert!(runs <= most + 1 && matches!(fails(&small), Attempt::Fails(_)));
            assert!(small.weight() <= log((0..2_000).collect()).weight());
        }
    }
}
