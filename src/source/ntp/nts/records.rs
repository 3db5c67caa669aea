//! The records of a key exchange (RFC 8915, section 4), which are the only thing that is said
//! over TLS: a list from the client, and a list from the server.
//!
//! A record is a type of 15 bits with a *critical* bit above it, a length, and a body:
//!
//! ```text
//! |C| type        | length of the body | body ...
//! ```
//!
//! Whoever does not know a record may ignore it unless it is critical. What cannot be understood
//! or is said twice is refused whole, because a half understood answer would be used for hours.

use std::fmt;

/// The protocol that keys are wanted for: NTPv4.
const NTPV4: u16 = 0;
/// The one algorithm that is asked for: AEAD_AES_SIV_CMAC_256, which every server has to know.
pub(super) const AES_SIV_CMAC_256: u16 = 15;
/// The longest list of records that is read. chronyd's limit is the same; eight cookies take 800.
pub(super) const MAX_MESSAGE: usize = 16_384;
/// The longest cookie that is used. Servers make cookies of about 100 bytes, and a request with
/// one that is much longer would not fit into a packet.
pub(super) const MAX_COOKIE: usize = 1024;
/// So many cookies are kept, which is also how many a server sends.
pub(super) const COOKIES: usize = 8;
/// A domain name is no longer than this.
const MAX_NAME: usize = 253;

const CRITICAL: u16 = 1 << 15;
const END: u16 = 0;
const NEXT_PROTOCOL: u16 = 1;
const ERROR: u16 = 2;
const WARNING: u16 = 3;
const AEAD: u16 = 4;
const COOKIE: u16 = 5;
const SERVER: u16 = 6;
const PORT: u16 = 7;

/// What a client asks for.
pub(super) fn request() -> Vec<u8> {
    let mut message = Vec::new();
    push(&mut message, CRITICAL | NEXT_PROTOCOL, &NTPV4.to_be_bytes());
    push(&mut message, CRITICAL | AEAD, &AES_SIV_CMAC_256.to_be_bytes());
    push(&mut message, CRITICAL | END, &[]);
    message
}

fn push(message: &mut Vec<u8>, kind: u16, body: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
}

/// What a server grants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Granted {
    /// At least one, at most [`COOKIES`].
    pub(crate) cookies: Vec<Vec<u8>>,
    /// Where the time server is, if it is not where the keys come from.
    pub(crate) server: Option<String>,
    /// Its port, if it is not 123.
    pub(crate) port: Option<u16>,
}

/// Why a server's records give no keys.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RecordError {
    /// An error record.
    #[error("the server answers with an error: {0}")]
    Error(Code),
    /// A warning record. RFC 8915 defines no code, and what is warned of cannot be known.
    #[error("the server answers with a warning, whose meaning is not known (code {0})")]
    Warning(u16),
    /// A record that has to be understood, and is not.
    #[error("the server's answer has a critical record of type {0}, which is not known here")]
    UnknownCritical(u16),
    /// A record that has to be critical is not.
    #[error("the server's answer has a record of type {0} that has to be critical and is not")]
    NotCritical(u16),
    /// A record with a body of another length than its type has.
    #[error("the server's answer has a record of type {kind} with {length} bytes")]
    Length {
        /// The record's type.
        kind: u16,
        /// The length of its body.
        length: usize,
    },
    /// Two records of a type of which there may be one.
    #[error("the server's answer has two records of type {0}")]
    Repeated(u16),
    /// The server does not say which protocol the keys are for.
    #[error("the server's answer does not say which protocol the keys are for")]
    NoProtocolNamed,
    /// Another protocol, or none.
    #[error("the server has no keys for NTPv4 (it answers with protocols {0:?})")]
    Protocol(Vec<u16>),
    /// The server does not say which algorithm the keys are for.
    #[error("the server's answer does not say which algorithm the keys are for")]
    NoAlgorithmNamed,
    /// Another algorithm, or none.
    #[error(
        "the server does not use AES-SIV-CMAC-256 (15), which every server has to know (it answers \
         with algorithms {0:?})"
    )]
    Algorithm(Vec<u16>),
    /// No cookie.
    #[error("the server's answer has no cookie")]
    NoCookie,
    /// The name of the time server is no name.
    #[error("the server names a time server by something that is no name: {0:?}")]
    Name(String),
    /// The port of the time server is 0.
    #[error("the server names port 0 for the time server")]
    PortZero,
    /// Too many records.
    #[error("the server's answer is longer than {MAX_MESSAGE} bytes")]
    TooLong,
}

