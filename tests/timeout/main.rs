//! Timeouts, failure detection, deadlines, and pauses of this process.

mod deadline;
mod pause;
mod pause_phi;
mod rules;
mod shapes;
