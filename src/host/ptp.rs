//! [`PtpDevice`]: the clock of a network card or a hypervisor, as `/dev/ptpN` shows it.
//!
//! Nothing is decided here. One call asks the driver for one reading, which the kernel brackets
//! with the wall clock. Some drivers also answer `PTP_SYS_OFFSET_PRECISE`, which pairs the device's
//! time with `CLOCK_MONOTONIC_RAW` at one moment: by hardware that stamps both, or because the
//! device is the hypervisor's own clock.

#[cfg(not(target_os = "linux"))]
use std::{io, path::Path};

/// One reading of the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing makes one there"))]
pub(crate) struct PtpReading {
    /// `CLOCK_REALTIME` before the device was read, in ns of Unix time.
    pub(crate) realtime_before_ns: i64,
    /// What the device showed, in ns since 1970 on its own scale.
    pub(crate) clock_ns: i64,
    /// `CLOCK_REALTIME` after it.
    pub(crate) realtime_after_ns: i64,
    /// `CLOCK_MONOTONIC_RAW` at the very moment, where the driver pairs the two.
    pub(crate) raw_ns: Option<i64>,
}

/// An open `/dev/ptpN`.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nothing makes one there"))]
pub(crate) struct PtpDevice {
    #[cfg(target_os = "linux")]
    file: std::fs::File,
}

#[cfg(not(target_os = "linux"))]
impl PtpDevice {
    /// There are no such devices here.
    pub(crate) fn open(_path: &Path) -> io::Result<PtpDevice> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Its number as sysfs writes it.
    pub(crate) fn number(&self) -> io::Result<String> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads it once.
    pub(crate) fn read(&self) -> io::Result<PtpReading> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Reads it together with the raw clock.
    pub(crate) fn read_precise(&self) -> io::Result<PtpReading> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{is_gone, is_passing};

/// Whether this error says that the device is no longer there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_gone(_error: &io::Error) -> bool {
    false
}

