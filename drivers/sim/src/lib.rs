//! Runs engines in virtual time, under every fault they claim to survive.
