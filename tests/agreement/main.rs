//! Agreement between clocks: of one node, and of the members of a cluster.

mod attacks;
mod peers;
mod rules;
