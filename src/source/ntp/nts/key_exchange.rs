//! [`NtsKeyExchange`]: agrees on keys and cookies over TLS 1.3 (RFC 8915, section 4).
//!
//! It blocks, so it runs on a thread that does nothing else. All of it has one time limit but for
//! the resolver of names, which has limits of its own.
//!
//! Whether a certificate is valid *now* is judged by the host's clock, since there is no other
//! before the first exchange. On a host whose clock is wrong by months every certificate is
//! expired, or not valid yet. The error says which moment was taken for now.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, ClientConnection, RootCertStore};

use super::super::authenticator::{Established, KeyExchange, NtsError};
use super::records::{self, AES_SIV_CMAC_256, Granted, RecordError};
use super::session::{KEY, NtsSession};

/// Where servers give keys, if no other port is named.
pub(crate) const PORT: u16 = 4460;
/// Where the time server is if the key server names no other port.
const NTP_PORT: u16 = 123;
/// How long a key exchange may take with all addresses of a server.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long one address may take to connect, so that others have their turn.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// So many addresses of one name are tried.
const MAX_ADDRESSES: usize = 4;
const ALPN: &[u8] = b"ntske/1";
const EXPORTER: &[u8] = b"EXPORTER-network-time-security";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("its name cannot be resolved: {0}")]
    Resolve(io::Error),
    #[error("its name has no address")]
    NoAddress,
    #[error("{0:?} is neither a name nor an address")]
    Name(String),
    #[error("{at} cannot be reached: {error}")]
    Connect { at: SocketAddr, error: io::Error },
    #[error("it has not given keys within {0:?}")]
    TimedOut(Duration),
    #[error("its certificate is not valid now, by this host's own clock: {0}")]
    NotValidNow(CertificateError),
    #[error(
        "its certificate is of no authority that is trusted here: {0}. If it is a private one, give \
         its certificate with `ntp_nts_authorities`"
    )]
    Authority(CertificateError),
    #[error("its certificate is for another name: {0}")]
    OtherName(CertificateError),
    #[error("its certificate is refused: {0}")]
    Certificate(CertificateError),
    #[error(
        "this host has no certificates of authorities: {0}. Give some with `ntp_nts_authorities`"
    )]
    NoAuthorities(String),
    #[error("it does not speak ntske/1, so it gives no keys for NTP")]
    OtherProtocol,
    #[error("TLS 1.3 with it fails: {0}")]
    Tls(rustls::Error),
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    #[error("it closed the connection before the end of its answer")]
    EndedEarly,
    #[error("{0}")]
    Records(#[from] RecordError),
}

impl From<ExchangeError> for NtsError {
    fn from(error: ExchangeError) -> NtsError {
        NtsError::KeyExchange(error.to_string())
    }
}

/// Whose word on a server's name is taken.
#[derive(Clone, Debug)]
enum Authorities {
    /// Those that this system trusts, as they are at each exchange.
    System,
    /// Only these.
    Only(Arc<RootCertStore>),
}

/// Key exchanges with servers whose certificates are signed by trusted authorities.
#[derive(Clone, Debug)]
pub(crate) struct NtsKeyExchange {
    authorities: Authorities,
    time_limit: Duration,
}

/// Why certificates of authorities cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthoritiesError {
    /// There is none.
    #[error("there is no certificate in it: one begins with -----BEGIN CERTIFICATE-----")]
    None,
    /// Not PEM.
    #[error("it cannot be read as PEM: {0}")]
    Pem(String),
    /// PEM that has no certificate in it.
    #[error("certificate {number} in it is malformed: {why}")]
    Malformed {
        /// Which one, counted from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
}

impl NtsKeyExchange {
    /// Trusts the authorities that this system trusts: the certificates in `/etc/ssl`, or the
    /// system's store.
    pub(crate) fn new() -> NtsKeyExchange {
        NtsKeyExchange { authorities: Authorities::System, time_limit: TIME_LIMIT }
    }

