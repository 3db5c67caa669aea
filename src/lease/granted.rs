//! [`Granted`]: a lease on some time line, as the rules for granting make it.

use super::holder_id::HolderId;
use crate::fence::FencingToken;

/// A lease that was granted, renewed or transferred.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Granted<T> {
    pub(super) holder: HolderId,
    pub(super) token: FencingToken,
    pub(super) expires: T,
}
