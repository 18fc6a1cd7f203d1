//! A violation, drawn: who asked what and when, how far an order explains it, and where that ends.
//!
//! One lane for each client, time from left to right; not to scale, but each begin and each end has a place of its
//! own. What is in the longest order that was found bears its number in it; what would have to come next, and
//! cannot, is red. Only the end of the history of one key is drawn.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::{Counterexample, Evidence, Operation};

/// How many operations are drawn at the most: those at the end of the order.
const SHOWN: usize = 60;

/// Width of a lane's name, in pixels like the others.
const NAME: usize = 90;
/// Width of a moment.
const MOMENT: usize = 64;
/// Height of a lane.
const LANE: usize = 36;

/// An SVG of why `history` is not linearizable.
pub fn draw<I: Display, O: Display>(found: &Counterexample, history: &[Operation<I, O>]) -> String {
    let Counterexample { about, evidence } = found;
    let (numbered, red, above): (Vec<usize>, &[usize], _) = match evidence {
        Evidence::Stuck { order, candidates, state } => {
            let above = format!(
                "{about}: {} operations have an order, and leave {state}. None of the red ones can be next.",
                order.len()
            );
            (order.clone(), candidates, above)
        }
        Evidence::Told(what) => (Vec::new(), &[], format!("{about}: {what}")),
        Evidence::Cycle(cycle) => {
            let above =
                format!("{about}: each must come before the next, and the last before the first.");
            (cycle.iter().map(|before| before.operation).collect(), &[], above)
        }
    };
    let first = numbered.len().saturating_sub(SHOWN);
    let shown: Vec<usize> = numbered[first..].iter().chain(red).copied().collect();
    let picture = Picture::new(about.replacen("key", "", 1), history, &shown);
    let mut svg = String::new();
    picture.frame(&mut svg, &above);
    let numbers = (first + 1..=numbered.len()).map(Some).chain(red.iter().map(|_| None));
    for (place, number) in shown.iter().zip(numbers) {
        picture.operation(&mut svg, &history[*place], number);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where everything stands.
struct Picture {
    /// How operations name the key that all of them are about.
    key: String,
    lanes: BTreeMap<u64, usize>,
    moments: BTreeMap<u64, usize>,
}

impl Picture {
    fn new<I, O>(key: String, history: &[Operation<I, O>], shown: &[usize]) -> Self {
        let operations = || shown.iter().map(|place| &history[*place]);
        let clients = operations().map(|operation| (operation.client, 0));
        let begins = operations().map(|operation| operation.invoked);
        let ends = operations().filter_map(|operation| Some(operation.returned.as_ref()?.at));
        let mut lanes: BTreeMap<u64, usize> = clients.collect();
        let mut moments: BTreeMap<u64, usize> = begins.chain(ends).map(|time| (time, 0)).collect();
        (0..).zip(lanes.values_mut()).for_each(|(place, lane)| *lane = place);
        (0..).zip(moments.values_mut()).for_each(|(place, moment)| *moment = place);
        Self { key, lanes, moments }
    }

    fn width(&self) -> usize {
        NAME + (self.moments.len() + 3) * MOMENT
    }

    fn x(&self, time: u64) -> usize {
        NAME + self.moments.get(&time).copied().unwrap_or_default() * MOMENT
    }

    /// The lanes, and the words above and below.
    fn frame(&self, svg: &mut String, above: &str) {
        let (width, height) = (self.width(), (self.lanes.len() + 3) * LANE);
        put(
            svg,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
                 font-family=\"sans-serif\" font-size=\"12\">\n\
                 <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n\
                 <text x=\"8\" y=\"20\">{}</text>",
                Escaped(above)
            ),
        );
        for (client, lane) in &self.lanes {
            let y = (lane + 2) * LANE;
            put(
                svg,
                format_args!(
                    "<line x1=\"0\" x2=\"{width}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#ddd\"/>\n\
                     <text x=\"8\" y=\"{}\" fill=\"#555\">client {client}</text>",
                    y - LANE / 3
                ),
            );
        }
    }

    /// One operation: open to the right if it was never answered.
    fn operation<I: Display, O: Display>(
        &self,
        svg: &mut String,
        operation: &Operation<I, O>,
        number: Option<usize>,
    ) {
        let lane = self.lanes.get(&operation.client).copied().unwrap_or_default();
        let (left, y) = (self.x(operation.invoked), (lane + 1) * LANE + 4);
        let right = match &operation.returned {
            Some(returned) => self.x(returned.at),
            None => self.width(),
        };
        let (colour, number) = match number {
            Some(number) => ("#cfe3f7", format!("{number}. ")),
            None => ("#f6b6b0", String::new()),
        };
        let answer = operation.output().map(|output| format!(" → {output}")).unwrap_or_default();
        let asked = operation.input.to_string().replacen(&self.key, "", 1);
        let words = format!("{number}{asked}{answer}");
        let room = (right - left).max(MOMENT / 2);
        put(
            svg,
            format_args!(
                "<g><title>{}</title><rect x=\"{left}\" y=\"{y}\" width=\"{room}\" height=\"{}\" rx=\"3\" \
                 fill=\"{colour}\" stroke=\"#456\"/>\n<svg x=\"{left}\" y=\"{y}\" width=\"{room}\" \
                 height=\"{LANE}\"><text x=\"4\" y=\"17\">{}</text></svg></g>",
                Escaped(&operation.to_string()),
                LANE - 8,
                Escaped(&words)
            ),
        );
    }
}

/// Appends a line.
fn put(svg: &mut String, line: fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes everything");
}

/// Text within XML.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|it| match it {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            _ if it.is_control() => f.write_char(' '),
            _ => f.write_char(it),
        })
    }
}
