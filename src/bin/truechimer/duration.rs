//! Durations of the command line.

use std::time::Duration;

const EXAMPLES: &str = "write it with a unit, as in 250ms, 1.5s or 2min";

/// The duration that a text names.
///
/// # Errors
///
/// The reason, and how to write it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(format!("a duration cannot be negative; {EXAMPLES}"));
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("a duration needs a unit; {EXAMPLES}"));
    }
    let duration = humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => {
            "it is too long to be counted in nanoseconds".to_owned()
        }
        error => format!("{error}; {EXAMPLES}"),
    })?;
    if duration.is_zero() {
        return Err(format!("it must be more than 0; {EXAMPLES}"));
    }
    Ok(duration)
}
