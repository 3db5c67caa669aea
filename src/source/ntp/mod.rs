pub(crate) mod authenticator;
#[cfg(feature = "nts")]
pub(crate) mod nts;
pub(crate) mod packet;