/// The code of an error record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Code(pub(crate) u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self.0 {
            0 => "it does not know a critical record of the request",
            1 => "it takes the request for malformed",
            2 => "it has an error of its own (internal server error)",
            code => return write!(f, "code {code}, which RFC 8915 does not define"),
        };
        f.write_str(meaning)
    }
}

/// What a server's answer grants, or `None` while its end has not come yet. What follows the end
/// is not read.
pub(crate) fn decode(message: &[u8]) -> Result<Option<Granted>, RecordError> {
    let mut rest = message;
    let mut answer = Answer::default();
    while let Some((record, after)) = record(rest) {
        rest = after;
        // Nothing beyond the limit is looked at, however it was cut into pieces on the way.
        if message.len() - rest.len() > MAX_MESSAGE {
            return Err(RecordError::TooLong);
        }
        if answer.take(record)? {
            return answer.granted().map(Some);
        }
    }
    if message.len() > MAX_MESSAGE { Err(RecordError::TooLong) } else { Ok(None) }
}

struct Record<'a> {
    kind: u16,
    is_critical: bool,
    body: &'a [u8],
}

/// The first record, if all of it is there, and what follows it.
fn record(message: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (head, rest) = message.split_first_chunk::<4>()?;
    let word = u16::from_be_bytes([head[0], head[1]]);
    let length = u16::from_be_bytes([head[2], head[3]]);
    let (body, rest) = rest.split_at_checked(length.into())?;
    Some((Record { kind: word & !CRITICAL, is_critical: word & CRITICAL != 0, body }, rest))
}

impl Record<'_> {
    fn of_length(&self, is_right: bool) -> Result<(), RecordError> {
        let (kind, length) = (self.kind, self.body.len());
        is_right.then_some(()).ok_or(RecordError::Length { kind, length })
    }

    fn critical(&self) -> Result<(), RecordError> {
        self.is_critical.then_some(()).ok_or(RecordError::NotCritical(self.kind))
    }

    fn number(&self) -> Result<u16, RecordError> {
        let (kind, length) = (self.kind, self.body.len());
        let body = self.body.try_into().map_err(|_| RecordError::Length { kind, length })?;
        Ok(u16::from_be_bytes(body))
    }

    fn numbers(&self) -> Result<Vec<u16>, RecordError> {
        self.of_length(self.body.len() % 2 == 0)?;
        let pairs = self.body.chunks_exact(2);
        Ok(pairs.map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }
}

/// The records so far.
#[derive(Default)]
struct Answer {
    protocols: Option<Vec<u16>>,
    algorithms: Option<Vec<u16>>,
    cookies: Vec<Vec<u8>>,
    server: Option<String>,
    port: Option<u16>,
}

impl Answer {
    /// Takes a record. Whether it was the last one.
    fn take(&mut self, record: Record<'_>) -> Result<bool, RecordError> {
        match record.kind {
            END => {
                record.critical()?;
                record.of_length(record.body.is_empty())?;
                return Ok(true);
            }
            // Whether it is critical or not, the server gives no keys.
            ERROR => return Err(RecordError::Error(Code(record.number()?))),
            WARNING => return Err(RecordError::Warning(record.number()?)),
            NEXT_PROTOCOL => {
                record.critical()?;
                once(&mut self.protocols, NEXT_PROTOCOL, record.numbers()?)?;
            }
            AEAD => once(&mut self.algorithms, AEAD, record.numbers()?)?,
            COOKIE => {
                record.of_length((1..=MAX_COOKIE).contains(&record.body.len()))?;
                // A server that sends more does no harm.
                if self.cookies.len() < COOKIES {
                    self.cookies.push(record.body.to_vec());
                }
            }
            SERVER => once(&mut self.server, SERVER, name(record.body)?)?,
            PORT => {
                let port = record.number()?;
                if port == 0 {
                    return Err(RecordError::PortZero);
                }
                once(&mut self.port, PORT, port)?;
            }
            unknown if record.is_critical => return Err(RecordError::UnknownCritical(unknown)),
            _ => {}
        }
        Ok(false)
    }

