//! The bytes of an NTP control message (mode 6), and the system variables in it.
//!
//! A request names the variables that are wanted, so that the answer fits into one packet. The
//! answer is text: `name=value` pairs, separated by commas, where a value may be quoted. It comes
//! from another process, so each field is checked, and a value outside its range is an error
//! that names the field.
//!
//! ```text
//!  0  leap, version, mode 6        6  association (0: the system)
//!  1  R E M, operation (2: read)   8  offset of the data in the whole answer
//!  2  sequence                    10  length of the data
//!  4  status word (in answers)    12  data, padded to 4 bytes
//! ```

use std::fmt;

/// The length of a message without its data, in bytes.
pub const HEADER: usize = 12;
/// The most data that one message holds, in bytes.
pub const MAX_DATA: usize = 468;
/// The variables that are asked for. ntpd and ntpsec know all of them.
const WANTED: &str = "stratum,leap,refid,peer,rootdelay,rootdisp,version";

const LEAP_VERSION_MODE: u8 = 2 << 3 | 6;
const MODE: u8 = 0b0000_0111;
const RESPONSE: u8 = 0x80;
const ERROR: u8 = 0x40;
const MORE: u8 = 0x20;
const OPERATION: u8 = 0x1f;
const READ_VARIABLES: u8 = 2;
/// NTP's "unsynchronised".
const UNSYNCHRONIZED_STRATUM: u8 = 16;
/// The longest delay or dispersion that is not nonsense, in ms.
const MOST_MILLIS: f64 = 1e9;

/// What ntpd states of itself.
#[derive(Clone, PartialEq, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SystemVariables {
    /// The leap indicator: 3 is "not synchronised".
    pub leap: u8,
    /// Hops from a primary source; 16 is "not synchronised".
    pub stratum: u8,
    /// What it follows: an address, or the name of a reference clock.
    pub refid: String,
    /// The association of the system peer; 0 if it follows none.
    pub peer: u16,
    /// The network round trip to the primary source, in ns.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_delay_ns: u64,
    /// The error that clocks on the way to the primary source add, in ns.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub root_dispersion_ns: u64,
    /// The program's own name and version.
    pub version: String,
}

/// Why a packet holds no variables.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It does not answer the request.
    #[error("a packet that does not answer the request")]
    Stray,
    /// Fewer bytes than it announces.
    #[error("a reply of {length} bytes, where its header announces {announced}")]
    Length {
        /// The length of the reply.
        length: usize,
        /// The length that its header announces.
        announced: usize,
    },
    /// ntpd answered with an error.
    #[error(
        "ntpd refused the request with code {code}: allow queries from 127.0.0.1 with the line \
         `restrict 127.0.0.1` in ntp.conf"
    )]
    Refused {
        /// The code of RFC 9327, section 3.
        code: u8,
    },
    /// The answer has several parts.
    #[error("a reply in several parts, where the variables that were asked for fit into one")]
    Parts,
    /// A variable is missing, or has a value outside its range.
    #[error("ntpd's answer is damaged: the variable `{name}` is `{value}`")]
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value; empty if it is missing.
        value: String,
    },
}

/// The request for the variables, which the answer will repeat `sequence` of.
pub fn request(sequence: u16) -> Vec<u8> {
    let mut packet = vec![0; HEADER];
    packet[0] = LEAP_VERSION_MODE;
    packet[1] = READ_VARIABLES;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[10..12].copy_from_slice(&(WANTED.len() as u16).to_be_bytes());
    packet.extend_from_slice(WANTED.as_bytes());
    packet.resize(packet.len().next_multiple_of(4), 0);
    packet
}

/// Reads the answer to [`request`]`(sequence)`.
///
/// # Errors
///
/// [`ControlError::Stray`] for a packet that answers something else: wait for the next one. Any
/// other error is about the answer itself.
pub fn parse(packet: &[u8], sequence: u16) -> Result<SystemVariables, ControlError> {
    let &[first, second, s0, s1, status, .., o0, o1, c0, c1] =
        packet.first_chunk::<HEADER>().ok_or(ControlError::Stray)?;
    let is_answer = first & MODE == LEAP_VERSION_MODE & MODE
        && second & RESPONSE != 0
        && second & OPERATION == READ_VARIABLES
        && [s0, s1] == sequence.to_be_bytes();
    if !is_answer {
        return Err(ControlError::Stray);
    }
    if second & ERROR != 0 {
        return Err(ControlError::Refused { code: status });
    }
    let count = usize::from(u16::from_be_bytes([c0, c1]));
    if second & MORE != 0 || [o0, o1] != [0, 0] {
        return Err(ControlError::Parts);
    }
    let announced = HEADER + count;
    let data = packet.get(HEADER..announced);
    let data = data.ok_or(ControlError::Length { length: packet.len(), announced })?;
    SystemVariables::from_text(&String::from_utf8_lossy(data))
}

