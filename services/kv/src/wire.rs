//! The clerk's protocol: what a client and a server say over one connection.
