//! The map of the layers: which module may use which.
//!
//! ```text
//! host <- counter <- evidence <- source <- estimator <- snapshot <- clock <- wait, hlc, ... <- sim, bin
//! ```
//!
//! An arrow means "is used by". Imports run only against the arrows and never in a circle,
//! among files as among modules. `tests/layers` resolves every path of the source and fails
//! otherwise. Its table, `tests/layers/table.rs`, says what each layer may use.
//!
//! | layer | what it is |
//! |---|---|
//! | [`timestamp`], [`interval`], [`agreement`], [`quorum`], [`scale`] | arithmetic on time; it reads no clock |
//! | [`host`] | the trait `Host`: the questions that a clock asks a machine. The only layer with `unsafe` |
//! | [`counter`] | which counter is read, whether it may be trusted, and its rate as a pair of bounds |
//! | [`evidence`] | [`Sample`], [`Source`], and the [`Reason`] for having no bound |
//! | [`source`] | the built-in sources, one file each |
//! | `estimator` | samples in, one bound out. It is pure: it reads nothing itself |
//! | `snapshot` | what is published, and the ring from one writer to any number of readers |
//! | [`clock`] | [`TrueTime`], [`Clock`](crate::Clock) and its builder, the driver, the sampling thread, [`ManualClock`] |
//! | [`wait`], [`hlc`], [`lease`], [`fence`], [`pause`], [`timeout`], [`peers`] | what databases build from a clock. They see it only as [`TrueTime`] |
//! | `sim` | a simulated world with a known true time, whose machines are hosts |
//! | `bin/truechimer` | the command |
//!
//! The driver, the estimator and the reading code exist once. `ClockCore` in
//! `src/clock/core.rs` is generic over the host: the running clock is this core on the real
//! machine with a thread, and a simulated clock is the same core on a simulated machine. So
//! what the simulator shows is true of the code that ships.
//!
//! [`ManualClock`]: crate::ManualClock
//! [`Reason`]: crate::Reason
//! [`Sample`]: crate::Sample
//! [`Source`]: crate::Source
//! [`TrueTime`]: crate::TrueTime
//! [`agreement`]: crate::agreement
//! [`clock`]: crate::clock
//! [`counter`]: crate::counter
//! [`evidence`]: crate::evidence
//! [`fence`]: crate::fence
//! [`hlc`]: crate::hlc
//! [`host`]: crate::host
//! [`interval`]: crate::interval
//! [`lease`]: crate::lease
//! [`pause`]: crate::pause
//! [`peers`]: crate::peers
//! [`quorum`]: crate::quorum
//! [`scale`]: crate::scale
//! [`source`]: crate::source
//! [`timeout`]: crate::timeout
//! [`timestamp`]: crate::timestamp
//! [`wait`]: crate::wait
