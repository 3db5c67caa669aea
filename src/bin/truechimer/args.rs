//! The command line, and the errors in one.
//!
//! The clock's limits are not repeated here, because the builder refuses what is out of
//! range and says why. This module replaces the library's names in such texts by options.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use truechimer::source::ntp::Ntp;
use truechimer::{BuildError, Clock, ClockBuilder, CounterKind, RealtimeScale, Smear};

use crate::convert::ConvertArgs;
use crate::duration::parse_duration;
use crate::leaps::LeapsArgs;

const EXIT_CODES: &str = "\
Exit codes:
  0   the clock is synchronized, or you have stated its error (--assume)
  1   the command failed
  2   the clock cannot be trusted; the reason and the remedy are printed
  64  wrong arguments";

/// What time is it, how certain is that, and can this host's clock be trusted?
#[derive(Parser, Debug)]
#[command(version, max_term_width = 80, after_help = EXIT_CODES)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Print the interval that contains the true time, once
    #[command(after_help = EXIT_CODES)]
    Now(NowArgs),
    /// Print the interval repeatedly, until Ctrl-C
    #[command(after_help = "\
On a terminal one line is rewritten, elsewhere each interval is a new line.
Ctrl-C, SIGTERM, SIGHUP and a closed pipe end it, with exit code 0.")]
    Watch(WatchArgs),
    /// Explain whether this host's clock can be trusted, why, and what to do
    #[command(after_help = EXIT_CODES)]
    Doctor(DoctorArgs),
    /// Measure what each way of reading a clock costs on this host
    #[command(after_help = "\
It takes less than 3 s. The exit code does not depend on the clock's status.")]
    Bench(BenchArgs),
    /// Show a moment on every time scale
    Convert(ConvertArgs),
    /// Show the leap table that the clock uses, or another, and how good it is
    Leaps(LeapsArgs),
}

#[derive(Args, Debug)]
pub struct NowArgs {
    #[command(flatten)]
    pub clock: ClockArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct WatchArgs {
    #[command(flatten)]
    pub clock: ClockArgs,
    /// How often to print, from 1ms to 1h
    #[arg(long, value_name = "DURATION", default_value = "1s", allow_hyphen_values = true)]
    #[arg(value_parser = parse_interval)]
    pub interval: Duration,
    /// Print one JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub clock: ClockArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct BenchArgs {
    #[command(flatten)]
    pub clock: ClockArgs,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The clock that is read.
#[derive(Args, Debug)]
pub struct ClockArgs {
    /// Assume that the wall clock is within this of UTC, as in 250ms, 1.5s, 2min
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parse_duration)]
    pub assume: Option<Duration>,
    /// The counter to read between samples
    #[arg(long, value_enum, default_value_t = CounterArg::Auto)]
    pub counter: CounterArg,
    /// How far the counter's rate may be from nominal, in parts per million
    ///
    /// From 1 to 100000; 200 if not given.
    #[arg(long, value_name = "PPM", allow_hyphen_values = true, value_parser = parse_ppm)]
    pub max_drift_ppm: Option<u32>,
    /// An interval wider than this is an error; 10s if not given
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parse_duration)]
    pub max_width: Option<Duration>,
    /// What the wall clock shows around a leap second; utc if not given
    ///
    /// It is utc, or the smear of its time servers (google, aws, meta, meta-ptp, chrony or
    /// utc-sls), or unknown, which widens by a second for a day around each leap second.
    #[arg(long, value_name = "SCALE", value_parser = parse_wall_scale)]
    pub wall_scale: Option<RealtimeScale>,
    /// How far the time daemon's reference clock (PTP, GPS) may be off, as in 1ms
    ///
    /// The daemon takes it for exact. It changes nothing while the daemon follows a server.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    #[arg(value_parser = parse_duration)]
    pub reference_error: Option<Duration>,
    /// How far the counter's rate may stray from its own mean, in parts per million
    ///
    /// The rate is learnt, and intervals widen by this and not by --max-drift-ppm. 20 by default,
    /// which is safe for a quartz in a machine room. Say "off" on a virtual machine that may be moved
    /// and has no VMClock to show it.
    #[arg(long, value_name = "PPM|off", allow_hyphen_values = true, value_parser = parse_wander)]
    pub max_wander_ppm: Option<Wander>,
    /// Ask this NTP server directly, as in time.example.org or 192.0.2.1:123; repeatable
    ///
    /// The servers' answers are then the evidence, and the kernel's bound is only compared with
    /// them. One server is taken at its word, two have to agree, and of three or more a minority
    /// may be wrong. If they smear leap seconds, say how by --wall-scale.
    #[arg(long, value_name = "HOST")]
    pub ntp: Vec<String>,
    /// Ask this NTP server, and have it prove who it is (NTS); repeatable, and beside --ntp
    ///
    /// The name is the key server's, with a port if it is not 4460. Its certificate must be of an
    /// authority that this system trusts.
    #[cfg(feature = "nts")]
    #[arg(long, value_name = "HOST")]
    pub nts: Vec<String>,
    /// Ask the servers that this host's chronyd follows directly
    ///
    /// It makes intervals narrower where these are near: a cloud's metadata server, for example.
    #[arg(long)]
    pub ntp_of_daemon: bool,
    /// Take the kernel's error bound for honest, whichever program writes it
    ///
    /// For containers that see nothing of their host, if you know what runs there.
    #[arg(long)]
    pub believe_any_writer: bool,
    /// Take chronyd's estimate of its error for a bound, as it states it
    ///
    /// It is narrower than the bound with an allowance, and wrong at times where the oscillator's
    /// rate swings.
    #[arg(long)]
    pub believe_chrony_estimate: bool,
}

