//! The replicated logs side by side, from one run of the simulator: what writes and reads cost, how soon
//! another leads, and what becomes of writing where only some hear each other.
//!
//! Equal options give equal tables, to the byte: `synod sim compare` prints them, and a test compares them with
//! `docs/comparison.md`. `stand` is the cluster that is measured, `probe` its users, `tally` counts
//! what is said; then a module for each table.

mod alone;
mod failover;
mod partitions;
mod probe;
mod stand;
mod stream;
mod table;
mod tally;

pub use table::Table;

use synod_sim::Transport;

/// The sizes of clusters that are compared.
const MEMBERS: [u64; 2] = [3, 5];

/// How many crashes of leaders a comparison takes where nobody says how many.
pub const SEEDS: u64 = 100;
/// Partitions are watched for a minute each, so fewer seeds have to do.
const SEEDS_OF_A_PARTITION: u64 = 10;

/// All tables, with so many crashes of leaders for each row, and a tenth of that of each partition.
#[must_use]
pub fn tables(seeds: u64) -> Vec<Table> {
    let partitions = seeds.div_ceil(SEEDS_OF_A_PARTITION);
    vec![
        alone::table(),
        stream::table(),
        stream::idle(),
        failover::table(seeds),
        partitions::table(Transport::Datagrams, "Partitions of datagrams", partitions),
        partitions::table(Transport::Sessions, "Partitions of links", partitions),
    ]
}
