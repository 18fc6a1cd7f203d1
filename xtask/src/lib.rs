//! Checks on the house itself.
