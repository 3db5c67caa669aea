//! [`NtsSession`]: seals requests and opens replies with what one key exchange gave.
//!
//! A request carries a unique identifier, a cookie, and an authenticator over all of that and the
//! header. The server keeps nothing about its clients: the cookie has the keys. So each cookie is
//! used once, because an observer could otherwise tell that two requests are of one client, and
//! each reply brings a new one, encrypted. After a lost packet a request has placeholders, which
//! ask for as many cookies as are missing.
//!
//! A reply counts only if its authenticator was made with the server's key over everything before
//! it, and if the identifier is that of the last request. What follows the authenticator is not
//! read, because anybody could have added it.
//!
//! # NTSN
//!
//! A server that cannot read a cookie, because it has a new key of its own, says so by a *kiss*
//! that nothing authenticates. Whoever sees the request can forge one. So the client goes on
//! waiting for an authentic reply, as RFC 8915 recommends (section 5.7). Only if none has come by
//! the next request, the cookies are void, and that request is refused until there are new keys.

use std::collections::VecDeque;

use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;
use rustls::crypto::SecureRandom;

use super::super::authenticator::{self, NtsError};
use super::super::packet::HEADER;
use super::extension::{self, Authenticator, Field, Malformed};
use super::records::{COOKIES, MAX_COOKIE};

/// The length of a key of AES-SIV-CMAC-256.
pub(super) const KEY: usize = 32;
const IDENTIFIER: usize = 32;
const NONCE: usize = 16;
/// No request is longer, so that it is one packet wherever IPv6 works.
const MAX_REQUEST: usize = 1232;
/// Where the header has the stratum, and what the kiss is where the stratum is 0.
const STRATUM: usize = 1;
const KISS: std::ops::Range<usize> = 12..16;

/// The keys and cookies of one key exchange.
pub(crate) struct NtsSession {
    /// Client to server.
    request_key: Aes128Siv,
    /// Server to client.
    reply_key: Aes128Siv,
    cookies: VecDeque<Vec<u8>>,
    /// The identifier of the request whose reply has not come.
    awaited: Option<[u8; IDENTIFIER]>,
    /// The last request was answered by NTSN, and by nothing better since.
    is_refused: bool,
    random: &'static dyn SecureRandom,
}

/// Why a reply does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ReplyError {
    #[error("it has no unique identifier of NTS")]
    NoIdentifier,
    #[error(
        "its unique identifier is not that of the last request, so it is an old reply or another's"
    )]
    NotOurs,
    #[error("it has no authenticator")]
    NoAuthenticator,
    #[error("its authenticator is malformed")]
    MalformedAuthenticator,
    #[error("its authenticator is wrong, so it was changed on the way or is another server's")]
    WrongAuthenticator,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("it is shorter than an NTP packet")]
    Short,
    /// The server cannot read the cookie.
    #[error("it says that the server does not accept the cookie (NTSN), which anybody could say")]
    Kiss,
}

impl From<ReplyError> for NtsError {
    fn from(error: ReplyError) -> NtsError {
        NtsError::NotAuthentic(error.to_string())
    }
}

impl NtsSession {
    /// With the keys of both directions, and cookies in the order in which they are to be used.
    pub(super) fn new(
        request_key: [u8; KEY],
        reply_key: [u8; KEY],
        cookies: Vec<Vec<u8>>,
        random: &'static dyn SecureRandom,
    ) -> NtsSession {
        NtsSession {
            request_key: Aes128Siv::new(&request_key.into()),
            reply_key: Aes128Siv::new(&reply_key.into()),
            cookies: cookies.into(),
            awaited: None,
            is_refused: false,
            random,
        }
    }

