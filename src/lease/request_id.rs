//! [`RequestId`]: tells a request from every other one, and a repeat from a new request.
//!
//! Networks and RPC libraries deliver *at least* once. The second copy of a renewal must not
//! be refused because the first one has been carried out, and the second copy of an old
//! `Acquire` must not grant a lease to a holder that has given it back. So each command
//! carries a number, which rises from command to command of one sender. The grantor decides
//! on each number once, and answers every repeat as it answered the first copy.

use super::holder_id::HolderId;
use crate::fence::FencingToken;

/// Identifies a request. No two requests have the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RequestId {
    /// Who counts the requests.
    pub sender: Sender,
    /// The number of the request. It rises from request to request of one sender.
    #[cfg_attr(feature = "serde", serde(with = "crate::decimal"))]
    pub number: u64,
}

/// Who sent a request: a process without a lease, or a lease.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Sender {
    /// A process that asks for the lease.
    Holder(HolderId),
    /// The lease with this token, which asks to be renewed or ended.
    Lease(FencingToken),
}
