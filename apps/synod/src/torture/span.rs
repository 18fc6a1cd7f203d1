//! Lengths of time as people write them: `90s`, `2h`, `1h30m`.

use std::time::Duration;

/// Reads one.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write 90s, 10m, 2h or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit = rest[digits..].chars().next().ok_or_else(wrong)?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        total += Duration::from_secs(seconds) * number;
        rest = &rest[digits + unit.len_utf8()..];
    }
    if total.is_zero() { Err(wrong()) } else { Ok(total) }
}

/// Writes one, in whole seconds.
pub(crate) fn show(time: Duration) -> String {
    let seconds = time.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds:02}s"),
        (_, _) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read() {
        let seconds = |text| parse(text).map(|time| time.as_secs());
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("2h"), Ok(7_200));
        assert_eq!(seconds("1h30m5s"), Ok(5_405));
        for wrong in ["", "5", "h", "-1s", "0m", "2 h", "3w", "99999999999s", "5µ"] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for time in [1, 59, 60, 3_599, 3_600, 100_000].map(Duration::from_secs) {
            assert_eq!(parse(&show(time)), Ok(time));
        }
    }
}
