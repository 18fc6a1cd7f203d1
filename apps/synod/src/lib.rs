//! Classic distributed systems, one toolkit.
