//! What is wrong with a configuration. Every engine has knobs that must fit each other, and says which do
//! not before it is made.

use core::fmt;

/// A knob that contradicts another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigError(&'static str);

impl ConfigError {
    /// Checks knobs: none of these faults may hold. Each comes with a sentence that begins with the name of
    /// its knob.
    ///
    /// # Errors
    /// The first that holds.
    pub fn among<const N: usize>(faults: [(bool, &'static str); N]) -> Result<(), Self> {
        match faults.into_iter().find(|(holds, _)| *holds) {
            Some((_, fault)) => Err(Self(fault)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for ConfigError {}
