//! The wire format of D-Bus, as far as a client needs it that reads properties.
//!
//! A message is a header and a body, in the byte order of its sender. Every value is aligned to
//! its own size, counted from the beginning of the message. The peer may be any program, so each
//! length is checked against the bytes that are there, and a message of more than
//! [`LARGEST`] bytes is refused before it is read.
//!
//! The format is that of the D-Bus specification, version 1 of the protocol.

use std::fmt;

/// The largest message that is read, in bytes. The answers to this client's requests have about
/// 300, and a bus may send up to 128 MiB.
pub(super) const LARGEST: usize = 64 * 1024;

/// The part of the header with a fixed length.
const FIXED: usize = 16;

/// The kinds of messages.
const CALL: u8 = 1;
const RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// No reply is late enough for the bus to start a program that is not running.
const NO_AUTO_START: u8 = 2;

/// Bytes that are not a message, or not the one that was expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed(pub(super) &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Reads values one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    is_big: bool,
}

impl<'a> Parser<'a> {
    /// From the beginning of a message, in this byte order.
    #[cfg(any(test, fuzzing))]
    pub(super) fn new(bytes: &'a [u8], is_big: bool) -> Parser<'a> {
        Parser { bytes, at: 0, is_big }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed("a length overflows"))?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed("it ends within a value"))?;
        self.at = end;
        Ok(taken)
    }

    pub(super) fn align(&mut self, to: usize) -> Result<(), Malformed> {
        let padding = self.take(self.at.next_multiple_of(to) - self.at)?;
        match padding.iter().all(|&byte| byte == 0) {
            true => Ok(()),
            false => Err(Malformed("its padding is not zero")),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.align(4)?;
        let mut word = [0; 4];
        word.copy_from_slice(self.take(4)?);
        Ok(if self.is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) })
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.u32().map(|word| word as i32)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.align(8)?;
        let mut word = [0; 8];
        word.copy_from_slice(self.take(8)?);
        Ok(if self.is_big { u64::from_be_bytes(word) } else { u64::from_le_bytes(word) })
    }

    pub(super) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.u32()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a boolean is neither 0 nor 1")),
        }
    }

    /// An array of bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.u32()? as usize;
        self.take(length)
    }

    /// A text, or the path of an object.
    pub(super) fn string(&mut self) -> Result<&'a str, Malformed> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    pub(super) fn signature(&mut self) -> Result<&'a str, Malformed> {
        let length = self.byte()?.into();
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        let text = self.take(length)?;
        if self.byte()? != 0 {
            return Err(Malformed("a text does not end with 0"));
        }
        std::str::from_utf8(text).map_err(|_| Malformed("a text is not UTF-8"))
    }
}

/// What a message is, as far as this client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Return,
    /// With the error's name.
    Error(String),
    /// With its member, which is its name.
    Signal(String),
    /// A call of a method of this client, or something newer than this client.
    Other,
}

/// A message that was received.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The serial of the request that it answers.
    pub(super) reply_to: Option<u32>,
    signature: String,
    bytes: Vec<u8>,
    body_at: usize,
    is_big: bool,
}

impl Message {
    /// How long the message is that begins with these bytes. `None` if they are too few to tell.
    pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
        let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
        let is_big = match fixed[0] {
            b'l' => false,
            b'B' => true,
            _ => return Err(Malformed("its byte order is neither little nor big")),
        };
        if fixed[3] != 1 {
            return Err(Malformed("its version of the protocol is not 1"));
        }
        let mut parser = Parser { bytes: fixed, at: 4, is_big };
        let body = parser.u32()? as usize;
        let _serial = parser.u32()?;
        let fields = parser.u32()? as usize;
        if body > LARGEST || fields > LARGEST {
            return Err(Malformed("it is longer than 64 KiB"));
        }
        let length = (FIXED + fields).next_multiple_of(8) + body;
        match length <= LARGEST {
            true => Ok(Some(length)),
            false => Err(Malformed("it is longer than 64 KiB")),
        }
    }

    /// Reads a whole message.
    pub(super) fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
        let length = Message::length(bytes)?.ok_or(Malformed("it ends within its header"))?;
        if length != bytes.len() {
            return Err(Malformed("its length is not the one that it states"));
        }
        let is_big = bytes[0] == b'B';
        let mut parser = Parser { bytes, at: FIXED - 4, is_big };
        let fields = parser.u32()? as usize;
        let end = FIXED + fields;
        let (mut reply_to, mut name, mut member, mut signature) = (None, None, None, "");
        while parser.at < end {
            parser.align(8)?;
            let code = parser.byte()?;
            match (code, parser.signature()?) {
                (3, "s") => member = Some(parser.string()?),
                (4, "s") => name = Some(parser.string()?),
                (5, "u") => reply_to = Some(parser.u32()?),
                (8, "g") => signature = parser.signature()?,
                (_, "s" | "o") => drop(parser.string()?),
                (_, "u") => drop(parser.u32()?),
                (_, "g") => drop(parser.signature()?),
                _ => return Err(Malformed("a field of its header has an unknown type")),
            }
        }
        if parser.at != end {
            return Err(Malformed("its header ends within a field"));
        }
        parser.align(8)?;
        let absent = Malformed("its header lacks a field");
        let kind = match bytes[1] {
            RETURN => Kind::Return,
            ERROR => Kind::Error(name.ok_or(absent)?.to_owned()),
            SIGNAL => Kind::Signal(member.ok_or(absent)?.to_owned()),
            _ => Kind::Other,
        };
        if reply_to.is_none() && matches!(kind, Kind::Return | Kind::Error(_)) {
            return Err(absent);
        }
        let body_at = parser.at;
        let signature = signature.to_owned();
        Ok(Message { kind, reply_to, signature, bytes: bytes.to_vec(), body_at, is_big })
    }

    /// The body, which must have this signature.
    pub(super) fn body(&self, signature: &str) -> Result<Parser<'_>, Malformed> {
        if self.signature != signature {
            return Err(Malformed("its body is of another type than was asked for"));
        }
        Ok(Parser { bytes: &self.bytes, at: self.body_at, is_big: self.is_big })
    }

    /// The value of a property, which must be of this type.
    pub(super) fn property(&self, signature: &str) -> Result<Parser<'_>, Malformed> {
        let mut body = self.body("v")?;
        match body.signature()? == signature {
            true => Ok(body),
            false => Err(Malformed("the property is of another type than is known")),
        }
    }
}

