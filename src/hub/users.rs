//! Which users are connected, over all shards.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::UserKey;

/// How many connections each user has. Touched when a connection opens and ends, never for a message.
#[derive(Debug, Default)]
pub struct Users {
    connections: Mutex<HashMap<UserKey, u32>>,
    /// How many users there are, read without the lock.
    count: Arc<AtomicU64>,
}

impl Users {
    /// Users with at least one connection.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn gauge(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.count)
    }

    pub(super) fn join(&self, user: UserKey) {
        let mut connections = self.lock();
        *connections.entry(user).or_default() += 1;
        self.count.store(connections.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, user: UserKey) {
        let mut connections = self.lock();
        if let Entry::Occupied(mut known) = connections.entry(user) {
            *known.get_mut() -= 1;
            if *known.get() == 0 {
                known.remove();
            }
        }
        // What a crowd needed is given back when it has gone.
        if connections.len() < connections.capacity() / 4 {
            connections.shrink_to_fit();
        }
        self.count.store(connections.len() as u64, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserKey, u32>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::UserKeys;

    #[test]
    fn a_user_counts_once_until_the_last_connection_has_ended() {
        let (users, keys) = (Users::default(), UserKeys::default());
        let (anna, bob) = (keys.of("anna"), keys.of("bob"));
        for (joins, user, count) in
            [(true, anna, 1), (true, anna, 1), (true, bob, 2), (false, anna, 2), (false, anna, 1)]
        {
            let step = if joins { Users::join } else { Users::leave };
            step(&users, user);
            assert_eq!(users.count(), count);
        }
        users.leave(anna);
        assert_eq!(users.count(), 1, "who is not there does not leave");
    }

    #[test]
    fn a_crowd_that_has_gone_leaves_no_memory_behind() {
        let (users, keys) = (Users::default(), UserKeys::default());
        let crowd: Vec<_> = (0..10_000).map(|number| keys.of(&number.to_string())).collect();
        for user in &crowd {
            users.join(*user);
        }
        for user in &crowd {
            users.leave(*user);
        }
        assert_eq!(users.count(), 0);
        assert!(users.lock().capacity() < 100);
    }
}
