//! The state machine that both sides apply: small, but it looks at every command, so that it can be
//! compared in the end.

/// How many commands were applied, and a digest of them in their order.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    pub(crate) applied: u64,
    digest: u64,
}

impl Tally {
    /// Applies a command: the order, the lengths and the first bytes decide the digest.
    pub(crate) fn apply(&mut self, command: &[u8]) {
        let mut word = [0; 8];
        let len = command.len().min(8);
        word[..len].copy_from_slice(&command[..len]);
        self.applied += 1;
        self.digest = (self.digest ^ u64::from_le_bytes(word) ^ command.len() as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29);
    }
}
