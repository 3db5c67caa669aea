//! The crate's types as JSON.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use truechimer::FencingToken;
use truechimer::lease::{Command, Decision, DurationGrant, Grant, GrantError, Grantor, HolderId};
use truechimer::{Interval, Timestamp};

/// Each type, from the same text.
pub fn json(bytes: &[u8]) {
    read_back::<truechimer::Timestamp>(bytes);
    read_back::<truechimer::Interval>(bytes);
    read_back::<truechimer::Utc>(bytes);
    read_back::<truechimer::UnixTime>(bytes);
    read_back::<truechimer::GpsTime>(bytes);
    read_back::<truechimer::NtpTime>(bytes);
    read_back::<truechimer::NtpDate>(bytes);
    read_back::<truechimer::PtpTime>(bytes);
    read_back::<truechimer::Smear>(bytes);
    read_back::<truechimer::Smeared>(bytes);
    read_back::<truechimer::ScaleInterval<truechimer::UnixTime>>(bytes);
    read_back::<truechimer::ScaleInterval<truechimer::Smeared>>(bytes);
    read_back::<truechimer::Stamp>(bytes);
    read_back::<truechimer::NodeUid>(bytes);
    read_back::<truechimer::NodeStamp>(bytes);
    read_back::<truechimer::FencingToken>(bytes);
    read_back::<truechimer::fence::StaleToken>(bytes);
    read_back::<truechimer::fence::KeyedSnapshot<String>>(bytes);
    read_back::<truechimer::Deadline>(bytes);
    read_back::<truechimer::timeout::IdempotencyKey>(bytes);
    read_back::<truechimer::pause::PauseKind>(bytes);
    read_back::<truechimer::peers::Nonce>(bytes);
    read_back::<Decision>(bytes);
    read_back::<DurationGrant>(bytes);
    read_back::<Grant>(bytes);
    read_back::<GrantError>(bytes);
    // A stored grantor may hold any numbers, and must then decide on any command.
    if let Some(grantor) = read_back::<Grantor>(bytes) {
        let (token, number) = (grantor.last_token(), u64::MAX);
        let commands = [
            Command::Acquire { holder: HolderId(1), number, seen: FencingToken(u64::MAX) },
            Command::Renew { token, number, progress: u64::MAX },
            Command::Transfer { token, number, to: HolderId(2) },
            Command::Release { token, number },
            Command::Expire,
        ];
        decide(&grantor, &commands);
    }
    if let Some(command) = read_back::<Command>(bytes) {
        let now = Interval::from(Timestamp::from_tai_nanos(0));
        let grantor = Grantor::after_restart(truechimer::lease::MAX_TERM, &now);
        decide(&grantor.expect("a term in range"), &[command]);
    }
}

fn decide(grantor: &Grantor, commands: &[Command]) {
    let expires = grantor.current().map_or(Timestamp::from_tai_nanos(0), |grant| grant.expires);
    let moments = [Timestamp::MIN, expires, Timestamp::MAX].map(Interval::from);
    let readings = moments.into_iter().chain([Interval::EVERYTHING]).map(Some);
    for now in readings.chain([None]) {
        for &command in commands {
            let mut grantor = grantor.clone();
            let _ = grantor.apply(now, command);
            let _ = grantor.after_lost_updates(&now.unwrap_or(Interval::EVERYTHING));
        }
    }
}

/// What is read is written, and read back as the same.
fn read_back<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("it can be written");
    let read: T = serde_json::from_slice(&written).expect("it can be read back");
    assert_eq!(read, value);
    Some(value)
}