/// [`CounterKind`], as it is written on a command line.
#[derive(Clone, Copy, ValueEnum, Debug)]
pub enum CounterArg {
    /// The processor's counter where it can be trusted, else monotonic-raw
    Auto,
    /// The time-stamp counter of x86-64
    Tsc,
    /// The virtual counter of aarch64
    Cntvct,
    /// The kernel's CLOCK_MONOTONIC_RAW
    MonotonicRaw,
}

impl From<CounterArg> for CounterKind {
    fn from(arg: CounterArg) -> CounterKind {
        match arg {
            CounterArg::Auto => CounterKind::Auto,
            CounterArg::Tsc => CounterKind::Tsc,
            CounterArg::Cntvct => CounterKind::Cntvct,
            CounterArg::MonotonicRaw => CounterKind::MonotonicRaw,
        }
    }
}

impl ClockArgs {
    /// A builder with these settings.
    pub fn builder(&self) -> ClockBuilder {
        let mut builder = Clock::builder().counter(self.counter.into());
        if let Some(error) = self.assume {
            builder = builder.assume_error(error);
        }
        if let Some(ppm) = self.max_drift_ppm {
            builder = builder.max_drift_ppm(ppm);
        }
        if let Some(Wander(ppm)) = self.max_wander_ppm {
            builder = builder.max_wander_ppm(ppm);
        }
        if let Some(width) = self.max_width {
            builder = builder.max_width(width);
        }
        if let Some(scale) = self.wall_scale {
            builder = builder.wall_scale(scale);
        }
        if let Some(error) = self.reference_error {
            builder = builder.reference_error(error);
        }
        if self.believe_any_writer {
            builder = builder.believe_any_writer();
        }
        if self.believe_chrony_estimate {
            builder = builder.believe_chrony_estimate();
        }
        if self.asks_servers() {
            builder = builder.ntp_with(self.servers());
        }
        builder
    }

    /// The servers that are named, and those of the daemon.
    fn servers(&self) -> Ntp {
        let mut servers = Ntp::new(self.ntp.iter().cloned());
        if let Some(scale) = self.wall_scale {
            servers = servers.on_scale(scale);
        }
        #[cfg(feature = "nts")]
        {
            servers = servers.and_nts(self.nts.iter().cloned());
        }
        if self.ntp_of_daemon {
            servers = servers.and_of_daemon();
        }
        // Whoever names one or two servers here believes them.
        if self.named_servers() < 3 { servers.trust_single() } else { servers }
    }

    /// How many servers are named.
    fn named_servers(&self) -> usize {
        #[cfg(feature = "nts")]
        let authenticated = self.nts.len();
        #[cfg(not(feature = "nts"))]
        let authenticated = 0;
        self.ntp.len() + authenticated
    }

    /// Whether time servers are asked, which takes a while.
    pub fn asks_servers(&self) -> bool {
        self.named_servers() > 0 || self.ntp_of_daemon
    }
}

/// The builder checks the range. A text that is not a number gets the same range in its error.
fn parse_ppm(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "it must be a whole number from 1 to 100000".to_owned())
}

/// A limit of the rate's wander, or none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wander(pub Option<u32>);

fn parse_wander(text: &str) -> Result<Wander, String> {
    if text == "off" {
        return Ok(Wander(None));
    }
    let ppm =
        text.parse().map_err(|_| "it must be \"off\", or a whole number from 1 on".to_owned());
    ppm.map(|ppm| Wander(Some(ppm)))
}

fn parse_wall_scale(text: &str) -> Result<RealtimeScale, String> {
    match text {
        "utc" => Ok(RealtimeScale::Utc),
        "unknown" => Ok(RealtimeScale::Unknown),
        smear => smear.parse::<Smear>().map(RealtimeScale::Smeared).map_err(|_| {
            let smears = Smear::ALL.map(|smear| smear.to_string()).join(", ");
            format!("it must be utc, unknown, or a smear: {smears}")
        }),
    }
}