    /// One that awaits the reply to a request with this identifier.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn awaiting(identifier: [u8; IDENTIFIER]) -> NtsSession {
        let random = rustls::crypto::ring::default_provider().secure_random;
        let mut session = NtsSession::new([1; KEY], [2; KEY], Vec::new(), random);
        session.awaited = Some(identifier);
        session
    }

    #[cfg(any(test, fuzzing))]
    pub(crate) fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        self.cookies.iter().map(Vec::as_slice)
    }

    fn random<const N: usize>(&self) -> Result<[u8; N], NtsError> {
        let mut bytes = [0; N];
        let filled = self.random.fill(&mut bytes);
        filled.map_err(|_| NtsError::KeyExchange("the system has no random numbers".into()))?;
        Ok(bytes)
    }

    /// Checks a reply, and takes the new cookies out of it.
    pub(crate) fn check(&mut self, packet: &[u8]) -> Result<(), ReplyError> {
        let header = packet.get(..HEADER).ok_or(ReplyError::Short)?;
        let mut identifier = None;
        let mut authenticator = None;
        for field in extension::fields(packet, HEADER) {
            let field = field?;
            match field.kind {
                extension::UNIQUE_IDENTIFIER => {
                    identifier.get_or_insert(field.body);
                }
                extension::AUTHENTICATOR => {
                    authenticator = Some(field);
                    break;
                }
                _ => {}
            }
        }
        let identifier = identifier.ok_or(ReplyError::NoIdentifier)?;
        if self.awaited.as_ref().is_none_or(|awaited| awaited.as_slice() != identifier) {
            return Err(ReplyError::NotOurs);
        }
        if header[STRATUM] == 0 && header[KISS] == *b"NTSN" {
            self.is_refused = true;
            return Err(ReplyError::Kiss);
        }
        let encrypted = self.decrypt(packet, authenticator.ok_or(ReplyError::NoAuthenticator)?)?;
        // From here on it is the server that speaks.
        self.awaited = None;
        self.is_refused = false;
        for field in extension::fields(&encrypted, 0).map_while(Result::ok) {
            let is_usable = (1..=MAX_COOKIE).contains(&field.body.len());
            if field.kind == extension::COOKIE && is_usable && self.cookies.len() < COOKIES {
                self.cookies.push_back(field.body.to_vec());
            }
        }
        Ok(())
    }

    fn decrypt(&mut self, packet: &[u8], field: Field<'_>) -> Result<Vec<u8>, ReplyError> {
        let Authenticator { nonce, encrypted } =
            Authenticator::decode(field.body).ok_or(ReplyError::MalformedAuthenticator)?;
        let authenticated = [&packet[..field.at], nonce];
        let decrypted = self.reply_key.decrypt(authenticated, encrypted);
        decrypted.map_err(|_| ReplyError::WrongAuthenticator)
    }
}

impl authenticator::Authenticator for NtsSession {
    fn seal(&mut self, header: &[u8; HEADER]) -> Result<Vec<u8>, NtsError> {
        if self.is_refused {
            self.cookies.clear();
            self.awaited = None;
            return Err(NtsError::Refused);
        }
        let (identifier, nonce) = (self.random::<IDENTIFIER>()?, self.random::<NONCE>()?);
        let cookie = self.cookies.pop_front().ok_or(NtsError::NoCookie)?;
        let mut packet = header.to_vec();
        extension::push(&mut packet, extension::UNIQUE_IDENTIFIER, &identifier);
        extension::push(&mut packet, extension::COOKIE, &cookie);
        // The reply to the cookie brings one, and so does each placeholder.
        let missing = COOKIES - 1 - self.cookies.len().min(COOKIES - 1);
        let authenticator = extension::length_of(4 + NONCE + extension::TAG);
        let room = MAX_REQUEST.saturating_sub(packet.len() + authenticator);
        for _ in 0..missing.min(room / extension::length_of(cookie.len())) {
            extension::push(&mut packet, extension::COOKIE_PLACEHOLDER, &vec![0; cookie.len()]);
        }
        let authenticated = [packet.as_slice(), nonce.as_slice()];
        let tag = self.request_key.encrypt(authenticated, &[]);
        let tag = tag.map_err(|_| NtsError::NotAuthentic("it cannot be sealed".into()))?;
        let authenticator = Authenticator { nonce: &nonce, encrypted: &tag };
        extension::push(&mut packet, extension::AUTHENTICATOR, &authenticator.encode());
        self.awaited = Some(identifier);
        Ok(packet)
    }

    fn open(&mut self, packet: &[u8]) -> Result<(), NtsError> {
        Ok(self.check(packet)?)
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
