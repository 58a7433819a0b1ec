//! Every metric's name, help and labels, but for those of the facade (`control_plane.rs`).

/// A metric: what `# HELP` and `# TYPE` say, and the names of its labels in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// With prefix and unit; `_total` on a counter.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Counter, gauge or histogram.
    pub kind: Kind,
    /// The names of the labels, in the order in which their values are given.
    pub labels: &'static [&'static str],
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only rises, until the process restarts.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// One table per source of metrics: constant, kind, name, labels, help.
macro_rules! families {
    ($($(#[doc = $doc:literal])+ $list:ident { $($constant:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)+ })+) => {$(
        $(pub(crate) static $constant: Family = Family {
            name: $name,
            help: $help,
            kind: Kind::$kind,
            labels: &[$($label),*],
        };)+
        $(#[doc = $doc])+
        pub(crate) static $list: &[&Family] = &[$(&$constant),+];
    )+};
}

families! {
    /// Counted by the threads' blocks.
    COUNTED {
        CONNECTIONS: Gauge "gaugeway_connections" ["endpoint"]
            "Open WebSockets: gaugeway_connections_opened_total less gaugeway_disconnects_total, on every page.";
        CONNECTIONS_OPENED: Counter "gaugeway_connections_opened_total" ["endpoint"]
            "WebSockets opened (the 101 was written).";
        HANDSHAKES: Counter "gaugeway_handshakes_total" ["endpoint", "outcome"]
            "Upgrade requests by how they ended; each counts once.";
        HANDSHAKE_DURATION: Histogram "gaugeway_handshake_duration_seconds" []
            "From the upgrade request's head to the 101 or the refusal.";
        DISCONNECTS: Counter "gaugeway_disconnects_total" ["endpoint", "initiator", "cause", "code"]
            "Connections that have ended, by what the gateway's own socket saw; each counts once.";
        CONNECTION_DURATION: Histogram "gaugeway_connection_duration_seconds" ["endpoint"]
            "Lifetime of the connections that have ended.";
        IDLE_AT_CLOSE: Histogram "gaugeway_idle_at_close_seconds" ["endpoint", "abnormal"]
            "Time since the last byte either way when a connection ended; abnormal: without a Close handshake (code 1006).";
        PING_RTT: Histogram "gaugeway_ping_rtt_seconds" ["endpoint"]
            "From a ping to the pong that matches it.";
        PINGS_SENT: Counter "gaugeway_pings_sent_total" []
            "Pings sent.";
        PONGS_RECEIVED: Counter "gaugeway_pongs_received_total" ["kind"]
            "Pongs by whether they match an outstanding ping.";
        LATE_PONGS: Counter "gaugeway_late_pongs_total" []
            "Pongs that came after their connection had been given up for lack of them.";
        MESSAGES: Counter "gaugeway_messages_total" ["endpoint", "direction", "opcode"]
            "Messages and control frames.";
        MESSAGE_SIZE: Histogram "gaugeway_message_size_bytes" ["direction"]
            "Payload of text and binary messages, before compression.";
        PAYLOAD_BYTES: Counter "gaugeway_payload_bytes_total" ["direction"]
            "Payload of text and binary messages, before compression.";
        WIRE_BYTES: Counter "gaugeway_wire_bytes_total" ["direction"]
            "Frames as they crossed, headers and control frames included.";
        COMPRESSION_RATIO: Histogram "gaugeway_compression_ratio" ["direction"]
            "Payload divided by compressed bytes, per compressed message on the wire.";
        MESSAGES_COMPRESSED: Counter "gaugeway_messages_compressed_total" ["direction"]
            "Messages that crossed compressed.";
        PUBLICATIONS: Counter "gaugeway_publications_total" ["source"]
            "Publications that got their sequence number.";
        DELIVERIES: Counter "gaugeway_deliveries_total" []
            "Publications handed to a receiver: written, or queued for it. Written alone: less gaugeway_deliveries_dropped_total{reason=\"unsent\"}.";
        DELIVERIES_DROPPED: Counter "gaugeway_deliveries_dropped_total" ["reason"]
            "Publications that a receiver did not get. Publications x receivers = gaugeway_deliveries_total + queue_overflow + closing; unsent were queued, counted as delivered, and thrown away when the connection ended.";
        FANOUT_DURATION: Histogram "gaugeway_fanout_duration_seconds" []
            "From a publication's sequence number to the last receiver of the last shard, written or queued.";
        DELIVERY_LAG: Histogram "gaugeway_delivery_lag_seconds" []
            "From a publication's sequence number to the frame's last byte handed to the kernel; one delivery in 16 is measured.";
        TICK_LAG: Histogram "gaugeway_tick_lag_seconds" []
            "How late a shard's tick came: the gateway's own stalls.";
        ACCEPT_FAILURES: Counter "gaugeway_accept_failures_total" ["reason"]
            "TCP connections that could not be accepted.";
        HTTP_CONNECTION_ERRORS: Counter "gaugeway_http_connection_errors_total" ["reason"]
            "HTTP connections on the public listener that failed outside a request and its answer.";
    }

    /// Read from the shards.
    SHARD_GAUGES {
        BACKLOGGED_CONNECTIONS: Gauge "gaugeway_backlogged_connections" []
            "Connections whose send queue holds something.";
        SEND_QUEUE_BYTES: Gauge "gaugeway_send_queue_bytes" []
            "Bytes in all send queues.";
        SEND_QUEUE_MAX_BYTES: Gauge "gaugeway_send_queue_max_bytes" []
            "Bytes in the longest send queue.";
    }

    /// Who is connected.
    USERS_GAUGE {
        USERS: Gauge "gaugeway_users" []
            "Users with at least one open connection; who names no user is not counted.";
    }

    /// What does not change while the process runs.
    CONSTANTS {
        BUILD_INFO: Gauge "gaugeway_build_info" ["version", "revision"]
            "1; the labels say what runs.";
        TIMEOUT: Gauge "gaugeway_timeout_seconds" ["timer"]
            "The times in force, for dashboards to draw as lines.";
    }

    /// The operating system's view.
    PROCESS {
        PROCESS_CPU: Counter "process_cpu_seconds_total" []
            "User and system CPU time.";
        PROCESS_RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" []
            "Resident memory.";
        PROCESS_VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" []
            "Virtual memory.";
        PROCESS_OPEN_FDS: Gauge "process_open_fds" []
            "Open file descriptors.";
        PROCESS_MAX_FDS: Gauge "process_max_fds" []
            "The soft limit of open file descriptors.";
        PROCESS_START_TIME: Gauge "process_start_time_seconds" []
            "When the process started, since the Unix epoch.";
        PROCESS_THREADS: Gauge "process_threads" []
            "Threads of the operating system.";
    }

    /// The tokio runtimes.
    TOKIO {
        TOKIO_WORKERS: Gauge "gaugeway_tokio_workers" ["runtime"]
            "Worker threads.";
        TOKIO_ALIVE_TASKS: Gauge "gaugeway_tokio_alive_tasks" ["runtime"]
            "Tasks spawned on the runtime and not finished; those of a LocalSet are not among them.";
        TOKIO_GLOBAL_QUEUE_DEPTH: Gauge "gaugeway_tokio_global_queue_depth" ["runtime"]
            "Tasks woken from another thread that wait for a worker.";
        TOKIO_BUSY: Counter "gaugeway_tokio_busy_seconds_total" ["runtime"]
            "Time that the workers spent running tasks or looking for some, not parked.";
        TOKIO_PARKS: Counter "gaugeway_tokio_parks_total" ["runtime"]
            "How often a worker parked.";
    }

    /// The log writer.
    LOG {
        LOG_LINES_DROPPED: Counter "gaugeway_log_lines_dropped_total" []
            "Log lines dropped because standard output did not take them in time.";
    }
}