impl SystemVariables {
    /// The variables in the text of an answer.
    ///
    /// # Errors
    ///
    /// If one of them is missing, or has a value outside its range.
    pub fn from_text(text: &str) -> Result<SystemVariables, ControlError> {
        let variables: Vec<(&str, &str)> = pairs(text).collect();
        let get = |name: &'static str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|&(_, value)| value).ok_or_else(|| bad(name, ""))
        };
        let number = |name: &'static str| {
            let value = get(name)?;
            value.parse::<u16>().map_err(|_| bad(name, value))
        };
        let small = |name: &'static str, most: u8| {
            let value = number(name)?;
            let value = u8::try_from(value).map_err(|_| bad(name, &value.to_string()))?;
            if value > most { Err(bad(name, &value.to_string())) } else { Ok(value) }
        };
        let nanos = |name: &'static str| {
            let value = get(name)?;
            millis_to_nanos(value).ok_or_else(|| bad(name, value))
        };
        let refid = get("refid")?;
        if refid.is_empty() || refid.len() > 64 || !refid.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad("refid", refid));
        }
        Ok(SystemVariables {
            leap: small("leap", 3)?,
            stratum: small("stratum", UNSYNCHRONIZED_STRATUM)?,
            refid: refid.to_owned(),
            peer: number("peer")?,
            root_delay_ns: nanos("rootdelay")?,
            root_dispersion_ns: nanos("rootdisp")?,
            version: get("version").unwrap_or_default().chars().take(100).collect(),
        })
    }

    /// Why it follows nothing from which a bound can be measured; `None` if it does.
    pub fn follows_nothing(&self) -> Option<&'static str> {
        if self.leap == 3 || self.stratum == 0 || self.stratum >= UNSYNCHRONIZED_STRATUM {
            Some("it is not synchronised to anything (yet)")
        } else if self.refid.starts_with("127.127.1.") || self.refid.starts_with("LOC") {
            Some("it follows its own clock only (the LOCAL driver)")
        } else if self.refid == "127.0.0.1" || self.refid == "::1" {
            Some("it follows no server (orphan mode)")
        } else if self.peer == 0 {
            Some("it has no system peer")
        } else {
            None
        }
    }

    /// Whether it follows a reference clock and not a server.
    ///
    /// A server at stratum 1 has a reference clock. So has one whose reference identifier is one
    /// of the addresses that ntpd gives to its drivers.
    pub fn is_reference_clock(&self) -> bool {
        self.stratum == 1 || self.refid.starts_with("127.127.")
    }

    /// Its bound: root delay / 2 + root dispersion, rounded up, in ns.
    pub fn bound_ns(&self) -> u64 {
        self.root_delay_ns.div_ceil(2).saturating_add(self.root_dispersion_ns)
    }
}

/// One line: the reference, its distance, and the parts of the bound.
impl fmt::Display for SystemVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = |nanos: u64| nanos.div_ceil(1000);
        write!(
            f,
            "ntpd follows {} (stratum {}); root delay {} µs, root dispersion {} µs",
            self.refid,
            self.stratum,
            micros(self.root_delay_ns),
            micros(self.root_dispersion_ns),
        )
    }
}

fn bad(name: &'static str, value: &str) -> ControlError {
    ControlError::Variable { name, value: value.escape_debug().take(100).collect() }
}

/// The pairs of a text: `a=1, b="x, y"`. What is not a pair is skipped.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut is_quoted = false;
    let fields = text.split(move |c: char| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    fields.filter_map(|field| {
        let (name, value) = field.split_once('=')?;
        Some((name.trim(), value.trim().trim_matches('"')))
    })
}

/// A number of milliseconds in decimal notation, in ns. ntpd prints three to six digits after the
/// point and rounds to the nearest, so one unit of the last is added.
fn millis_to_nanos(text: &str) -> Option<u64> {
    // Not what Rust reads besides (`1e3`, `inf`), where the digits would not show the rounding.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value: f64 = text.parse().ok().filter(|_| is_plain)?;
    if !(0.0..=MOST_MILLIS).contains(&value) {
        return None;
    }
    let digits = text.split_once('.').map_or(0, |(_, digits)| digits.len());
    let last_digit_ns = 10f64.powi(6 - i32::try_from(digits).ok()?);
    Some((value * 1e6 + last_digit_ns).ceil() as u64)
}

#[cfg(test)]
mod tests;
