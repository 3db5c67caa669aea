//! [`Authenticator`]: what proves that a reply comes from the server that was asked.
//!
//! Plain NTP has one protection: the reply repeats 64 random bits of the request. Whoever is on
//! the way sees them, and can answer in the server's place. So an association may be given an
//! authenticator, which adds extension fields to the request and checks those of the reply.
//! Without one, any reply that repeats the random bits is the server's.
//!
//! The client calls both parts on threads of its own, never on the clock's thread. An
//! [`Authenticator`] is called between the two readings of the counter that bracket an exchange,
//! so it must only compute. A [`KeyExchange`] may block, within a time limit of its own.

use std::fmt;

use super::packet::HEADER;

/// What authenticates the exchanges with one server.
pub(crate) trait Authenticator: Send {
    /// The packet to send: `header` first and unchanged, then the extension fields.
    ///
    /// It is called once for each request, before the counter is read.
    ///
    /// # Errors
    ///
    /// If nothing can be sealed now. [`NtsError::needs_key_exchange`] says whether new keys help.
    fn seal(&mut self, header: &[u8; HEADER]) -> Result<Vec<u8>, NtsError>;

    /// Checks a whole reply, which has at least a header that repeats the last request's random
    /// bits.
    ///
    /// # Errors
    ///
    /// If it is not authentic. The association drops it then, and goes on waiting, except that
    /// [`NtsError::needs_key_exchange`] ends the exchange. It changes nothing that a later,
    /// authentic reply to the same request needs.
    fn open(&mut self, packet: &[u8]) -> Result<(), NtsError>;
}

/// Agrees on keys with a server, at the beginning and whenever they are used up.
pub(crate) trait KeyExchange: Send + Sync {
    /// Agrees on keys with the server of this name or address and port. It may block for some
    /// seconds, because it runs on a thread that does nothing else.
    ///
    /// # Errors
    ///
    /// If there are no keys: the server cannot be reached, its certificate is wrong, or it refuses.
    fn establish(&self, host: &str, port: u16) -> Result<Established, NtsError>;
}

/// The result of a key exchange: where the time server answers, and with what.
pub(crate) struct Established {
    /// The name or address of the server that has the time; often another than was asked.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// What seals the requests to it.
    pub(crate) authenticator: Box<dyn Authenticator>,
}

impl fmt::Debug for Established {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Established { host, port, .. } = self;
        f.debug_struct("Established")
            .field("host", host)
            .field("port", port)
            .finish_non_exhaustive()
    }
}

/// Why an exchange is not authenticated.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NtsError {
    /// There are no keys: the server could not be reached, or its certificate is wrong.
    #[error("no keys could be agreed on with the server: {0}")]
    KeyExchange(String),
    /// Every cookie is used up.
    #[error("every cookie of the last key exchange is used up: new keys have to be agreed on")]
    NoCookie,
    /// The server no longer knows its own cookie (NTSN).
    #[error(
        "the server does not accept its own cookie any more (NTSN): new keys have to be agreed on"
    )]
    Refused,
    /// The reply's authenticator is missing or wrong.
    #[error("the reply is not authentic: {0}")]
    NotAuthentic(String),
}

impl NtsError {
    /// Whether the association needs new keys.
    pub fn needs_key_exchange(&self) -> bool {
        match self {
            NtsError::KeyExchange(_) | NtsError::NoCookie | NtsError::Refused => true,
            NtsError::NotAuthentic(_) => false,
        }
    }
}