    /// Trusts the authorities whose certificates these are, in PEM, and no others.
    pub(crate) fn trusting_only(pem: &[u8]) -> Result<NtsKeyExchange, AuthoritiesError> {
        let mut store = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let certificate = certificate.map_err(|e| AuthoritiesError::Pem(e.to_string()))?;
            let malformed = |why: rustls::Error| AuthoritiesError::Malformed {
                number: index + 1,
                why: why.to_string(),
            };
            store.add(certificate).map_err(malformed)?;
        }
        if store.is_empty() {
            return Err(AuthoritiesError::None);
        }
        let authorities = Authorities::Only(Arc::new(store));
        Ok(NtsKeyExchange { authorities, time_limit: TIME_LIMIT })
    }

    #[cfg(test)]
    pub(super) fn time_limit(mut self, limit: Duration) -> NtsKeyExchange {
        self.time_limit = limit;
        self
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, ExchangeError> {
        match &self.authorities {
            Authorities::Only(store) => Ok(store.clone()),
            Authorities::System => {
                let found = rustls_native_certs::load_native_certs();
                let mut store = RootCertStore::empty();
                // A store has odd certificates too; a server's is refused if its one is missing.
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
                    let why = match errors.is_empty() {
                        true => "none was found".to_owned(),
                        false => errors.join("; "),
                    };
                    return Err(ExchangeError::NoAuthorities(why));
                }
                Ok(Arc::new(store))
            }
        }
    }

    fn config(&self, provider: Arc<CryptoProvider>) -> Result<Arc<ClientConfig>, ExchangeError> {
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(ExchangeError::Tls)?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Each exchange is to give keys of its own.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Keys from the server of this name or address.
    pub(crate) fn exchange(&self, host: &str, port: u16) -> Result<Keys, ExchangeError> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| ExchangeError::Name(host.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let config = self.config(provider.clone())?;
        let addresses = (host, port).to_socket_addrs().map_err(ExchangeError::Resolve)?;
        let deadline = Instant::now() + self.time_limit;
        let mut first_error = None;
        // An address that nobody listens at (usually an IPv6 one) hides no better reason.
        let is_better = |than: &Option<ExchangeError>| {
            matches!(than, None | Some(ExchangeError::Connect { .. }))
        };
        for at in addresses.take(MAX_ADDRESSES) {
            let session = ClientConnection::new(config.clone(), name.clone());
            let session = session.map_err(ExchangeError::Tls)?;
            match self.exchange_at(at, session, deadline, provider.secure_random) {
                Ok(keys) => return Ok(keys),
                Err(error) if is_better(&first_error) => first_error = Some(error),
                Err(_) => {}
            }
        }
        Err(first_error.unwrap_or(ExchangeError::NoAddress))
    }

    fn exchange_at(
        &self,
        at: SocketAddr,
        mut tls: ClientConnection,
        deadline: Instant,
        random: &'static dyn rustls::crypto::SecureRandom,
    ) -> Result<Keys, ExchangeError> {
        let limit = remaining(deadline).map_err(|_| ExchangeError::TimedOut(self.time_limit))?;
        let tcp = TcpStream::connect_timeout(&at, limit.min(CONNECT_LIMIT))
            .map_err(|error| ExchangeError::Connect { at, error })?;
        let _ = tcp.set_nodelay(true);
        let mut tcp = Limited { tcp, deadline };
        let failed = |error| self.failed(error);
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp).map_err(failed)?;
        }
        // A server that does not know what ALPN is goes on without it.
        if tls.alpn_protocol() != Some(ALPN) {
            return Err(ExchangeError::OtherProtocol);
        }
        let granted = self.ask(&mut rustls::Stream::new(&mut tls, &mut tcp))?;
        let key = |direction: u8| {
            let [high, low] = AES_SIV_CMAC_256.to_be_bytes();
            // NTPv4 is protocol 0.
            let context = [0, 0, high, low, direction];
            tls.export_keying_material([0; KEY], EXPORTER, Some(&context))
        };
        let request_key = key(0).map_err(ExchangeError::Tls)?;
        let reply_key = key(1).map_err(ExchangeError::Tls)?;
        tls.send_close_notify();
        // The keys are there, so a server that has closed already does not matter.
        let _ = tls.complete_io(&mut tcp);
        let session = NtsSession::new(request_key, reply_key, granted.cookies, random);
        Ok(Keys {
            server: granted.server,
            // The address, because another of the name's may not know the cookies.
            key_server: at.ip(),
            port: granted.port.unwrap_or(NTP_PORT),
            session,
        })
    }

    /// Sends the request, and reads as far as the end of the answer.
    fn ask(&self, stream: &mut (impl Read + Write)) -> Result<Granted, ExchangeError> {
        let failed = |error| self.failed(error);
        stream.write_all(&records::request()).map_err(failed)?;
        stream.flush().map_err(failed)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let length = match stream.read(&mut piece) {
                // A server that closes without TLS's goodbye: what is missing is the end.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => 0,
                read => read.map_err(failed)?,
            };
            answer.extend(&piece[..length]);
            match records::decode(&answer)? {
                Some(granted) => return Ok(granted),
                None if length == 0 => return Err(ExchangeError::EndedEarly),
                None => {}
            }
        }
    }

    /// What an error of the connection means. TLS's own are inside of it.
    fn failed(&self, error: io::Error) -> ExchangeError {
        if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock) {
            return ExchangeError::TimedOut(self.time_limit);
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner.cloned() {
            None if error.kind() == ErrorKind::UnexpectedEof => ExchangeError::EndedEarly,
            None => ExchangeError::Broke(error),
            Some(rustls::Error::InvalidCertificate(why)) => certificate(why),
            Some(rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol)) => {
                ExchangeError::OtherProtocol
            }
            Some(error) => ExchangeError::Tls(error),
        }
    }
}

/// What is wrong with a certificate, and so what can be done.
fn certificate(why: CertificateError) -> ExchangeError {
    match why {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => ExchangeError::NotValidNow(why),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            ExchangeError::OtherName(why)
        }
        CertificateError::UnknownIssuer => ExchangeError::Authority(why),
        other => ExchangeError::Certificate(other),
    }
}

/// Keys and cookies, and where they are good for something.
pub(crate) struct Keys {
    pub(crate) server: Option<String>,
    pub(crate) key_server: IpAddr,
    pub(crate) port: u16,
    pub(crate) session: NtsSession,
}

impl KeyExchange for NtsKeyExchange {
    fn establish(&self, host: &str, port: u16) -> Result<Established, NtsError> {
        let Keys { server, key_server, port, session } = self.exchange(host, port)?;
        let host = server.unwrap_or_else(|| key_server.to_string());
        Ok(Established { host, port, authenticator: Box::new(session) })
    }
}

/// A connection that has until a moment, however slowly the other side sends.
struct Limited {
    tcp: TcpStream,
    deadline: Instant,
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    // A limit of 0 would mean none.
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
}

impl Read for Limited {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(remaining(self.deadline)?))?;
        self.tcp.read(bytes)
    }
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(remaining(self.deadline)?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
