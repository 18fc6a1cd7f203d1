//! Safety rules with names, which tests and the lab can take out.

use core::fmt;

/// Keeps every rule. Zero-sized: the compiler removes the questions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Sound;

/// Keeps every rule but the ones in this set, chosen at run time. No server accepts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Without(u64);

impl Without {
    /// Without the rules called `missing`, out of a protocol's list of `names`.
    ///
    /// # Errors
    /// [`UnknownRule`] if `names` has no such rule.
    pub fn named<'a>(names: &[&str], missing: &[&'a str]) -> Result<Self, UnknownRule<'a>> {
        missing.iter().try_fold(Self(0), |set, name| {
            let bit = names.iter().position(|known| known == name).ok_or(UnknownRule(name))?;
            Ok(Self(set.0 | 1 << bit))
        })
    }

    /// Whether the rule with this number in its protocol's list is taken out.
    #[must_use]
    pub const fn lacks(self, number: usize) -> bool {
        self.0 >> number & 1 == 1
    }
}

/// There is no rule of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownRule<'a>(pub &'a str);

impl fmt::Display for UnknownRule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no rule called {:?}", self.0)
    }
}

impl core::error::Error for UnknownRule<'_> {}

/// Declares the safety rules of a protocol as a trait with two implementors, [`Sound`] and
/// [`Without`], and `RULES`, the list of their names.
///
/// ```
/// synod_engine::rules! {
///     /// What elections rest on.
///     pub trait Rules {
///         /// A vote is durable before it is told.
///         fn vote_is_durable;
///         /// One vote per term.
///         fn one_vote_per_term;
///     }
/// }
/// use synod_engine::{Sound, Without};
/// assert!(Sound.one_vote_per_term());
/// let broken = Without::named(RULES, &["one_vote_per_term"]).unwrap();
/// assert!(broken.vote_is_durable() && !broken.one_vote_per_term());
/// ```
#[macro_export]
macro_rules! rules {
    ($(#[$doc:meta])* $vis:vis trait $Rules:ident { $($(#[$rule_doc:meta])* fn $rule:ident;)+ }) => {
        $(#[$doc])*
        $vis trait $Rules: Copy + core::fmt::Debug + core::hash::Hash + 'static {
            $($(#[$rule_doc])* fn $rule(self) -> bool;)+
        }

        /// The names of the rules, in the order of their numbers.
        $vis const RULES: &[&str] = &[$(stringify!($rule)),+];

        impl $Rules for $crate::Sound {
            $(#[inline] fn $rule(self) -> bool { true })+
        }

        impl $Rules for $crate::Without {
            $(#[inline] fn $rule(self) -> bool { !self.lacks(number::$rule as usize) })+
        }

        mod number {
            #[allow(non_camel_case_types, clippy::enum_variant_names)]
            enum Number { $($rule),+ }
            $(#[allow(non_upper_case_globals)] pub(super) const $rule: u8 = Number::$rule as u8;)+
        }
    };
}
