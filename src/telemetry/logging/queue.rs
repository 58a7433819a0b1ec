//! The way of log lines to standard output: one buffer, one thread that empties it.
//!
//! A full pipe behind standard output never stops a shard: what does not fit in the buffer is
//! dropped and counted. The thread lets lines gather for a moment before it writes, so that a
//! thousand lines cost a few wake-ups and `write` calls instead of a thousand.

use std::io::{self, Write};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes that wait for the writer thread, at most: some 20,000 lines.
pub(super) const QUEUED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long lines gather. Nobody who reads a log notices.
const GATHERING: Duration = Duration::from_millis(5);
/// A buffer that a burst has made larger is given back.
const KEPT_BYTES: usize = 64 * 1024;
/// How long the end of the process waits for a reader that is stuck.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Where lines are put. Clones put them in the same queue.
#[derive(Clone)]
pub(super) struct Queue {
    shared: Arc<Shared>,
    bytes_max: usize,
}

struct Shared {
    waiting: Mutex<Waiting>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread has ended.
    ended: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread sleeps until it is woken; lines that come while it gathers need not wake it.
    asleep: bool,
    closing: bool,
    ended: bool,
}

/// Dropping it writes what is queued, for at most [`LAST_LINES`].
pub(super) struct Guard(Arc<Shared>);

impl Queue {
    /// Starts the thread that writes to `out`.
    pub fn start(out: impl Write + Send + 'static, bytes_max: usize) -> io::Result<(Self, Guard)> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            work: Condvar::new(),
            ended: Condvar::new(),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
            let _end = End(&writer);
            writer.write_all(out);
        })?;
        Ok((Self { shared: Arc::clone(&shared), bytes_max }, Guard(shared)))
    }

    /// Queues one line, its line feed included, or counts it as dropped.
    pub fn push(&self, line: &[u8]) {
        let mut waiting = self.shared.lock();
        if waiting.ended || waiting.lines.len() + line.len() > self.bytes_max {
            self.shared.dropped.fetch_add(1, Relaxed);
            return;
        }
        waiting.lines.extend_from_slice(line);
        if mem::take(&mut waiting.asleep) {
            self.shared.work.notify_one();
        }
    }

    /// Lines that never reached standard output.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Relaxed)
    }
}

/// The formatter of the plain format writes a whole line at once.
impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for Queue {
    type Writer = Self;

    fn make_writer(&'q self) -> Self {
        self.clone()
    }
}

impl Shared {
    /// Nothing in here panics while it holds the lock; a poisoned one would still be right.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_all(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        while self.next_batch(&mut batch) {
            let lost = write_lines(&mut out, &batch);
            self.dropped.fetch_add(lost, Relaxed);
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
        }
    }

    /// Swaps what has gathered against an empty buffer; `false` at the end.
    fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        let mut waiting = self.lock();
        while waiting.lines.is_empty() {
            if waiting.closing {
                return false;
            }
            waiting.asleep = true;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        // From here on `asleep` is false: only the end of the process wakes the thread.
        let gathering =
            self.work.wait_timeout_while(waiting, GATHERING, |waiting| !waiting.closing);
        let (mut waiting, _) = gathering.unwrap_or_else(PoisonError::into_inner);
        waiting.asleep = false;
        mem::swap(&mut waiting.lines, batch);
        true
    }
}

/// Says so when the thread ends, however it does.
struct End<'s>(&'s Shared);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.ended.notify_all();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closing = true;
        self.0.work.notify_one();
        drop(self.0.ended.wait_timeout_while(waiting, LAST_LINES, |waiting| !waiting.ended));
    }
}

/// Writes a batch; gives how many of its lines were refused (a closed pipe, a full disk).
fn write_lines(out: &mut impl Write, mut batch: &[u8]) -> u64 {
    while !batch.is_empty() {
        match out.write(batch) {
            Ok(written) if written > 0 => batch = &batch[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return memchr::memchr_iter(b'\n', batch).count() as u64,
        }
    }
    // What standard output buffers is for people, too.
    let _ = out.flush();
    0
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes lines only when the test lets it.
    struct Gate {
        entered: mpsc::Sender<()>,
        open: mpsc::Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.entered.send(());
            // A closed gate lets everything through: the end of the test.
            let _ = self.open.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_not_time() {
        let ((entered, has_entered), (open, gate)) = (mpsc::channel(), mpsc::channel());
        let (queue, _guard) = Queue::start(Gate { entered, open: gate }, 4 * 1_000).unwrap();
        let line = [[b'x'; 999].as_slice(), b"\n"].concat();
        queue.push(&line);
        has_entered.recv().unwrap();
        for _ in 0..20 {
            queue.push(&line);
        }
        assert_eq!(queue.dropped(), 16);
        drop(open);
    }

    /// Takes a few bytes, then is a closed pipe.
    struct Breaking(usize);

    impl Write for Breaking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.0.min(bytes.len());
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_counted() {
        for (takes, lost) in [(0, 20), (25, 18), (1_000, 0)] {
            let (queue, guard) = Queue::start(Breaking(takes), QUEUED_BYTES_MAX).unwrap();
            (0..20).for_each(|_| queue.push(b"123456789\n"));
            drop(guard);
            assert_eq!(queue.dropped(), lost, "after {takes} bytes");
        }
    }

    /// Takes seven bytes at a time.
    struct Pieces(mpsc::Sender<Vec<u8>>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = &bytes[..bytes.len().min(7)];
            self.0.send(taken.to_vec()).unwrap();
            Ok(taken.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn everything_is_written_in_order_before_the_end() {
        let (lines, written) = mpsc::channel();
        let (queue, guard) = Queue::start(Pieces(lines), QUEUED_BYTES_MAX).unwrap();
        let expected: Vec<u8> =
            (0..10_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        for n in 0..10_000 {
            queue.push(format!("line {n}\n").as_bytes());
        }
        drop(guard);
        assert_eq!(written.into_iter().flatten().collect::<Vec<_>>(), expected);
        queue.push(b"too late\n");
        assert_eq!(queue.dropped(), 1);
    }
}
