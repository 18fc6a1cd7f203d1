//! What one simulated run and many have in common: which faults, how messages travel, how long, which rule is out.

use clap::Args;
use synod_sim::{Mix, Transport};

use crate::engines::EngineName;
use crate::exit::{Failure, Result};
use crate::sim::{Planted, Runs};

#[derive(Args, Debug)]
pub(super) struct RunArgs {
    /// Which faults: calm, default, lossy, crashy, slow-disks, drifting, stepping, lying-disk or bad-clocks
    /// [default: by the seed, one of the second to the seventh]
    #[arg(long, value_parser = mix)]
    mix: Option<Mix>,
    /// How messages travel: sessions or datagrams [default: in turn]
    #[arg(long, value_parser = transport)]
    transport: Option<Transport>,
    /// The length of each run
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// Break this rule, to see it found; `--without help` lists them
    #[arg(long, value_name = "RULE", default_value = "nothing", hide_default_value = true)]
    without: String,
}

impl RunArgs {
    /// Runs like that of this engine.
    pub(super) fn of(&self, engine: EngineName) -> Result<Runs> {
        Ok(Runs {
            engine,
            mix: self.mix.clone(),
            transport: self.transport,
            max_events: self.events,
            planted: planted(engine, &self.without)?,
        })
    }
}

fn mix(name: &str) -> std::result::Result<Mix, String> {
    let names = || Mix::NAMED.map(|mix| mix.name).join(", ");
    Mix::named(name).ok_or_else(|| format!("there is no such mix; there are {}", names()))
}

fn transport(name: &str) -> std::result::Result<Transport, String> {
    match name {
        "sessions" => Ok(Transport::Sessions),
        "datagrams" => Ok(Transport::Datagrams),
        _ => Err("messages travel by sessions or datagrams".into()),
    }
}

fn planted(engine: EngineName, name: &str) -> Result<Planted> {
    Planted::named(engine, name).ok_or_else(|| {
        let names = Planted::names(engine).collect::<Vec<_>>().join(", ");
        Failure::usage(format!(
            "{engine} has no rule {name:?}; the rules are {names}; nothing was run"
        ))
    })
}