/// How often `watch` may print. A shorter interval shows nothing new, and a longer one looks like a hang.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    let (least, most) = (Duration::from_millis(1), Duration::from_secs(3600));
    if (least..=most).contains(&interval) {
        Ok(interval)
    } else {
        Err("it must be from 1ms to 1h".to_owned())
    }
}

/// Whether the command line has to be corrected, and not the host.
pub fn is_usage_error(error: &BuildError) -> bool {
    match error {
        BuildError::MaxDrift(_)
        | BuildError::MaxWander { .. }
        | BuildError::Ntp(_)
        | BuildError::PollInterval(_)
        | BuildError::MaxWidth(_)
        | BuildError::AssumeError(_)
        | BuildError::ReferenceError(_)
        | BuildError::AssumeTooWide { .. }
        | BuildError::NoSource => true,
        BuildError::CounterUntrusted { .. }
        | BuildError::CounterForbidden
        | BuildError::VmClock(_)
        | BuildError::Thread(_) => false,
        _ => false,
    }
}

/// A text of the library, with the options of this command in place of its methods.
///
/// This is the only place that knows which option stands for which method.
pub fn with_option_names(text: &impl ToString) -> String {
    const NAMES: [(&str, &str); 16] = [
        ("`ntp()`", "`--ntp HOST`"),
        ("; that of a `Phc` source with its `error()`", ""),
        ("call `believe_any_writer()`", "use `--believe-any-writer`"),
        ("`reference_error()`", "`--reference-error 1ms`"),
        ("`reference_error`", "`--reference-error 1ms`"),
        ("reference_error", "--reference-error"),
        ("`assume_error`", "`--assume 250ms`"),
        ("assume_error", "--assume"),
        ("max_width", "--max-width"),
        ("max_drift_ppm", "--max-drift-ppm"),
        ("max_wander_ppm", "--max-wander-ppm"),
        ("None learns no rate", "\"off\" learns no rate"),
        ("poll_interval", "the poll interval"),
        ("state its error again with `reassume()`", "start the command again"),
        ("`CounterKind::Auto` or `MonotonicRaw`", "`--counter auto` or `--counter monotonic-raw`"),
        ("call `refresh()`, or let the clock's own thread sample", "run the command again"),
    ];
    NAMES.iter().fold(text.to_string(), |text, (name, option)| text.replace(name, option))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wander_is_a_number_or_off() {
        assert_eq!(parse_wander("off"), Ok(Wander(None)));
        assert_eq!(parse_wander("15"), Ok(Wander(Some(15))));
        for bad in ["", "-1", "OFF", "15ppm", "4294967296", "1.5"] {
            let why = parse_wander(bad).expect_err(bad);
            assert!(why.contains("\"off\"") && why.contains("whole number"), "{why}");
        }
    }

    #[test]
    fn durations_have_a_unit_and_are_positive() {
        let good = [
            ("250ms", Duration::from_millis(250)),
            ("1.5s", Duration::from_millis(1500)),
            ("2min", Duration::from_secs(120)),
            ("1h 30m", Duration::from_secs(5400)),
            (" 5us ", Duration::from_micros(5)),
            ("7ns", Duration::from_nanos(7)),
        ];
        for (text, duration) in good {
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
        }
        let bad = [
            ("", "250ms"),
            ("250", "needs a unit"),
            ("0.25", "needs a unit"),
            ("-5ms", "cannot be negative"),
            ("0ms", "more than 0"),
            ("0", "needs a unit"),
            ("five seconds", "250ms"),
            ("5 parsecs", "250ms"),
            ("1e3s", "250ms"),
            ("999999999999999999999s", "too long"),
            ("18446744073709551615y", "too long"),
            ("NaN", "250ms"),
            ("５s", "250ms"),
        ];
        for (text, part) in bad {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn every_wall_scale_has_its_name() {
        assert_eq!(parse_wall_scale("utc"), Ok(RealtimeScale::Utc));
        assert_eq!(parse_wall_scale("unknown"), Ok(RealtimeScale::Unknown));
        for smear in Smear::ALL {
            assert_eq!(parse_wall_scale(&smear.to_string()), Ok(RealtimeScale::Smeared(smear)));
        }
        let error = parse_wall_scale("bing").expect_err("no such smear");
        assert!(error.contains("google, aws"), "{error}");
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn an_error_of_the_builder_names_options() {
        let error = Clock::builder().assume_error(Duration::from_secs(10)).build();
        let Err(error) = error else { panic!("twice 10 s is wider than 10 s") };
        let text = with_option_names(&error);
        assert!(text.contains("--assume of 10s") && text.contains("--max-width"), "{text}");
        assert!(!text.contains('_'), "{text}");
        assert!(is_usage_error(&error));
    }
}
