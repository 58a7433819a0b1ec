//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Where the system names no limit.
const UNLIMITED: usize = 1 << 20;

/// Raises the soft limit to the hard one, which needs no privilege; returns what is in force.
pub fn raise_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.map_or(UNLIMITED, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
