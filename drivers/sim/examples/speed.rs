//! How many events a second: `cargo run --release -p synod-sim --example speed [mix] [seeds] [nodes]`.

#[path = "../tests/toy/mod.rs"]
mod toy;

use std::time::Instant;

use synod_sim::{Mix, Plan, Sim, Transport};

fn main() {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_else(|| "default".to_owned());
    let seeds: u64 = args.next().map_or(50, |word| word.parse().expect("a number of seeds"));
    let nodes: u64 = args.next().map_or(3, |word| word.parse().expect("a number of nodes"));
    let mix = Mix::named(&name).expect("the name of a mix");
    let began = Instant::now();
    let mut events = 0;
    for seed in 0..seeds {
        let transport = if nodes > 50 { Transport::Datagrams } else { Transport::Sessions };
        let plan =
            Plan { seed, mix: mix.clone(), transport, max_events: 20_000, ..Plan::default() };
        let promises = toy::Promises { ordered: nodes <= 50, ..Default::default() };
        let mut sim: Sim<toy::Toy, (), _, _> =
            Sim::new(plan, toy::configs(nodes), (), promises, ());
        let report = sim.run();
        if !report.verdict.is_sound() {
            println!("{report}");
        }
        events += report.events;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{events} events in {seconds:.2} s: {:.2} M/s", events as f64 / seconds / 1e6);
}
