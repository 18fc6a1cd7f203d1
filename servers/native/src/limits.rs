//! Every bound of the faces, with what happens beyond it.

/// Bounds on what clients may do to a node.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections of clerks at a time; one more is told so and closed.
    pub max_connections: u32,
    /// Requests of one connection without an answer; beyond it nothing is read from it.
    pub max_in_flight: u32,
    /// Bytes of answers that a client has not read before nothing more is read from it.
    pub max_unread_bytes: usize,
    /// Bytes of answers that a client has not read before it is disconnected. Far above the bound on
    /// reading, since answers to what was read before that still come.
    pub max_output_bytes: usize,
    /// Bytes that the watches of one connection take, each its keys and 128; one more ends at once.
    pub max_watch_bytes: usize,
    /// Watches of ranges on one connection; one more ends at once. Every event is compared with each.
    pub max_range_watches: usize,
    /// How often a client that watches learns how far its watches have come, in milliseconds, if they
    /// are told nothing else.
    pub watch_progress_ms: u64,
    /// After how many revisions it learns so at the latest.
    pub watch_progress_revisions: u64,
    /// How long a client may take to say hello, in milliseconds.
    pub hello_timeout_ms: u64,
    /// How long a client with answers waiting may read none of them before it is disconnected, in
    /// milliseconds.
    pub stall_timeout_ms: u64,
    /// Connections to the HTTP port at a time; one more takes the place of the oldest.
    pub max_http_connections: usize,
    /// How long one HTTP connection may last, in milliseconds. Scrapes are short.
    pub http_timeout_ms: u64,
    /// How long requests under way are waited for when the server stops, in milliseconds.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1_024,
            max_in_flight: 8_192,
            max_unread_bytes: 1 << 20,
            max_output_bytes: 64 << 20,
            max_watch_bytes: 1 << 20,
            max_range_watches: 256,
            watch_progress_ms: 1_000,
            watch_progress_revisions: 16_384,
            hello_timeout_ms: 2_000,
            stall_timeout_ms: 10_000,
            max_http_connections: 64,
            http_timeout_ms: 30_000,
            drain_ms: 500,
        }
    }
}
