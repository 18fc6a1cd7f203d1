//! Gossip (epidemic) protocols as pure engines.
