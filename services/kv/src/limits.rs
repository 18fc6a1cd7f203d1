//! The bounds of the store.
//!
//! They are part of what the replicated commands mean: two nodes with different bounds would come to
//! different states. So they are constants of the format, never configuration, and changing one
//! takes a new version of the commands. Only the bounds on answers ([`MAX_RANGE_ENTRIES`],
//! [`MAX_RANGE_BYTES`]) concern one node alone.
//!
//! There is no bound on the number of keys: the state lives in memory, and memory is the bound.

/// Longest key in bytes; the shortest has one.
pub const MAX_KEY_BYTES: usize = 4 << 10;

/// Longest value in bytes, also of one that grew by appending.
pub const MAX_VALUE_BYTES: usize = 1 << 20;

/// Longest encoded command in bytes: a compare-and-swap of two longest values still fits.
pub const MAX_COMMAND_BYTES: usize = 2 * MAX_VALUE_BYTES + MAX_KEY_BYTES + 256;

/// Most sessions open at a time. With [`MAX_UNANSWERED`] this bounds the table of small answers to about
/// 1 GiB in the worst case, and with [`MAX_KEPT_BYTES`] the large ones of transactions to some GiB more in
/// a snapshot; a client that acknowledges what it got costs some 200 bytes.
pub const MAX_SESSIONS: usize = 16_384;

/// How far a command's number may be above the lowest unanswered one of its session.
///
/// A bound on numbers, not on the count of kept answers: the lowest unanswered command always has a
/// place, so a full window always opens again.
pub const MAX_UNANSWERED: u64 = 2_048;

/// Most that one tick moves replicated time, in milliseconds. A host that was paused, or whose clock
/// jumped, ages sessions by no more than this.
pub const MAX_TICK_MS: u64 = 4_000;

/// Shortest lease in milliseconds of replicated time. Above two longest ticks: a client that was
/// heard since the last tick survives any one tick, and the next.
pub const MIN_LEASE_MS: u64 = 10_000;

/// Longest lease in milliseconds of replicated time: one day.
pub const MAX_LEASE_MS: u64 = 86_400_000;

/// Most entries in one answer to a range query.
pub const MAX_RANGE_ENTRIES: usize = 1_000;

/// Most bytes of keys and values in one answer to a range query; the first entry always fits.
pub const MAX_RANGE_BYTES: usize = 1 << 20;

/// Most comparisons of a transaction, and most actions in each of its branches, as etcd allows by
/// default.
pub const MAX_TXN_ACTIONS: usize = 128;

/// Most bytes that one write changes: keys, new values and old ones. Any one put fits; a deletion of
/// many keys may have to be done in pieces. So the events of one revision always fit one message, and
/// are told together.
pub const MAX_CHANGE_BYTES: usize = 4 << 20;

/// Most bytes of keys and values that one transaction answers.
pub const MAX_TXN_ANSWER_BYTES: usize = 2 << 20;

/// Bytes of answers that a session keeps before it takes no command above the lowest unanswered one.
/// With that one, the last one, and the small answers, about 8 MiB.
pub const MAX_KEPT_BYTES: usize = 4 << 20;

/// Most bytes of events, and of what was before them, that the store remembers. At 1,000 writes a
/// second of 256 bytes that is two minutes. They share most of their memory with the keys.
pub const MAX_HISTORY_BYTES: usize = 64 << 20;

/// Longest command that is applied in a few microseconds.
pub(crate) const MAX_BRIEF_BYTES: usize = 4 << 10;

/// Events of a chunk of history, from which on it is full.
pub(crate) const HISTORY_CHUNK_EVENTS: usize = 256;

/// Bytes of a chunk of history, from which on it is full.
pub(crate) const HISTORY_CHUNK_BYTES: usize = 256 << 10;

/// Most events that one query for changes looks at.
pub const MAX_CHANGES_LOOKED_AT: usize = 10_000;

const _: () = assert!(MIN_LEASE_MS > 2 * MAX_TICK_MS);
const _: () = assert!(MAX_CHANGE_BYTES > 2 * MAX_VALUE_BYTES + MAX_KEY_BYTES + 1_024);
const _: () = assert!(MAX_TXN_ANSWER_BYTES > MAX_VALUE_BYTES + MAX_KEY_BYTES + 1_024);
