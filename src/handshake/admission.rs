//! How many connections may be open, in all and from one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::labels::Outcome;

/// Set in the count of open connections once nobody is let in any more.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// More than a process can open.
const UNLIMITED: usize = CLOSED - 1;

/// The places of one gateway; clones share them.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Places>);

/// One place. It is given back when this is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped gives its place back at once"]
pub struct Permit {
    places: Arc<Places>,
    address: AddressKey,
}

#[derive(Debug)]
struct Places {
    /// Open connections, and [`CLOSED`]. `Relaxed` throughout: it guards no other memory.
    open: AtomicUsize,
    open_max: AtomicUsize,
    /// [`UNLIMITED`] where there is no limit. The addresses are counted in any case: a limit that
    /// comes while somebody has too many already must know of them.
    per_address_max: AtomicUsize,
    /// Only addresses with an open connection. One lock for all shards: it is held for a single
    /// look-up per handshake and per end of a connection.
    per_address: Mutex<HashMap<AddressKey, usize>>,
}

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 address, which is what one
/// customer has. Of 16 bytes a permit needs only 8: an IPv4 address takes the place of a network
/// in `::/32`, from which no client comes (RFC 4291 §2.4 reserves it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct AddressKey(u64);

impl Admission {
    /// Lets in `connections_max` connections, `per_ip_max` of them from one address; 0 means no
    /// limit of that kind.
    pub fn new(connections_max: usize, per_ip_max: usize) -> Self {
        Self(Arc::new(Places {
            open: AtomicUsize::new(0),
            open_max: AtomicUsize::new(limit(connections_max)),
            per_address_max: AtomicUsize::new(limit(per_ip_max)),
            per_address: Mutex::default(),
        }))
    }

    /// Puts other limits in force, as for [`Self::new`]. Those inside keep their places, even if
    /// they are more than that.
    pub fn set_limits(&self, connections_max: usize, per_ip_max: usize) {
        self.0.open_max.store(limit(connections_max), Ordering::Relaxed);
        self.0.per_address_max.store(limit(per_ip_max), Ordering::Relaxed);
    }

    /// How many connections may be open.
    pub fn connections_max(&self) -> usize {
        self.0.open_max.load(Ordering::Relaxed)
    }

    /// Takes a place, or says which limit stands against it: `ShuttingDown`, `TooManyConnections`
    /// or `TooManyConnectionsPerIp`. [`Refusal::of`](super::Refusal::of) makes it an answer.
    pub fn admit(&self, address: IpAddr) -> Result<Permit, Outcome> {
        let address = AddressKey::of(address);
        self.0.take()?;
        if !self.0.take_of_address(address) {
            self.0.give_back();
            return Err(Outcome::TooManyConnectionsPerIp);
        }
        Ok(Permit { places: Arc::clone(&self.0), address })
    }

    /// From now on nobody is let in; those inside keep their places. It cannot be undone.
    pub fn close_for_shutdown(&self) {
        self.0.open.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Whether [`Self::close_for_shutdown`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.open.load(Ordering::Relaxed) & CLOSED != 0
    }

    /// Places that are taken.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed) & !CLOSED
    }
}

