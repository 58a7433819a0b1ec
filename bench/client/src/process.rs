//! What the kernel says about the server's process: CPU time and resident memory.

use std::io;
use std::time::Duration;

/// The server that is measured, by its process id.
#[derive(Debug, Clone, Copy)]
pub struct ServerProcess {
    pid: i32,
}

impl ServerProcess {
    /// Names the process; nothing is checked until the first reading.
    pub fn new(pid: i32) -> Self {
        Self { pid }
    }

    /// CPU time (user and system, all threads, ended ones included) since the process began.
    ///
    /// Read from the process' CPU clock, which counts nanoseconds; `/proc/PID/stat` counts ticks of
    /// 10 ms, which is 5 % of what ten thousand cheap handshakes take.
    pub fn cpu_time(self) -> io::Result<Duration> {
        /// `CPUCLOCK_SCHED` of the kernel's `posix-timers_types.h`: the scheduler's precise account.
        const CPUCLOCK_SCHED: libc::clockid_t = 2;
        let clock = (!self.pid << 3) | CPUCLOCK_SCHED;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid, writable timespec for the whole call, which writes nothing else;
        // a clock id of a process that does not exist is answered with EINVAL.
        #[expect(
            unsafe_code,
            reason = "neither std nor rustix can read another process' CPU clock"
        )]
        let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    /// Resident memory in bytes (`VmRSS` of `/proc/PID/status`, which is exact, unlike `statm`).
    pub fn resident_bytes(self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let kibibytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok())
            .ok_or_else(|| io::Error::other("no VmRSS in /proc/PID/status"))?;
        Ok(kibibytes * 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let this = ServerProcess::new(std::process::id() as i32);
        let before = this.cpu_time().expect("own clock");
        let mut sum = 0_u64;
        while this.cpu_time().expect("own clock") <= before + Duration::from_millis(2) {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(this.resident_bytes().expect("own status") > 100_000);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        // Above the kernel's largest possible pid (4,194,304).
        assert!(ServerProcess::new(5_000_000).cpu_time().is_err());
    }
}
