//! The bounds in a node's file, each with the default of the crate that it belongs to.

use serde::{Deserialize, Serialize};
use synod_kv::limits::MAX_COMMAND_BYTES;
use synod_runtime::PeerVersion;

use crate::engines::knobs::turn;

/// Bounds; see [`synod_runtime::Limits`] and [`synod_native::Limits`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitKnobs {
    peer_version: Option<u16>,
    disk_reserve_bytes: Option<u64>,
    disk_watch_ms: Option<u64>,
    stall_handover_ms: Option<u64>,
    log_segment_bytes: Option<u64>,
    log_trim_above_bytes: Option<u64>,
    max_unanswered_requests: Option<usize>,
    max_connections: Option<u32>,
    max_in_flight: Option<u32>,
    max_output_bytes: Option<usize>,
    stall_timeout_ms: Option<u64>,
    max_http_connections: Option<usize>,
}

impl LimitKnobs {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn runtime(&self) -> synod_runtime::Limits {
        let mut limits =
            synod_runtime::Limits { max_command_bytes: MAX_COMMAND_BYTES, ..Default::default() };
        turn!(
            limits,
            self,
            disk_reserve_bytes,
            disk_watch_ms,
            stall_handover_ms,
            log_segment_bytes,
            log_trim_above_bytes,
            max_unanswered_requests,
        );
        limits
    }

    /// The newest version of the protocol between nodes.
    pub(crate) fn peer_version(&self) -> PeerVersion {
        self.peer_version.map_or(PeerVersion::NEWEST, PeerVersion)
    }

    pub(crate) fn native(&self) -> synod_native::Limits {
        let mut limits = synod_native::Limits::default();
        turn!(
            limits,
            self,
            max_connections,
            max_in_flight,
            max_output_bytes,
            stall_timeout_ms,
            max_http_connections,
        );
        limits
    }

    /// Names the knob that makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        if let Some(bytes) = self.log_segment_bytes
            && !((16 << 20..=1 << 30).contains(&bytes) && bytes.is_multiple_of(4096))
        {
            return Err(format!(
                "log_segment_bytes is {bytes}; it must be a multiple of 4096, from 16 MiB (16777216) to \
                 1 GiB (1073741824)"
            ));
        }
        if !PeerVersion::SPOKEN.contains(&self.peer_version()) {
            return Err(format!(
                "peer_version is {}; this program speaks {} to {}",
                self.peer_version(),
                PeerVersion::OLDEST,
                PeerVersion::NEWEST
            ));
        }
        let faults = [
            (self.disk_watch_ms == Some(0), "disk_watch_ms must be above 0"),
            (
                self.stall_handover_ms.is_some_and(|time| !(100..=86_400_000).contains(&time)),
                "stall_handover_ms must be at least 100 and at most one day",
            ),
            (self.max_unanswered_requests == Some(0), "max_unanswered_requests must be above 0"),
            (self.max_connections == Some(0), "max_connections must be above 0"),
            (self.max_in_flight == Some(0), "max_in_flight must be above 0"),
            (
                self.max_output_bytes.is_some_and(|bytes| bytes < 2 << 20),
                "max_output_bytes must be at least 2 MiB",
            ),
            (
                self.stall_timeout_ms.is_some_and(|time| !(1..=86_400_000).contains(&time)),
                "stall_timeout_ms must be above 0 and at most one day",
            ),
            (
                self.max_http_connections.is_some_and(|count| !(1..=1 << 20).contains(&count)),
                "max_http_connections must be above 0 and at most 1048576",
            ),
        ];
        match faults.into_iter().find(|(fault, _)| *fault) {
            Some((_, what)) => Err(what.to_owned()),
            None => Ok(()),
        }
    }
}
