use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::*;

/// A page as a hypervisor writes it.
fn page(words: [u64; WORDS]) -> (VmClockPage, Arc<[AtomicU64; WORDS]>) {
    let words = Arc::new(words.map(AtomicU64::new));
    (VmClockPage::simulated(&words), words)
}

#[test]
fn each_field_is_where_the_format_has_it() {
    let mut bytes = [0_u8; WORDS * 8];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"VCLK");
    put(4, &104_u32.to_le_bytes());
    put(8, &1_u16.to_le_bytes());
    put(10, &[1, 2]);
    put(12, &44_u32.to_le_bytes());
    put(16, &55_u64.to_le_bytes());
    put(24, &66_u64.to_le_bytes());
    put(34, &[3, 9]);
    put(36, &(-37_i16).to_le_bytes());
    put(38, &[4, 31]);
    for (index, at) in (40..104).step_by(8).enumerate() {
        put(at, &(1_000 + index as u64).to_le_bytes());
    }
    let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("eight"));
    let words = std::array::from_fn(word);
    let fields = VmClockFields {
        size: 104,
        counter_id: 1,
        time_type: 2,
        marker: 55,
        flags: 66,
        status: 3,
        leap_indicator: 4,
        tai_offset: -37,
        shift: 31,
        counter_value: 1_000,
        period: 1_001,
        period_max_error: 1_003,
        seconds: 1_004,
        fraction: 1_005,
        time_max_error_ns: 1_007,
    };
    assert_eq!(VmClockFields::from_words(&words), fields);
    let (page, _) = page(words);
    assert_eq!(page.marker(), 55);
    assert!(page.has_time());
    assert_eq!(page.word(MARKER_WORD).load(), 55);
}

#[test]
fn a_page_that_is_too_short_or_names_no_counter_has_no_time() {
    for (size, counter, has_time) in [(104, 1, true), (103, 1, false), (104, 0xff, false)] {
        let mut words = [0; WORDS];
        words[0] = size << 32;
        words[1] = counter << 16;
        assert_eq!(page(words).0.has_time(), has_time, "{size} {counter}");
    }
}

#[test]
fn a_page_that_is_being_written_is_read_again_and_not_for_ever() {
    let (page, words) = page([0; WORDS]);
    let set_sequence = |n: u64| words[1].store(n << 32, Ordering::Relaxed);
    set_sequence(3);
    assert_eq!(page.read(|| ()), Err(BeingWritten), "an odd number, for ever");
    // The hypervisor writes during the first two attempts.
    set_sequence(4);
    let mut attempts = 0;
    let read = page.read(|| {
        attempts += 1;
        words[5].store(attempts, Ordering::Relaxed);
        if attempts < 3 {
            set_sequence(4 + 2 * attempts);
        }
        attempts
    });
    let (fields, within) = read.expect("the third attempt succeeds");
    assert_eq!((within, fields.counter_value), (3, 2), "what was there before the third");
}

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
mod linux {
    use std::fs::File;
    use std::io::{ErrorKind, Write};
    use std::path::Path;

    use super::super::open::{MAGIC, check_header, open_error};
    use super::*;

    /// The header of a VMClock in 24 bytes.
    fn header(magic: u32, size: u32, version: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(magic.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(version.to_le_bytes());
        bytes.extend([1, 0, 2, 0, 0, 0]);
        bytes.extend(7_u64.to_le_bytes());
        bytes
    }

    #[test]
    fn only_the_format_that_is_known_is_a_vmclock() {
        let cases = [
            (header(MAGIC, 4096, 1), None),
            (header(MAGIC, 24, 1), None),
            (header(MAGIC, 23, 1), Some("size")),
            (header(MAGIC, 0, 1), Some("size")),
            (header(MAGIC, 4096, 0), Some("version")),
            (header(MAGIC, 4096, 2), Some("version")),
            (header(MAGIC.swap_bytes(), 4096, 1), Some("magic")),
            (header(0, 4096, 1), Some("magic")),
            (header(MAGIC, 4096, 1)[..23].to_vec(), Some("23 bytes")),
            (Vec::new(), Some("0 bytes")),
        ];
        for (bytes, wrong) in cases {
            let checked = check_header(&bytes);
            match (checked, wrong) {
                (Ok(()), None) => {}
                (Err(what), Some(word)) => assert!(what.contains(word), "{what}"),
                (checked, wrong) => panic!("{bytes:?}: {checked:?}, and {wrong:?} was expected"),
            }
        }
    }

    /// A file of one page whose first bytes are these.
    fn file(head: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(head).expect("written");
        file.set_len(4096).expect("a page");
        std::io::Seek::rewind(&mut file).expect("a file");
        file
    }

    #[test]
    fn a_mapping_shows_what_others_write_and_outlives_its_file() {
        use std::os::unix::fs::FileExt;

        let file = file(&header(MAGIC, 4096, 1));
        let page = VmClockPage::map_checked(&file, Path::new("page")).expect("a VMClock");
        assert_eq!(page.marker(), 7);
        let word = page.word(MARKER_WORD);
        file.write_all_at(&8_u64.to_le_bytes(), 16).expect("written");
        assert_eq!((page.marker(), word.load()), (8, 8));
        drop((file, page));
        assert_eq!(word.load(), 8, "the word keeps the mapping");
    }

    #[test]
    fn what_is_no_vmclock_is_refused_with_the_reason() {
        let path = Path::new("page");
        let bad = file(&header(MAGIC, 4096, 9));
        let error = VmClockPage::map_checked(&bad, path).expect_err("version 9").to_string();
        assert!(error.contains("version is 9"), "{error}");
        let open = |path: &Path| VmClockPage::open(path).expect_err("none of these is one");
        let absent = open(Path::new("/nonexistent/vmclock0"));
        assert!(matches!(&absent, VmClockError::Absent(_)), "{absent}");
        assert!(absent.to_string().contains("ptp_vmclock"), "{absent}");
        let named = tempfile::NamedTempFile::new().expect("a temporary file");
        assert!(matches!(open(named.path()), VmClockError::NotADevice(_)));
        assert!(matches!(open(Path::new("/tmp")), VmClockError::NotADevice(_)));
        // A device, and not this one.
        let zero = open(Path::new("/dev/zero"));
        assert!(matches!(&zero, VmClockError::Format { .. }), "{zero}");
        let null = open(Path::new("/dev/null"));
        assert!(matches!(&null, VmClockError::Format { .. }), "{null}");
        let denied = std::io::Error::from(ErrorKind::PermissionDenied);
        assert!(matches!(open_error(denied, path), VmClockError::Denied(_)));
        let denied = VmClockError::Denied(path.to_owned()).to_string();
        assert!(denied.contains("chmod") && denied.contains("udev"), "{denied}");
    }
}
