//! A segmented, checksummed write-ahead log that tells torn from damaged.