impl Places {
    /// Compares and swaps rather than adding and looking: a request that is refused must not, for
    /// a moment, take the place that another one is entitled to.
    fn take(&self) -> Result<(), Outcome> {
        let mut seen = self.open.load(Ordering::Relaxed);
        loop {
            if seen & CLOSED != 0 {
                return Err(Outcome::ShuttingDown);
            }
            if seen >= self.open_max.load(Ordering::Relaxed) {
                return Err(Outcome::TooManyConnections);
            }
            let swapped = self.open.compare_exchange_weak(
                seen,
                seen + 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swapped {
                Ok(_) => return Ok(()),
                Err(now) => seen = now,
            }
        }
    }

    fn give_back(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    fn take_of_address(&self, address: AddressKey) -> bool {
        let mut per_address = self.addresses();
        let open = per_address.entry(address).or_insert(0);
        let room = *open < self.per_address_max.load(Ordering::Relaxed);
        if room {
            *open += 1;
        }
        room
    }

    fn give_back_of_address(&self, address: AddressKey) {
        let mut per_address = self.addresses();
        if let Entry::Occupied(mut open) = per_address.entry(address) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
        // What a crowd needed is given back when it has gone.
        if per_address.len() < per_address.capacity() / 4 {
            per_address.shrink_to_fit();
        }
    }

    /// No code under this lock can panic half-way, so a poisoned map is still a true one.
    fn addresses(&self) -> MutexGuard<'_, HashMap<AddressKey, usize>> {
        self.per_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 0 stands for none.
fn limit(given: usize) -> usize {
    if given == 0 { UNLIMITED } else { given.min(UNLIMITED) }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.give_back_of_address(self.address);
        self.places.give_back();
    }
}

impl AddressKey {
    fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_overall_limit_holds_and_places_come_back() {
        let admission = Admission::new(2, 0);
        let first = admission.admit(ip("1.2.3.4")).unwrap();
        let _second = admission.admit(ip("1.2.3.4")).unwrap();
        let refused = admission.admit(ip("5.6.7.8")).unwrap_err();
        assert_eq!(refused, Outcome::TooManyConnections);
        assert_eq!(admission.open(), 2);
        drop(first);
        let _third = admission.admit(ip("5.6.7.8")).unwrap();
    }

    #[test]
    fn zero_is_no_limit() {
        let admission = Admission::new(0, 0);
        let permits: Vec<_> = (0..1_000).map(|_| admission.admit(ip("::1"))).collect();
        assert!(permits.iter().all(Result::is_ok));
        drop(permits);
        assert_eq!(admission.open(), 0);
    }

    /// Whether the two addresses share one place.
    fn check(one: &str, two: &str, shared: bool) {
        let admission = Admission::new(0, 1);
        let permit = admission.admit(ip(one)).unwrap();
        let second = admission.admit(ip(two));
        let refused = second.as_ref().err() == Some(&Outcome::TooManyConnectionsPerIp);
        assert_eq!(refused, shared, "{one} {two}");
        drop((permit, second));
        assert_eq!(admission.open(), 0);
        assert!(admission.0.addresses().is_empty());
        assert!(admission.admit(ip(two)).is_ok());
    }

    #[test]
    fn addresses_are_counted_by_customer() {
        check("1.2.3.4", "1.2.3.4", true);
        check("1.2.3.4", "1.2.3.5", false);
        check("1.2.3.4", "::ffff:1.2.3.4", true);
        check("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", true);
        check("2001:db8:0:1::1", "2001:db8:0:2::1", false);
        check("2001:db8::1", "1.2.3.4", false);
    }

    #[test]
    fn other_limits_hold_for_those_who_come_and_count_those_inside() {
        let admission = Admission::new(0, 0);
        let mut inside: Vec<_> = (0..3).map(|_| admission.admit(ip("1.2.3.4")).unwrap()).collect();
        admission.set_limits(0, 2);
        let refused = |address| admission.admit(ip(address)).err();
        assert_eq!(refused("1.2.3.4"), Some(Outcome::TooManyConnectionsPerIp));
        assert_eq!(refused("5.6.7.8"), None);
        admission.set_limits(2, 0);
        assert_eq!(admission.connections_max(), 2);
        assert_eq!(refused("5.6.7.8"), Some(Outcome::TooManyConnections));
        assert_eq!(admission.open(), 3, "nobody is turned out");
        inside.truncate(1);
        assert_eq!(refused("1.2.3.4"), None);
        admission.set_limits(0, 1);
        assert_eq!(refused("1.2.3.4"), Some(Outcome::TooManyConnectionsPerIp));
        drop(inside);
        assert!(admission.0.addresses().is_empty());
    }

    #[test]
    fn a_refused_address_holds_no_place() {
        let admission = Admission::new(2, 1);
        let _first = admission.admit(ip("1.2.3.4")).unwrap();
        for _ in 0..10 {
            assert!(admission.admit(ip("1.2.3.4")).is_err());
        }
        let _second = admission.admit(ip("5.6.7.8")).unwrap();
    }

    #[test]
    fn shutdown_lets_nobody_in_and_everybody_out() {
        let admission = Admission::new(1, 1);
        let permit = admission.admit(ip("1.2.3.4")).unwrap();
        admission.close_for_shutdown();
        admission.clone().close_for_shutdown();
        assert!(admission.is_closed());
        assert_eq!(admission.open(), 1);
        let refused = admission.admit(ip("5.6.7.8")).unwrap_err();
        assert_eq!(refused, Outcome::ShuttingDown);
        drop(permit);
        assert_eq!(admission.open(), 0);
        assert!(admission.admit(ip("5.6.7.8")).is_err());
    }

    #[test]
    fn races_end_at_zero_and_never_pass_a_limit() {
        const OPEN_MAX: usize = 6;
        const PER_IP_MAX: usize = 2;
        let admission = Admission::new(OPEN_MAX, PER_IP_MAX);
        thread::scope(|scope| {
            for thread in 0..8_u8 {
                let admission = admission.clone();
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for round in 0..20_000_u32 {
                        let last = (thread ^ round as u8) % 5;
                        held.extend(admission.admit(IpAddr::from([10, 0, 0, last])));
                        assert!(admission.open() <= OPEN_MAX);
                        if round % 3 == 0 {
                            let counts = admission.0.addresses();
                            assert!(counts.values().all(|open| *open <= PER_IP_MAX));
                        }
                        if held.len() > 1 || round % 7 == 0 {
                            held.clear();
                        }
                    }
                });
            }
        });
        assert_eq!(admission.open(), 0);
        assert!(admission.0.addresses().is_empty());
    }
}
