//! [`Disk`]: what survives a crash is what was fsynced, and perhaps some later writes.

use std::collections::BTreeMap;

use super::random::Random;

/// The files of one node, by name.
///
/// A write is in the page cache until [`sync`](Disk::sync). A crash keeps all that was synced,
/// and a prefix of the later writes, because the kernel may have written some of them. A
/// program must not rely on how many.
///
/// ```
/// use truechimer::sim::Disk;
///
/// let mut disk = Disk::default();
/// disk.write("term", b"7".to_vec());
/// disk.sync();
/// assert_eq!(disk.read("term"), Some(&b"7"[..]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    synced: BTreeMap<String, Vec<u8>>,
    pending: Vec<(String, Option<Vec<u8>>)>,
}

impl Disk {
    /// Replaces a file.
    pub fn write(&mut self, name: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.pending.push((name.into(), Some(content.into())));
    }

    /// Removes a file.
    pub fn remove(&mut self, name: impl Into<String>) {
        self.pending.push((name.into(), None));
    }

    /// The file's content as a running program reads it, including writes not synced yet.
    pub fn read(&self, name: &str) -> Option<&[u8]> {
        let pending = self.pending.iter().rev().find(|(file, _)| file == name);
        match pending {
            Some((_, content)) => content.as_deref(),
            None => self.synced.get(name).map(Vec::as_slice),
        }
    }

    /// Puts all earlier writes on the disk.
    pub fn sync(&mut self) {
        let count = self.pending.len();
        self.write_out(count);
    }

    /// Loses the writes that the kernel had not written out.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let kept = random.below(self.pending.len() as u64 + 1) as usize;
        self.write_out(kept);
        self.pending.clear();
    }

    fn write_out(&mut self, count: usize) {
        for (name, content) in self.pending.drain(..count) {
            match content {
                Some(content) => self.synced.insert(name, content),
                None => self.synced.remove(&name),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_keeps_what_was_synced_and_a_prefix_of_the_rest() {
        let mut lengths = [0; 4];
        for seed in 0..200 {
            let mut disk = Disk::default();
            disk.write("log", "0");
            disk.sync();
            for entry in ["1", "2", "3"] {
                disk.write("log", entry);
            }
            assert_eq!(disk.read("log"), Some(&b"3"[..]));
            disk.crash(&mut Random::new(seed, 1));
            let kept = disk.read("log").expect("it was synced")[0] - b'0';
            lengths[usize::from(kept)] += 1;
        }
        assert!(lengths.iter().all(|&count| count > 20), "{lengths:?}");
    }

    #[test]
    fn a_removed_file_is_gone_once_synced() {
        let mut disk = Disk::default();
        disk.write("a", "1");
        disk.sync();
        disk.remove("a");
        assert_eq!(disk.read("a"), None);
        disk.sync();
        disk.crash(&mut Random::new(1, 1));
        assert_eq!(disk.read("a"), None);
    }
}
