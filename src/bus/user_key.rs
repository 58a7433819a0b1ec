//! How a user is known inside the gateway: by a digest of the name, which is small and of one size.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;

/// A user. Two names have one key with a probability of 2^-127, and nobody outside can look for
/// such a pair: the digest's keys are drawn anew with each gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserKey(NonZeroU64, u64);

/// Makes the keys of one gateway.
#[derive(Debug, Default)]
pub struct UserKeys {
    first: RandomState,
    second: RandomState,
}

impl UserKeys {
    /// The key of a user's name.
    pub fn of(&self, name: &str) -> UserKey {
        // The lowest bit is given up, so that an absent user costs no room.
        let first = NonZeroU64::MIN | self.first.hash_one(name);
        UserKey(first, self.second.hash_one(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_key_and_another_name_another() {
        let keys = UserKeys::default();
        assert_eq!(keys.of("anna"), keys.of(&String::from("anna")));
        assert_ne!(keys.of("anna"), keys.of("anna "));
        assert_ne!(keys.of(""), keys.of("\0"));
        assert_ne!(keys.of("anna"), UserKeys::default().of("anna"), "drawn anew");
        assert_eq!(size_of::<Option<UserKey>>(), 16);
    }
}
