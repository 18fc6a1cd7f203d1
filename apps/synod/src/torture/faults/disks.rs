//! What crashes and years do to a log: a torn end, which a start must cut, and a flipped bit in what was
//! synced, with which a start must be refused; and disks that are full or stand still.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use rustix::process::Signal;
use synod_engine::Random;
use synod_wal::{Log, Survey};
use tokio::time::timeout;

use super::members::{insist, serves};
use super::processes::start;
use super::{Kind, span};
use crate::exit::Exit;
use crate::torture::field::Field;
use crate::torture::verdict::Verdict;

/// How long a node may take to find that its log is damaged.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of a torn end.
const MOST_TORN_BYTES: u64 = 100_000;

/// Kills a node while it writes, and leaves behind its last batch what a write leaves that was never synced.
pub(super) async fn torn(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let Some(taken) = field.victim(random).await else { return Ok(()) };
    let node = taken.node;
    let under_way = field.timeline.fault(Kind::Torn, format!("node {node}"));
    field.cluster().end(node, Signal::KILL).await;
    if let Some(survey) = survey(field, node)? {
        let words = tear(&survey, random).map_err(|error| unbroken(node, &error))?;
        under_way.add(&words);
    }
    field.hold(span(random, 20, 1_000)).await;
    start(field, node)
}

/// Kills a node and flips a bit of what its log proves to have been synced. The node must not start with it;
/// repaired and taken in again, it must catch up.
pub(super) async fn damage(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let Some(mut taken) = field.victim(random).await else { return Ok(()) };
    if !taken.maim() {
        return Ok(());
    }
    let node = taken.node;
    let under_way = field.timeline.fault(Kind::Damage, format!("node {node}"));
    field.cluster().end(node, Signal::KILL).await;
    let survey = survey(field, node)?.filter(|survey| !survey.proven.is_empty());
    let Some(survey) = survey else {
        under_way.add(" has nothing that a mark proves");
        return start(field, node);
    };
    let place = flip(&survey, random).map_err(|error| unbroken(node, &error))?;
    under_way.add(&format!(", {place}"));
    start(field, node)?;
    field.cluster().let_end(node);
    match timeout(PATIENCE, field.cluster().ended(node)).await {
        Ok(Some(status)) if status.code() == Some(Exit::Data as i32) => {}
        Ok(Some(status)) => return Err(Verdict::Died(field.cluster().obituary(node, status))),
        Ok(None) => unreachable!("a node in our hands was started"),
        Err(_) => {
            let what = format!("node {node} runs with a log that is damaged: {place}");
            return Err(Verdict::Violation(what));
        }
    }
    let dir = field.cluster().data(node).display().to_string();
    let repaired = field.cluster().synod(&["repair", &dir]).await;
    match repaired {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Verdict::Died(format!("node {node} could not be repaired: {said}")));
        }
        Err(error) => return Err(unbroken(node, &error)),
    }
    start(field, node)?;
    serves(field, node).await;
    let address = field.cluster().client(node).to_owned();
    insist(field, &["replace", &node.to_string(), &address]).await;
    field.ready(node).await;
    forget(field, node);
    Ok(())
}

/// Fills the disk of a node for a while, or has it stand still.
pub(super) async fn suffer(field: &Field, random: &mut Random) -> Result<(), Verdict> {
    let Some(taken) = field.victim(random).await else { return Ok(()) };
    let node = taken.node;
    let Some(disk) = field.cluster().disk(node) else { return Ok(()) };
    let stuck = |why: String| Verdict::Died(format!("the disk of node {node}: {why}"));
    if random.below(2) == 0 {
        let _under_way = field.timeline.fault(Kind::Disk, format!("node {node}, full"));
        disk.fill().map_err(|error| stuck(error.to_string()))?;
        field.hold(span(random, 500, 8_000)).await;
        disk.free();
    } else {
        let _under_way = field.timeline.fault(Kind::Disk, format!("node {node}, stands still"));
        disk.freeze().map_err(stuck)?;
        field.hold(span(random, 100, 15_000)).await;
        disk.thaw().map_err(stuck)?;
    }
    Ok(())
}

/// Removes what `synod repair` moved aside: a torture of hours repairs often.
fn forget(field: &Field, node: u64) {
    for number in 1..=9 {
        // Only the last is there, if any.
        std::fs::remove_dir_all(field.cluster().data(node).join(format!("damaged-{number}"))).ok();
    }
}

/// Where the log of a node, which does not run, ends.
fn survey(field: &Field, node: u64) -> Result<Option<Survey>, Verdict> {
    Log::survey(&field.cluster().data(node).join("log")).map_err(|error| {
        Verdict::Violation(format!("after kill -9 the log of node {node} is refused: {error}"))
    })
}

fn unbroken(node: u64, error: &io::Error) -> Verdict {
    Verdict::Died(format!("the log of node {node} could not be broken: {error}"))
}

/// Writes a torn end: bytes that mean nothing, or bytes of an earlier batch.
fn tear(survey: &Survey, random: &mut Random) -> io::Result<String> {
    let file = File::options().read(true).write(true).open(&survey.file)?;
    let room = file.metadata()?.len().saturating_sub(survey.end).min(MOST_TORN_BYTES);
    if room == 0 {
        return Ok(", whose segment is full".into());
    }
    let whose = random.below(survey.proven.len() as u64 + 1) as usize;
    let bytes = match survey.proven.get(whose) {
        Some(batch) => {
            let mut bytes = vec![0; (batch.end - batch.start).min(room) as usize];
            file.read_exact_at(&mut bytes, batch.start)?;
            bytes
        }
        None => (0..random.between(1, room)).map(|_| random.bits() as u8).collect(),
    };
    file.write_all_at(&bytes, survey.end)?;
    let kind = if whose < survey.proven.len() { "of an earlier batch" } else { "without meaning" };
    Ok(format!(", {} bytes {kind} behind its end", bytes.len()))
}

/// Flips a bit; where.
fn flip(survey: &Survey, random: &mut Random) -> io::Result<String> {
    let file = File::options().read(true).write(true).open(&survey.file)?;
    let batch = &survey.proven[random.below(survey.proven.len() as u64) as usize];
    let at = random.between(batch.start, batch.end - 1);
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    byte[0] ^= 1 << random.below(8);
    file.write_all_at(&byte, at)?;
    let name = survey.file.file_name().unwrap_or_default();
    Ok(format!("a bit flipped at offset {at} of {}", name.display()))
}
