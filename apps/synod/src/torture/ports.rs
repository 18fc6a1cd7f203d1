//! Ports for nodes that are started again and again.

use std::net::TcpListener;

use crate::exit::{Exit, Failure, Result};

/// Below those that the system gives to connections: a node that is down for a moment finds its own free
/// again.
const FIRST: u32 = 10_000;
const COUNT: u32 = 22_000;

/// So many ports that are free now, looked for from a place that differs by process.
pub(super) fn free(count: usize) -> Result<Vec<u16>> {
    let start = std::process::id().wrapping_mul(89) % COUNT;
    let ports = (0..COUNT).map(|step| (FIRST + (start + step) % COUNT) as u16);
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let found: Vec<u16> = ports.filter(is_free).take(count).collect();
    if found.len() < count {
        let what = format!("no {count} ports are free from {FIRST} on; nothing was changed");
        return Err(Failure::new(Exit::Address, what));
    }
    Ok(found)
}