/// Whether the device may answer at the next try.
#[cfg(not(target_os = "linux"))]
pub(crate) fn is_passing(_error: &io::Error) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::OpenOptions;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use super::{PtpDevice, PtpReading};

    /// `_IOWR('=', 9, struct ptp_sys_offset_extended)`: for both directions it is the same number
    /// on every processor.
    const SYS_OFFSET_EXTENDED: u32 = 0xc4c0_3d09;

    /// `_IOWR('=', 8, struct ptp_sys_offset_precise)`.
    const SYS_OFFSET_PRECISE: u32 = 0xc040_3d08;

    /// The kernel's `struct ptp_clock_time`.
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct PtpClockTime {
        seconds: i64,
        nanos: u32,
        reserved: u32,
    }

    impl PtpClockTime {
        fn nanos(self) -> io::Result<i64> {
            if self.nanos >= 1_000_000_000 {
                return Err(io::Error::other("it showed a fraction of more than a second"));
            }
            Ok(self.seconds.saturating_mul(1_000_000_000).saturating_add(self.nanos.into()))
        }
    }

    /// The kernel's `struct ptp_sys_offset_extended`.
    #[repr(C)]
    struct PtpSysOffsetExtended {
        samples: u32,
        /// By which clock readings are bracketed. 0 is `CLOCK_REALTIME`, and before Linux 6.12
        /// nothing else is allowed.
        clock: i32,
        reserved: [u32; 2],
        times: [[PtpClockTime; 3]; 25],
    }

    /// The kernel's `struct ptp_sys_offset_precise`.
    #[repr(C)]
    #[derive(Default)]
    struct PtpSysOffsetPrecise {
        device: PtpClockTime,
        realtime: PtpClockTime,
        raw: PtpClockTime,
        reserved: [u32; 4],
    }

    impl PtpDevice {
        /// Opens it for reading, which needs no privilege beside that.
        pub(crate) fn open(path: &Path) -> io::Result<PtpDevice> {
            if !std::fs::metadata(path)?.file_type().is_char_device() {
                return Err(io::Error::from_raw_os_error(libc::ENOTTY));
            }
            let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
            Ok(PtpDevice { file })
        }

        /// Its number as sysfs writes it: `major:minor`.
        pub(crate) fn number(&self) -> io::Result<String> {
            let device = self.file.metadata()?.rdev();
            Ok(format!("{}:{}", libc::major(device), libc::minor(device)))
        }

        /// Reads it once. It may block for as long as the driver takes.
        pub(crate) fn read(&self) -> io::Result<PtpReading> {
            let mut offset = PtpSysOffsetExtended {
                samples: 1,
                clock: 0,
                reserved: [0; 2],
                times: [[PtpClockTime::default(); 3]; 25],
            };
            let request = SYS_OFFSET_EXTENDED as _;
            // SAFETY: the kernel reads and writes one structure of this layout, whose size is in
            // the request's number. A device that is no PTP clock refuses the number, or knows
            // it as one of its own with the same size.
            let result = unsafe { libc::ioctl(self.file.as_raw_fd(), request, &raw mut offset) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            let [before, clock, after] = offset.times[0];
            Ok(PtpReading {
                realtime_before_ns: before.nanos()?,
                clock_ns: clock.nanos()?,
                realtime_after_ns: after.nanos()?,
                raw_ns: None,
            })
        }

        /// Reads it together with the raw clock. Most drivers cannot.
        pub(crate) fn read_precise(&self) -> io::Result<PtpReading> {
            let mut offset = PtpSysOffsetPrecise::default();
            let request = SYS_OFFSET_PRECISE as _;
            // SAFETY: as in `read`, of this structure.
            let result = unsafe { libc::ioctl(self.file.as_raw_fd(), request, &raw mut offset) };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            let PtpSysOffsetPrecise { device, realtime, raw, .. } = offset;
            let realtime_ns = realtime.nanos()?;
            Ok(PtpReading {
                realtime_before_ns: realtime_ns,
                clock_ns: device.nanos()?,
                realtime_after_ns: realtime_ns,
                raw_ns: Some(raw.nanos()?),
            })
        }
    }

    /// Whether this error says that the device is no longer there.
    pub(crate) fn is_gone(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
    }

    /// Whether the device may answer at the next try: it limits how often it is read, or was
    /// interrupted.
    pub(crate) fn is_passing(error: &io::Error) -> bool {
        let passing = [libc::EBUSY, libc::ETIME, libc::ETIMEDOUT, libc::EAGAIN, libc::EINTR];
        error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_structure_is_as_long_as_the_request_says() {
            assert_eq!(
                size_of::<PtpSysOffsetExtended>(),
                (SYS_OFFSET_EXTENDED >> 16 & 0x1fff) as usize
            );
        }

        #[test]
        fn what_is_no_ptp_clock_is_refused() {
            for path in ["/dev/null", "/dev/zero"] {
                let device = PtpDevice::open(Path::new(path)).expect("anybody may");
                let error = device.read().expect_err("not a clock");
                assert_eq!(error.raw_os_error(), Some(libc::ENOTTY), "{path}");
                assert!(!is_gone(&error));
            }
            let folder = PtpDevice::open(Path::new("/")).expect_err("a folder");
            assert_eq!(folder.raw_os_error(), Some(libc::ENOTTY));
            let absent = PtpDevice::open(Path::new("/nonexistent/ptp0")).expect_err("absent");
            assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        }

        #[test]
        fn a_fraction_of_more_than_a_second_is_an_error_and_extremes_saturate() {
            let time = |seconds, nanos| PtpClockTime { seconds, nanos, reserved: 0 }.nanos();
            assert_eq!(time(3, 999_999_999).expect("in range"), 3_999_999_999);
            assert!(time(3, 1_000_000_000).is_err());
            assert_eq!(time(i64::MAX, 0).expect("saturates"), i64::MAX);
            assert_eq!(time(i64::MIN, 5).expect("saturates"), i64::MIN + 5);
        }
    }
}
