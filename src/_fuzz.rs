//! What the fuzz targets under `tests/fuzz/` run that is not public.
//!
//! A fuzzing build sets `cfg(fuzzing)`. Without it only the crate's own tests contain this module.

use crate::durable::{Kind, decode, encode};

/// A record's file. What is accepted is exactly what would be written.
pub fn record(bytes: &[u8]) {
    for kind in [Kind(*b"hlc-mark"), Kind(*b"fence\0\0\0")] {
        match decode(bytes, kind, "record") {
            Ok(value) => assert_eq!(bytes, encode(kind, value)),
            Err(error) => assert!(!error.to_string().is_empty() && !error.is_transient()),
        }
    }
}

/// A message of the system bus, with a property of systemd-timesyncd.
#[cfg(unix)]
pub fn timesyncd(bytes: &[u8]) {
    crate::source::timesyncd::fuzz(bytes);
}

/// The records of an NTS key server. What is granted keeps to the limits.
#[cfg(feature = "nts")]
pub fn nts_records(bytes: &[u8]) {
    use crate::source::ntp::nts::records::decode;

    match decode(bytes) {
        Ok(Some(granted)) => {
            assert!((1..=8).contains(&granted.cookies.len()), "{granted:?}");
            assert!(granted.cookies.iter().all(|cookie| (1..=1024).contains(&cookie.len())));
            assert!(granted.server.is_none_or(|server| !server.is_empty() && server.is_ascii()));
            assert!(granted.port != Some(0));
        }
        // Whatever comes next cannot change it.
        Ok(None) => assert!(bytes.len() <= 16_384),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A reply to an NTS request whose unique identifier was all zeros.
#[cfg(feature = "nts")]
pub fn nts_reply(bytes: &[u8]) {
    use crate::source::ntp::nts::session::NtsSession;

    let mut session = NtsSession::awaiting([0; 32]);
    let checked = session.check(bytes);
    if let Err(error) = &checked {
        assert!(!error.to_string().is_empty());
        assert!(session.cookies().next().is_none(), "a cookie of nobody knows whom");
    }
    assert!(session.cookies().all(|cookie| (1..=1024).contains(&cookie.len())));
    assert!(checked.is_err() || session.check(bytes).is_err(), "it counts twice");
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::path::Path;

    use super::*;

    #[cfg(feature = "nts")]
    #[test]
    fn stored_files_of_the_nts_targets() {
        each_stored_file("nts_records", nts_records);
        each_stored_file("nts_reply", nts_reply);
    }

    fn each_stored_file(target: &str, run: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder).expect("the corpus").collect();
        assert!(!files.is_empty(), "{}", folder.display());
        for file in files {
            run(&std::fs::read(file.expect("an entry").path()).expect("a file"));
        }
    }

    #[test]
    fn stored_files_of_the_record_target() {
        each_stored_file("record", record);
    }

    #[cfg(unix)]
    #[test]
    fn stored_files_of_the_timesyncd_target() {
        each_stored_file("timesyncd", timesyncd);
    }
}
