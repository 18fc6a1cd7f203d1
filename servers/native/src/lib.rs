//! The clerk's protocol, metrics and health over TCP.
