//! Time scales: from the core's TAI to what people and protocols use, and back.

pub mod leap;

pub use leap::LeapTable;
