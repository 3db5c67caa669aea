/// The length of a packet without extension fields.
pub const HEADER: usize = 48;
