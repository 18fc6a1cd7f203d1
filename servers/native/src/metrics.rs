//! What the faces count.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of one server. Clones count together.
#[derive(Clone, Default, Debug)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) turned_away: Counter,
    pub(crate) requests: Counter,
    pub(crate) garbled: Counter,
    pub(crate) stalled: Counter,
}

impl Metrics {
    /// New counters, served with the others of `registry`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter(
            "synod_client_connections_refused",
            "Connections turned away at the bound",
            &metrics.turned_away,
        );
        counter("synod_client_requests", "Requests of clients", &metrics.requests);
        counter("synod_client_garbled", "Connections closed for what they sent", &metrics.garbled);
        counter(
            "synod_client_stalled",
            "Connections closed because they did not read their answers",
            &metrics.stalled,
        );
        registry.register(
            "synod_client_connections",
            "Open connections of clients",
            metrics.connections.clone(),
        );
        metrics
    }
}
