//! What nginx must be told besides the upstream so that nobody notices a reload. Pure.

use std::collections::BTreeMap;

use super::config::Version;
use crate::model::Notice;
use crate::text::printable;

/// swap's own file of settings, beside the upstreams.
pub const TUNING_FILE: &str = "swap-tuning.conf";

const KEEPALIVE: &str = "keepalive_min_timeout";
const HEADER: &str = "client_header_timeout";

/// Returns the text of the tuning file: only what nobody has set and what this nginx knows. `None` if nothing is missing.
///
/// `settings` is what [`Configuration::settings`](super::Configuration::settings) tells: what others have set in `http`.
pub fn render(version: Version, settings: &BTreeMap<String, String>) -> Option<String> {
    let mut text = String::new();
    if version.knows_keepalive_min_timeout() && !settings.contains_key(KEEPALIVE) {
        text += "# Without it a reload closes idle connections even while a request is on its way.\n";
        text += "keepalive_min_timeout 1s;\n";
    }
    if !settings.contains_key(HEADER) {
        text += "# A connection that sends nothing keeps its old worker, and so the old container, this long.\n";
        text += "client_header_timeout 5s;\n";
    }
    (!text.is_empty()).then(|| {
        format!("# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.\n{text}")
    })
}

/// Returns whether [`render`]'s text brings what keep-alive clients need at a reload: nginx did not have it before.
pub fn tunes_keepalive(text: &str) -> bool {
    text.contains(KEEPALIVE)
}

/// Returns what the settings cost that are missing, too low or unknown to this nginx, each with what to write.
///
/// `tuned` tells whether [`render`]'s file is or will be in place, so that only what it can't cure is said.
pub(super) fn notices(
    version: Version,
    settings: &BTreeMap<String, String>,
    drain: std::time::Duration,
    tuned: bool,
) -> Vec<Notice> {
    let mut notices = Vec::new();
    match settings.get(KEEPALIVE).map(|value| (value, milliseconds(value))) {
        _ if !version.knows_keepalive_min_timeout() => notices.push(
            Notice::new(format!(
                "nginx {version} closes keep-alive connections at every reload, so clients that do not retry lose some requests"
            ))
            .cure("nginx 1.27.4 or newer with `keepalive_min_timeout 1s;` loses none"),
        ),
        Some((value, Some(0..1000))) => notices.push(
            Notice::new(format!("`keepalive_min_timeout {}` is short: a slow client may lose a request at a reload", printable(value)))
                .cure("write `keepalive_min_timeout 1s;`"),
        ),
        None if !tuned => notices.push(
            Notice::new("`keepalive_min_timeout` is not set, so a reload loses requests of keep-alive clients")
                .cure("write `keepalive_min_timeout 1s;` into the `http` block"),
        ),
        _ => {}
    }
    match settings.get(HEADER).map(|value| (value, milliseconds(value))) {
        Some((value, Some(long))) if u128::from(long) > drain.as_millis() => notices.push(
            Notice::new(format!(
                "`client_header_timeout {}` lets one silent connection keep the old container for longer than the drain's {}",
                printable(value),
                humantime::format_duration(drain)
            ))
            .cure("write `client_header_timeout 5s;`"),
        ),
        None if !tuned => notices.push(
            Notice::new("`client_header_timeout` is not set: one silent connection keeps the old container for 60s")
                .cure("write `client_header_timeout 5s;` into the `http` block"),
        ),
        _ => {}
    }
    if let Some(value) = settings.get("worker_shutdown_timeout")
        && milliseconds(value).is_some_and(|limit| u128::from(limit) < drain.as_millis())
    {
        notices.push(
            Notice::new(format!(
                "`worker_shutdown_timeout {}` cuts downloads and slow requests before the drain's {} are over",
                printable(value),
                humantime::format_duration(drain)
            ))
            .cure("leave `worker_shutdown_timeout` out, or set it above the drain limit"),
        );
    }
    notices
}

/// Reads a time as nginx writes it: `60`, `1s`, `1m 30s`, `500ms`. `None` if it is none.
fn milliseconds(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let unit: u64 = match unit {
            "ms" => 1,
            "" | "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = after.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const OLD: Version = Version(1, 22, 1);
    const NEW: Version = Version(1, 30, 4);

    #[test]
    fn only_what_nobody_has_set_and_nginx_knows_is_written() {
        let title = "# Written by swap, because nobody has set these; set one yourself in `http` and delete this file: swap writes it anew.";
        let keepalive = "# Without it a reload closes idle connections even while a request is on its way.\nkeepalive_min_timeout 1s;";
        let header = "# A connection that sends nothing keeps its old worker, and so the old container, this long.\nclient_header_timeout 5s;";
        assert_eq!(render(NEW, &settings(&[])), Some(format!("{title}\n{keepalive}\n{header}\n")));
        assert_eq!(render(OLD, &settings(&[])), Some(format!("{title}\n{header}\n")));
        assert_eq!(
            render(NEW, &settings(&[("client_header_timeout", "60s")])),
            Some(format!("{title}\n{keepalive}\n"))
        );
        assert_eq!(render(OLD, &settings(&[("client_header_timeout", "60s")])), None);
    }

    #[track_caller]
    fn check(version: Version, set: &[(&str, &str)], tuned: bool, expected: &str) {
        let notices = notices(version, &settings(set), Duration::from_secs(30), tuned);
        let shown =
            notices.iter().map(|Notice { what, cure }| format!("{what}\n  {}\n", cure.as_deref().unwrap_or("")));
        assert_eq!(shown.collect::<String>(), expected);
    }

    #[test]
    fn what_a_reload_costs_is_told_with_what_to_write() {
        check(NEW, &[], true, "");
        check(NEW, &[("keepalive_min_timeout", "1500ms"), ("client_header_timeout", "10")], false, "");
        check(
            NEW,
            &[],
            false,
            "`keepalive_min_timeout` is not set, so a reload loses requests of keep-alive clients
  write `keepalive_min_timeout 1s;` into the `http` block
`client_header_timeout` is not set: one silent connection keeps the old container for 60s
  write `client_header_timeout 5s;` into the `http` block
",
        );
        check(
            OLD,
            &[],
            true,
            "nginx 1.22.1 closes keep-alive connections at every reload, so clients that do not retry lose some requests
  nginx 1.27.4 or newer with `keepalive_min_timeout 1s;` loses none
",
        );
        check(
            NEW,
            &[("keepalive_min_timeout", "0"), ("client_header_timeout", "1m 30s"), ("worker_shutdown_timeout", "10s")],
            false,
            "`keepalive_min_timeout 0` is short: a slow client may lose a request at a reload
  write `keepalive_min_timeout 1s;`
`client_header_timeout 1m 30s` lets one silent connection keep the old container for longer than the drain's 30s
  write `client_header_timeout 5s;`
`worker_shutdown_timeout 10s` cuts downloads and slow requests before the drain's 30s are over
  leave `worker_shutdown_timeout` out, or set it above the drain limit
",
        );
    }

    #[test]
    fn times_are_read_as_nginx_does() {
        for (text, expected) in [
            ("60", Some(60_000)),
            ("1s", Some(1_000)),
            ("500ms", Some(500)),
            ("1m 30s", Some(90_000)),
            ("1h30m", Some(5_400_000)),
            ("", None),
            ("s", None),
            ("1w", None),
            ("ü", None),
            ("99999999999999999999", None),
            ("9999999999999999d", None),
        ] {
            assert_eq!(milliseconds(text), expected, "{text}");
        }
    }
}