/// A request to call a method, whose arguments are all texts.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    pub(super) arguments: &'a [&'a str],
}

impl Call<'_> {
    /// The message, in little-endian order. It never starts a program that is not running.
    pub(super) fn encode(&self, serial: u32) -> Vec<u8> {
        let mut body = Vec::new();
        for argument in self.arguments {
            put_string(&mut body, argument);
        }
        let mut out = vec![b'l', CALL, NO_AUTO_START, 1];
        put_u32(&mut out, body.len());
        out.extend_from_slice(&serial.to_le_bytes());
        put_u32(&mut out, 0);
        for (code, kind, value) in [
            (1, b'o', self.path),
            (2, b's', self.interface),
            (3, b's', self.member),
            (6, b's', self.destination),
        ] {
            out.resize(out.len().next_multiple_of(8), 0);
            out.extend_from_slice(&[code, 1, kind, 0]);
            put_string(&mut out, value);
        }
        if !self.arguments.is_empty() {
            out.resize(out.len().next_multiple_of(8), 0);
            out.extend_from_slice(&[8, 1, b'g', 0, self.arguments.len() as u8]);
            out.extend(self.arguments.iter().map(|_| b's'));
            out.push(0);
        }
        let fields = ((out.len() - FIXED) as u32).to_le_bytes();
        out[FIXED - 4..FIXED].copy_from_slice(&fields);
        out.resize(out.len().next_multiple_of(8), 0);
        out.extend_from_slice(&body);
        out
    }
}

fn put_u32(out: &mut Vec<u8>, value: usize) {
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(&(value as u32).to_le_bytes());
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_u32(out, text.len());
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: Call<'_> = Call {
        destination: "org.example",
        path: "/org/example",
        interface: "org.example.Peer",
        member: "Ping",
        arguments: &["one", "two"],
    };

    #[test]
    fn a_call_is_read_back_and_never_starts_a_program() {
        let bytes = PING.encode(7);
        assert_eq!(bytes[2] & NO_AUTO_START, NO_AUTO_START);
        assert_eq!(Message::length(&bytes), Ok(Some(bytes.len())));
        let message = Message::parse(&bytes).expect("well formed");
        assert_eq!((message.kind.clone(), message.reply_to), (Kind::Other, None));
        let mut body = message.body("ss").expect("of two texts");
        assert_eq!((body.string(), body.string()), (Ok("one"), Ok("two")));
        assert!(body.byte().is_err(), "there is no more");
        assert!(message.body("s").is_err());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_breaks_the_parser() {
        let bytes = PING.encode(7);
        for end in 0..bytes.len() {
            assert!(Message::parse(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            if let Ok(message) = Message::parse(&flipped) {
                let _ = message.body("ss").map(|mut body| (body.string(), body.string()));
            }
        }
    }

    #[test]
    fn a_message_that_states_a_huge_length_is_refused_before_it_is_read() {
        for (at, what) in [(4, "body"), (12, "header")] {
            for length in [u32::MAX, LARGEST as u32 + 1, LARGEST as u32] {
                let mut bytes = PING.encode(7);
                bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
                assert!(Message::length(&bytes[..FIXED]).is_err(), "{what} of {length}");
            }
        }
        assert_eq!(Message::length(&PING.encode(7)[..FIXED - 1]), Ok(None));
    }

    #[test]
    fn both_byte_orders_are_read() {
        let words = [0x01, 0x02, 0x03, 0x04, 0, 0, 0, 1, 0xff, 0xfe, 0, 0, 0, 0, 0, 9];
        let mut big = Parser::new(&words, true);
        assert_eq!((big.u32(), big.boolean()), (Ok(0x0102_0304), Ok(true)));
        assert_eq!(big.u64(), Ok(0xfffe_0000_0000_0009));
        let mut little = Parser::new(&words, false);
        assert_eq!((little.i32(), little.boolean().is_err()), (Ok(0x0403_0201), true));
    }
}
