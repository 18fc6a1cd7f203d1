//! `synod repair`: brings back a node whose log or snapshots are damaged, as a newcomer.

use serde_json::{Value, json};
use synod_engine::Sound;
use synod_log::Part;
use synod_runtime::Lock;
use synod_runtime::repair::{self, Checkup, Damage, Renewed, RepairError};

use crate::cli::RepairArgs;
use crate::engines::knobs::LogKnobs;
use crate::engines::{EngineName, Wired, with_engine};
use crate::exit::{Exit, Failure, Result};
use crate::output::{say, table, tell};

pub(crate) fn run(args: &RepairArgs) -> Result<Exit> {
    repair(args).map_err(|failure| failure.in_json(args.json))
}

fn repair(args: &RepairArgs) -> Result<Exit> {
    let failed = |error: RepairError| Failure::new(Exit::Data, error);
    let lock = Lock::take_existing(&args.dir).map_err(|error| failed(error.into()))?;
    let engine = engine_of(&lock)?;
    let examined = with_engine!(engine, Log => repair::examine::<Log>(&lock, |identity, _| {
        let part = Part { node: identity.node, initial_voters: None, incarnation: None };
        Log::config(part, &LogKnobs::default(), Sound)
    }));
    let checkup = match examined {
        Ok(checkup) => checkup,
        Err(RepairError::Log(error)) if args.force => {
            say!("the log cannot be judged: {error}");
            return give_up(args, &lock, &Value::Null);
        }
        Err(error) => return Err(failed(error)),
    };
    let report = report(&checkup);
    if !args.json {
        show(&checkup);
    }
    if checkup.damage.is_empty() && !args.force {
        if args.json {
            tell(&json!({ "directory": report, "repaired": false }));
        } else {
            say!("Nothing is damaged. Nothing was changed; the node can be started.");
        }
        return Ok(Exit::No);
    }
    if args.dry_run {
        if args.json {
            tell(&json!({ "directory": report, "repaired": false }));
        } else {
            say!(
                "Nothing was changed. Without --dry-run the log and the snapshots are moved aside."
            );
        }
        return Ok(Exit::Done);
    }
    give_up(args, &lock, &report)
}

/// The engine that wrote the locked directory.
pub(super) fn engine_of(lock: &Lock) -> Result<EngineName> {
    let identity = lock.read().map_err(|error| Failure::new(Exit::Data, error))?;
    let name = identity.and_then(|identity| identity.engine);
    EngineName::read(name.as_deref()).ok_or_else(|| {
        let name = name.unwrap_or_default();
        let what = format!(
            "{} was written by an engine called {name:?}, which this program does not have; nothing was \
             changed",
            lock.dir().display()
        );
        Failure::new(Exit::Data, what)
    })
}

fn give_up(args: &RepairArgs, lock: &Lock, report: &Value) -> Result<Exit> {
    let renewed =
        repair::give_up(lock, args.cluster).map_err(|error| Failure::new(Exit::Data, error))?;
    let Renewed { identity, aside } = renewed;
    let incarnation = format!("{:016x}", identity.incarnation.0);
    if args.json {
        let aside = aside.map(|path| path.display().to_string());
        tell(&json!({
            "directory": report,
            "repaired": true,
            "aside": aside,
            "incarnation": incarnation,
        }));
        return Ok(Exit::Done);
    }
    if let Some(aside) = aside {
        say!("Moved its log and snapshots to {}; nothing was deleted.", aside.display());
    }
    let node = identity.node.0;
    if let Some(cluster) = args.cluster {
        say!(
            "It belongs to cluster {:016x}: set that, and `join = true`, in its configuration.",
            cluster.0
        );
    }
    say!("Node {node} is incarnation {incarnation} now, and a member of nothing: it counts in no");
    say!("quorum, and the other nodes refuse it, until they are told. Start it, and then say");
    say!("`synod members replace {node} ADDRESS`, where clients reach it.");
    Ok(Exit::Done)
}

fn show(checkup: &Checkup) {
    let Checkup { identity, records, torn, damage } = checkup;
    say!(
        "Node {} of cluster {:016x}, incarnation {:016x}",
        identity.node.0,
        identity.cluster.0,
        identity.incarnation.0
    );
    if *records > 0 {
        say!("{records} live records in its log");
    }
    if let Some(cut) = torn {
        say!(
            "A torn end, which the next start cuts and which is no damage: {} from byte {}",
            cut.file.display(),
            cut.offset
        );
    }
    if !damage.is_empty() {
        let mut rows = table(&["damaged", "byte", "what is wrong"]);
        for Damage { file, offset, why } in damage {
            let offset = offset.map_or_else(String::new, |offset| offset.to_string());
            rows.add_row([file.display().to_string(), offset, why.clone()]);
        }
        say!("{rows}");
    }
}

fn report(checkup: &Checkup) -> Value {
    let Checkup { identity, records, torn, damage } = checkup;
    let damage = damage.iter().map(|Damage { file, offset, why }| {
        json!({ "file": file.display().to_string(), "offset": offset, "why": why })
    });
    json!({
        "node": identity.node.0,
        "cluster": format!("{:016x}", identity.cluster.0),
        "incarnation": format!("{:016x}", identity.incarnation.0),
        "records": records,
        "torn": torn.as_ref().map(|cut| {
            json!({ "file": cut.file.display().to_string(), "offset": cut.offset })
        }),
        "damage": damage.collect::<Vec<_>>(),
    })
}
