//! [`Trace`]: the events of a world, in their order.

use std::fmt;
use std::time::Duration;

use super::NodeId;
use super::fault::Fault;

/// Lines, each with the true time since the world began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    lines: Vec<Line>,
    keeps_everything: bool,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// When, since the world began.
    pub at: Duration,
    /// The node that logged it; `None` for faults and the world's own notes.
    pub node: Option<NodeId>,
    /// What happened.
    pub what: String,
}

impl Trace {
    /// All lines, oldest first.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(super) fn keep_everything(&mut self) {
        self.keeps_everything = true;
    }

    pub(super) fn log(&mut self, at: Duration, node: NodeId, what: String) {
        self.lines.push(Line { at, node: Some(node), what });
    }

    pub(super) fn fault(&mut self, at: Duration, fault: &Fault) {
        self.lines.push(Line { at, node: None, what: fault.to_string() });
    }

    pub(super) fn note(&mut self, at: Duration, what: impl FnOnce() -> String) {
        if self.keeps_everything {
            self.lines.push(Line { at, node: None, what: what() });
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            let node = line.node.map_or_else(|| "--".to_owned(), |node| node.to_string());
            writeln!(f, "{:>16.9} s  {node:>5}  {}", line.at.as_secs_f64(), line.what)?;
        }
        Ok(())
    }
}
