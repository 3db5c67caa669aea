//! [`CountedTokens`]: a broken lock service, which counts its tokens on a disk that it does not
//! sync.
//!
//! Its clock still keeps leases apart. But after a crash the count may be an old one, and then two
//! leaders have views of the same number.

use std::collections::HashMap;

use truechimer::fence::FencingToken;
use truechimer::lease::{Command, Decision, Grant, GrantError};
use truechimer::sim::Disk;

use super::layout::Shard;

/// The counted tokens, in place of those of the grantor.
#[derive(Default)]
pub struct CountedTokens {
    of_grantor: HashMap<(Shard, FencingToken), FencingToken>,
    counted: HashMap<(Shard, FencingToken), FencingToken>,
}

/// Lock numbers follow from views, and must not be used twice by this.
const STEP: u64 = 1_000_000_000;

impl CountedTokens {
    /// The command with the grantor's token in place of the counted one.
    pub fn inward(&self, shard: Shard, command: Command) -> Command {
        let real = |token| self.of_grantor.get(&(shard, token)).copied().unwrap_or(token);
        match command {
            Command::Renew { token, number, progress } => {
                Command::Renew { token: real(token), number, progress }
            }
            Command::Transfer { token, number, to } => {
                Command::Transfer { token: real(token), number, to }
            }
            Command::Release { token, number } => Command::Release { token: real(token), number },
            other => other,
        }
    }

    /// The decision with a counted token in place of the grantor's.
    pub fn outward(
        &mut self,
        disk: &Disk,
        shard: Shard,
        decision: Result<Decision, GrantError>,
    ) -> Result<Decision, GrantError> {
        let mut counted = |grant: Grant| Grant { token: self.count(disk, shard, grant), ..grant };
        Ok(match decision? {
            Decision::Granted(grant) => Decision::Granted(counted(grant)),
            Decision::Renewed(grant) => Decision::Renewed(counted(grant)),
            Decision::Transferred(grant) => Decision::Transferred(counted(grant)),
            other => other,
        })
    }

    fn count(&mut self, disk: &Disk, shard: Shard, grant: Grant) -> FencingToken {
        if let Some(&known) = self.counted.get(&(shard, grant.token)) {
            return known;
        }
        let file = format!("tokens.{shard}");
        let bytes = disk.read(&file).and_then(|bytes| bytes.try_into().ok());
        let count = bytes.map_or(0, u64::from_le_bytes) + 1;
        disk.write(file, count.to_le_bytes()); // and no sync
        let token = FencingToken(count * STEP);
        self.counted.insert((shard, grant.token), token);
        self.of_grantor.insert((shard, token), grant.token);
        token
    }
}
