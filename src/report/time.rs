//! Moments and durations in words.
//!
//! Owns: `09:14:03Z` and `2m10s`. Must not: read a clock.

use std::time::Duration;

use jiff::Timestamp;

/// Returns the time of day in UTC: `09:14:03Z`.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%SZ").to_string()
}

/// Returns the day and the time in UTC: `2025-04-12 09:14:03Z`.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns the time from `since` to `now`; zero when the clocks disagree.
pub fn between(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// Returns a duration with its two greatest units: `31s`, `2m10s`, `1h05m`, `3d04h`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// Returns how long ago something was, in words.
pub fn ago(since: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(between(since, now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (130, "2m10s"),
            (3900, "1h05m"),
            (273_600, "3d04h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