    fn granted(self) -> Result<Granted, RecordError> {
        let protocols = self.protocols.ok_or(RecordError::NoProtocolNamed)?;
        if protocols != [NTPV4] {
            return Err(RecordError::Protocol(protocols));
        }
        let algorithms = self.algorithms.ok_or(RecordError::NoAlgorithmNamed)?;
        if algorithms != [AES_SIV_CMAC_256] {
            return Err(RecordError::Algorithm(algorithms));
        }
        if self.cookies.is_empty() {
            return Err(RecordError::NoCookie);
        }
        Ok(Granted { cookies: self.cookies, server: self.server, port: self.port })
    }
}

fn once<T>(place: &mut Option<T>, kind: u16, value: T) -> Result<(), RecordError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(RecordError::Repeated(kind)),
    }
}

/// A domain name, or an address without brackets. What else a resolver might be given by a
/// string is not passed on to it.
fn name(body: &[u8]) -> Result<String, RecordError> {
    let text = || String::from_utf8_lossy(&body[..body.len().min(MAX_NAME)]).into_owned();
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:".contains(byte);
    let is_name = (1..=MAX_NAME).contains(&body.len()) && body.iter().all(is_allowed);
    if is_name { Ok(text()) } else { Err(RecordError::Name(text())) }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records as `(type with the critical bit, body)`.
    pub(crate) fn message(records: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = Vec::new();
        records.iter().for_each(|(kind, body)| push(&mut message, *kind, body));
        message
    }

    const PROTOCOL_NTP: (u16, &[u8]) = (CRITICAL | NEXT_PROTOCOL, &[0, 0]);
    const ALGORITHM_15: (u16, &[u8]) = (CRITICAL | AEAD, &[0, 15]);
    const A_COOKIE: (u16, &[u8]) = (COOKIE, b"a cookie");
    const THE_END: (u16, &[u8]) = (CRITICAL | END, &[]);

    fn granted(cookies: &[&[u8]], server: Option<&str>, port: Option<u16>) -> Granted {
        let cookies = cookies.iter().map(|cookie| cookie.to_vec()).collect();
        Granted { cookies, server: server.map(str::to_owned), port }
    }

    #[test]
    fn the_request_is_the_one_of_the_rfc() {
        let expected = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];
        assert_eq!(request(), expected);
    }

    #[test]
    fn answers_that_grant_keys() {
        let many: Vec<_> = (0..10).map(|_| A_COOKIE).collect();
        let with = |records: &[(u16, &'static [u8])]| {
            [&[PROTOCOL_NTP, ALGORITHM_15], records, &[THE_END]].concat()
        };
        let cookie = b"a cookie".as_slice();
        for (name, records, expected) in [
            ("least", with(&[A_COOKIE]), granted(&[cookie], None, None)),
            ("not critical", with(&[(AEAD | COOKIE, cookie)]), granted(&[cookie], None, None)),
            ("critical cookie", with(&[(CRITICAL | COOKIE, b"c")]), granted(&[b"c"], None, None)),
            ("ten cookies", with(&many), granted(&[cookie; COOKIES], None, None)),
            (
                "server and port",
                with(&[
                    A_COOKIE,
                    (CRITICAL | SERVER, b"ntp.example"),
                    (CRITICAL | PORT, &[0x2b, 0x73]),
                ]),
                granted(&[cookie], Some("ntp.example"), Some(11123)),
            ),
            (
                "address",
                with(&[(SERVER, b"2001:db8::1"), A_COOKIE]),
                granted(&[cookie], Some("2001:db8::1"), None),
            ),
            (
                "unknown",
                with(&[(1024, b"x"), (0x7fff, b""), A_COOKIE]),
                granted(&[cookie], None, None),
            ),
        ] {
            let message = message(&records);
            assert_eq!(decode(&message), Ok(Some(expected.clone())), "{name}");
            let followed = [&message[..], &[0x80, 99, 0, 0]].concat();
            assert_eq!(decode(&followed), Ok(Some(expected)), "{name}, and more after the end");
            for end in 0..message.len() {
                assert_eq!(decode(&message[..end]), Ok(None), "{name}, {end} bytes");
            }
        }
    }

    #[test]
    fn answers_that_grant_nothing() {
        let ok: [(u16, &[u8]); 4] = [PROTOCOL_NTP, ALGORITHM_15, A_COOKIE, THE_END];
        let first = |record: (u16, &'static [u8])| [&[record], &ok[..]].concat();
        let without = |left_out: usize| {
            let mut records = ok.to_vec();
            records.remove(left_out);
            records
        };
        let instead = |place: usize, record: (u16, &'static [u8])| {
            let mut records = ok.to_vec();
            records[place] = record;
            records
        };
        let long: &[u8] = &[7; MAX_COOKIE + 1];
        let longest: &[u8] = &[b'a'; MAX_NAME + 1];
        let length = |kind, length| RecordError::Length { kind, length };
        for (records, expected) in [
            (first((CRITICAL | ERROR, &[0, 0])), RecordError::Error(Code(0))),
            (first((CRITICAL | ERROR, &[0, 1])), RecordError::Error(Code(1))),
            (first((ERROR, &[0, 2])), RecordError::Error(Code(2))),
            (first((CRITICAL | ERROR, &[1, 0])), RecordError::Error(Code(256))),
            (first((CRITICAL | ERROR, &[0])), length(ERROR, 1)),
            (first((CRITICAL | WARNING, &[0, 9])), RecordError::Warning(9)),
            (first((WARNING, &[])), length(WARNING, 0)),
            (first((CRITICAL | 1024, &[])), RecordError::UnknownCritical(1024)),
            (first((CRITICAL | 0x7fff, &[])), RecordError::UnknownCritical(0x7fff)),
            (first(PROTOCOL_NTP), RecordError::Repeated(NEXT_PROTOCOL)),
            (first(ALGORITHM_15), RecordError::Repeated(AEAD)),
            (without(0), RecordError::NoProtocolNamed),
            (without(1), RecordError::NoAlgorithmNamed),
            (without(2), RecordError::NoCookie),
            (instead(0, (NEXT_PROTOCOL, &[0, 0])), RecordError::NotCritical(NEXT_PROTOCOL)),
            (instead(0, (CRITICAL | NEXT_PROTOCOL, &[])), RecordError::Protocol(vec![])),
            (instead(0, (CRITICAL | NEXT_PROTOCOL, &[0, 1])), RecordError::Protocol(vec![1])),
            (
                instead(0, (CRITICAL | NEXT_PROTOCOL, &[0, 0, 0, 1])),
                RecordError::Protocol(vec![0, 1]),
            ),
            (instead(0, (CRITICAL | NEXT_PROTOCOL, &[0])), length(NEXT_PROTOCOL, 1)),
            (instead(1, (CRITICAL | AEAD, &[])), RecordError::Algorithm(vec![])),
            (instead(1, (AEAD, &[0, 30])), RecordError::Algorithm(vec![30])),
            (instead(1, (AEAD, &[0, 15, 0, 30])), RecordError::Algorithm(vec![15, 30])),
            (instead(1, (AEAD, &[0, 15, 0])), length(AEAD, 3)),
            (instead(2, (COOKIE, &[])), length(COOKIE, 0)),
            (instead(2, (COOKIE, long)), length(COOKIE, MAX_COOKIE + 1)),
            (instead(3, (END, &[])), RecordError::NotCritical(END)),
            (instead(3, (CRITICAL | END, &[0])), length(END, 1)),
            (first((SERVER, &[])), RecordError::Name(String::new())),
            (first((SERVER, b"a name")), RecordError::Name("a name".into())),
            (first((SERVER, b"a\0")), RecordError::Name("a\0".into())),
            (first((SERVER, b"\xff")), RecordError::Name("\u{fffd}".into())),
            (first((SERVER, longest)), RecordError::Name("a".repeat(MAX_NAME))),
            (
                [&[(SERVER, b"a".as_slice())], &first((SERVER, b"b"))[..]].concat(),
                RecordError::Repeated(SERVER),
            ),
            (first((PORT, &[0, 0])), RecordError::PortZero),
            (first((PORT, &[1])), length(PORT, 1)),
            (
                [&[(PORT, [0, 1].as_slice())], &first((PORT, &[0, 1]))[..]].concat(),
                RecordError::Repeated(PORT),
            ),
        ] {
            assert_eq!(decode(&message(&records)), Err(expected), "{records:?}");
        }
    }

    #[test]
    fn an_answer_without_an_end_has_a_limit() {
        let filler = [0; 1020];
        let long = message(&vec![(1024, filler.as_slice()); MAX_MESSAGE / 1024]);
        assert_eq!(long.len(), MAX_MESSAGE);
        assert_eq!(decode(&long), Ok(None));
        let longer = [&long[..], &[0]].concat();
        assert_eq!(decode(&longer), Err(RecordError::TooLong), "an end can not come in time");
        let ended = [long, message(&[PROTOCOL_NTP, ALGORITHM_15, A_COOKIE, THE_END])].concat();
        assert_eq!(decode(&ended), Err(RecordError::TooLong));
    }

    #[test]
    fn an_error_code_is_named() {
        let text = |code| RecordError::Error(Code(code)).to_string();
        assert!(text(0).contains("critical record"), "{}", text(0));
        assert!(text(1).contains("malformed"), "{}", text(1));
        assert!(text(2).contains("internal server error"), "{}", text(2));
        assert!(text(7).contains("code 7"), "{}", text(7));
    }

    fn any_records() -> impl Strategy<Value = Vec<(u16, Vec<u8>)>> {
        let kind = prop_oneof![0..9u16, Just(1024), any::<u16>()];
        let kind =
            (kind, any::<bool>()).prop_map(|(kind, c)| if c { kind | CRITICAL } else { kind });
        let body = prop_oneof![
            Just(vec![0, 0]),
            Just(vec![0, 15]),
            proptest::collection::vec(any::<u8>(), 0..20),
        ];
        proptest::collection::vec((kind, body), 0..12)
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }

        /// What is granted was said in exactly one way, and no cut of it grants anything.
        #[test]
        fn random_records_grant_only_what_they_say(records in any_records()) {
            let records: Vec<(u16, &[u8])> = records.iter().map(|(k, b)| (*k, &b[..])).collect();
            let end = records.iter().position(|(kind, _)| kind & !CRITICAL == END);
            let bytes = message(&records);
            if let Ok(Some(granted)) = decode(&bytes) {
                let said = &records[..end.expect("an end")];
                let count = |of: u16| said.iter().filter(|(kind, _)| kind & !CRITICAL == of).count();
                prop_assert_eq!((count(NEXT_PROTOCOL), count(AEAD)), (1, 1));
                prop_assert_eq!((count(ERROR), count(WARNING)), (0, 0));
                prop_assert!(said.iter().all(|(kind, _)| kind & CRITICAL == 0 || kind & !CRITICAL <= PORT));
                prop_assert_eq!(granted.cookies.len(), count(COOKIE).min(COOKIES));
                prop_assert!(!granted.cookies.is_empty());
            }
        }
    }
}
