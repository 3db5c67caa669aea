//! What authenticates an exchange with a server of NTS.

use crate::mutant::Broken::{self, Promise};
use crate::mutant::{Mutant, unit, unit_nts};
use crate::patched::Change;

const KEY_EXCHANGE: &str = "src/source/ntp/nts/key_exchange.rs";
const RECORDS: &str = "src/source/ntp/nts/records.rs";
const SOCKET: &str = "src/source/ntp/socket.rs";
const SESSION: &str = "src/source/ntp/nts/session.rs";

const AUTHENTIC: Broken = Promise("a reply of an NTS server counts only if it is authentic");
const CERTIFIED: Broken = Promise("keys are agreed on with the server of that name alone");
const UNDERSTOOD: Broken = Promise("an answer that is not understood gives no keys");
const UNLINKED: Broken = Promise("nobody can tell that two requests are of one client");

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "nts-identifier-not-compared",
        breaks: AUTHENTIC,
        harm: "an old reply, recorded on the way, is taken for the answer to a new request",
        changes: &[Change {
            file: SESSION,
            from: "self.awaited.as_ref().is_none_or(|awaited| awaited.as_slice() != identifier)",
            to: "self.awaited.is_none() && identifier.is_empty()",
        }],
        caught_by: unit_nts(&["replies_that_do_not_count"]),
    },
    Mutant {
        name: "nts-authenticator-not-required",
        breaks: AUTHENTIC,
        harm: "whoever strips the authenticator can change the packet as they like",
        changes: &[Change {
            file: SESSION,
            from: "let encrypted = self.decrypt(packet, authenticator.ok_or(ReplyError::NoAuthenticator)?)?;",
            to: "let encrypted = match authenticator {
                Some(field) => self.decrypt(packet, field)?,
                None => Vec::new(),
            };",
        }],
        caught_by: unit_nts(&["replies_that_do_not_count"]),
    },
    Mutant {
        name: "nts-wrong-authenticator-accepted",
        breaks: AUTHENTIC,
        harm: "a packet that was changed on the way counts",
        changes: &[Change {
            file: SESSION,
            from: "decrypted.map_err(|_| ReplyError::WrongAuthenticator)",
            to: "decrypted.or(Ok(Vec::new()))",
        }],
        caught_by: unit_nts(&["a_reply_of_which_any_byte_was_changed_does_not_count"]),
    },
    Mutant {
        name: "nts-reply-counts-twice",
        breaks: AUTHENTIC,
        harm: "a reply that was recorded answers the same request again, later",
        changes: &[Change {
            file: SESSION,
            from: "self.awaited = None;\n        self.is_refused = false;",
            to: "self.is_refused = false;",
        }],
        caught_by: unit_nts(&["replies_that_do_not_count"]),
    },
    Mutant {
        name: "nts-reads-beyond-the-authenticator",
        breaks: AUTHENTIC,
        harm: "fields that anybody can append count as the server's",
        changes: &[Change {
            file: SESSION,
            from: "authenticator = Some(field);\n                    break;",
            to: "authenticator = Some(field);",
        }],
        caught_by: unit_nts(&[
            "replies_that_do_not_count",
            "what_follows_the_authenticator_is_not_read",
        ]),
    },
    Mutant {
        name: "nts-cookies-in-the-clear",
        breaks: UNLINKED,
        harm: "everybody on the way sees the next request's cookie, and knows the client by it",
        changes: &[Change {
            file: SESSION,
            from: "extension::fields(&encrypted, 0)",
            to: "extension::fields(packet, HEADER)",
        }],
        caught_by: unit_nts(&["a_cookie_that_is_not_encrypted_is_not_taken"]),
    },
    Mutant {
        name: "nts-cookie-used-again",
        breaks: UNLINKED,
        harm: "two requests with one cookie are seen to be of one client, wherever it is",
        changes: &[Change {
            file: SESSION,
            from: "self.cookies.pop_front()",
            to: "self.cookies.front().cloned()",
        }],
        caught_by: unit_nts(&["identifiers_nonces_and_cookies_are_never_repeated"]),
    },
    Mutant {
        name: "nts-kiss-of-anybody",
        breaks: AUTHENTIC,
        harm: "anybody who can send packets makes a client exchange keys all the time",
        changes: &[Change {
            file: SESSION,
            from: "if self.awaited.as_ref()",
            to: "if header[STRATUM] != 0 && self.awaited.as_ref()",
        }],
        caught_by: unit_nts(&["ntsn_with_our_identifier_and_no_better_reply_asks_for_new_keys"]),
    },
    Mutant {
        name: "nts-kiss-is-ignored",
        breaks: Promise("a server that has forgotten its cookies is asked for new ones"),
        harm: "after a server's restart its client stays silent until its cookies are used up",
        changes: &[Change { file: SESSION, from: "self.is_refused = true;", to: "" }],
        caught_by: unit_nts(&["ntsn_with_our_identifier_and_no_better_reply_asks_for_new_keys"]),
    },
    Mutant {
        name: "nts-forged-kiss-voids-cookies",
        breaks: AUTHENTIC,
        harm: "who sees requests can keep a client from time, though the server answers it",
        changes: &[Change { file: SESSION, from: "self.is_refused = false;", to: "" }],
        caught_by: unit_nts(&["an_authentic_reply_after_ntsn_shows_that_it_was_forged"]),
    },
    Mutant {
        name: "nts-unknown-critical-record",
        breaks: UNDERSTOOD,
        harm: "keys are used otherwise than the server means it",
        changes: &[Change {
            file: RECORDS,
            from: "unknown if record.is_critical =>",
            to: "unknown if unknown == u16::MAX =>",
        }],
        caught_by: unit_nts(&["answers_that_grant_nothing"]),
    },
    Mutant {
        name: "nts-warning-ignored",
        breaks: UNDERSTOOD,
        harm: "the server warns of something, and its keys are used",
        changes: &[Change {
            file: RECORDS,
            from: "WARNING => return Err(RecordError::Warning(record.number()?)),",
            to: "WARNING => {}",
        }],
        caught_by: unit_nts(&["answers_that_grant_nothing"]),
    },
    Mutant {
        name: "nts-any-algorithm",
        breaks: UNDERSTOOD,
        harm: "keys of another algorithm authenticate nothing that the server would accept",
        changes: &[Change {
            file: RECORDS,
            from: "if algorithms != [AES_SIV_CMAC_256]",
            to: "if algorithms.is_empty()",
        }],
        caught_by: unit_nts(&["answers_that_grant_nothing"]),
    },
    Mutant {
        name: "nts-endless-answer",
        breaks: Promise("a server cannot use up its client's memory"),
        harm: "a key server that never ends its answer fills the memory",
        changes: &[Change {
            file: RECORDS,
            from: "if message.len() > MAX_MESSAGE { Err(RecordError::TooLong) } else { Ok(None) }",
            to: "Ok(None)",
        }],
        caught_by: unit_nts(&["an_answer_without_an_end_has_a_limit"]),
    },
    Mutant {
        name: "nts-any-certificate",
        breaks: CERTIFIED,
        harm: "whoever is on the way hands out keys in the server's place, and then times",
        changes: &[
            Change {
                file: KEY_EXCHANGE,
                from: ".with_root_certificates(self.roots()?)",
                to: ".dangerous().with_custom_certificate_verifier(Arc::new(Anyone))",
            },
            Change {
                file: KEY_EXCHANGE,
                from: "/// Keys and cookies, and where they are good for something.",
                to: ANYONE,
            },
        ],
        caught_by: unit_nts(&["certificates_that_are_not_believed"]),
    },
    Mutant {
        name: "nts-any-name",
        breaks: CERTIFIED,
        harm: "every owner of a certificate, of whatever name, can take the server's place",
        changes: &[Change {
            file: KEY_EXCHANGE,
            from: "ClientConnection::new(config.clone(), name.clone())",
            to: "ClientConnection::new(config.clone(), ServerName::try_from(\"time.example\").unwrap())",
        }],
        caught_by: unit_nts(&["certificates_that_are_not_believed"]),
    },
    Mutant {
        name: "nts-alpn-not-required",
        breaks: CERTIFIED,
        harm: "a web server of the same name is taken for a key server",
        changes: &[Change {
            file: KEY_EXCHANGE,
            from: "if tls.alpn_protocol() != Some(ALPN)",
            to: "if tls.alpn_protocol().is_some_and(|alpn| alpn != ALPN)",
        }],
        caught_by: unit_nts(&["a_server_that_does_not_choose_ntske_is_refused"]),
    },
    Mutant {
        name: "nts-one-key-for-both-ways",
        breaks: AUTHENTIC,
        harm: "a request that is sent back to the client is authentic",
        changes: &[Change {
            file: KEY_EXCHANGE,
            from: "let reply_key = key(1)",
            to: "let reply_key = key(0)",
        }],
        caught_by: unit_nts(&["both_sides_have_the_same_keys_and_the_cookies_work"]),
    },
    Mutant {
        name: "nts-limit-for-each-byte",
        breaks: Promise("a key exchange has a time limit"),
        harm: "a server that sends a byte now and then occupies the thread for hours",
        changes: &[Change {
            file: KEY_EXCHANGE,
            from: "self.tcp.set_read_timeout(Some(remaining(self.deadline)?))?;",
            to: "self.tcp.set_read_timeout(Some(CONNECT_LIMIT))?;",
        }],
        caught_by: unit_nts(&["a_server_has_so_much_time_however_it_spends_it"]),
    },
    Mutant {
        name: "nts-server-asked-without",
        breaks: AUTHENTIC,
        harm: "a server of NTS is asked, and believed, as any other",
        changes: &[Change {
            file: SOCKET,
            from: "Some(authenticator) => association.with_authenticator(authenticator),",
            to: "Some(_) => association,",
        }],
        caught_by: unit(&["keys_that_are_refused_are_agreed_on_again_later_each_time"]),
    },
    Mutant {
        name: "nts-pool-without-keys",
        breaks: AUTHENTIC,
        harm: "each address of a name is asked, and the keys are lost on the way",
        changes: &[Change { file: SOCKET, from: " && server.keys.is_none()", to: "" }],
        caught_by: unit(&["keys_are_for_one_server_and_not_for_each_address_of_its_name"]),
    },
    Mutant {
        name: "nts-keys-in-a-loop",
        breaks: Promise("a server that gives useless keys is left in peace"),
        harm: "a client exchanges keys with each request, which costs the server a signature",
        changes: &[Change {
            file: SOCKET,
            from: "self.associations.clear();\n            self.list_later();",
            to: "self.associations.clear();\n            self.listed_ns = None;",
        }],
        caught_by: unit(&["keys_that_are_refused_are_agreed_on_again_later_each_time"]),
    },
];

/// A verifier that lets everybody pass.
const ANYONE: &str = "#[derive(Debug)]
struct Anyone;

impl rustls::client::danger::ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Keys and cookies, and where they are good for something.";
