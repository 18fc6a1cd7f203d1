//! Runs engines on real sockets, disks and clocks.
