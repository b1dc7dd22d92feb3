//! Lets nothing be deployed outside of an organisation's hours, nor images that it does not want.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `days` | the days, as `mon-thu` or `mon,wed,fri` | every day |
//! | `hours` | the hours, as `09:00-16:30`; they may span midnight | all day |
//! | `offset` | the hours' distance from UTC, as `+02:00` | `+00:00` |
//! | `freeze` | days on which nothing goes, as `2026-12-20..2027-01-06`, separated by white space | none |
//! | `images` | what an image's name must begin with, one of several separated by white space | any |
//! | `operators` | who may deploy at any time, separated by white space | nobody |

use swap_hook::{Context, Error, Failure, Hook, Outcome, config, time};

/// The hook.
pub struct DeployWindow;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

#[swap_hook::export]
impl Hook for DeployWindow {
    fn pre_start(context: &Context) -> Outcome {
        check_image(context)?;
        let operators = config::get_or("operators", "");
        if operators.split_whitespace().any(|operator| operator == context.operator) {
            return Ok(());
        }
        let now = Moment::new(time::now(), offset()?);
        check_freeze(&now)?;
        check_days(&now)?;
        check_hours(&now)
    }
}

/// A local time, as far as windows need it.
struct Moment {
    /// As `2026-01-31`: compares like a date.
    date: String,
    /// 0 is Monday.
    day: usize,
    /// Minutes since midnight.
    minute: u64,
}

impl Moment {
    fn new(seconds: u64, offset_minutes: i64) -> Self {
        let minutes = (seconds / 60).saturating_add_signed(offset_minutes);
        let days = minutes / 1440;
        // 1970-01-01 was a Thursday.
        let day = usize::try_from((days + 3) % 7).unwrap_or(0);
        Self { date: date(days), day, minute: minutes % 1440 }
    }
}

/// Returns the date of a day, counted from 1970-01-01: Howard Hinnant's days-to-civil, with years that begin in March.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn check_image(context: &Context) -> Outcome {
    let image = &context.candidate.image;
    match config::get("images") {
        Some(prefixes) if !prefixes.split_whitespace().any(|prefix| image.starts_with(prefix)) => {
            Err(Failure::new("image", format!("`{image}` may not be deployed (only {prefixes})")))
        }
        _ => Ok(()),
    }
}

fn check_freeze(now: &Moment) -> Outcome {
    for freeze in config::get_or("freeze", "").split_whitespace() {
        let (first, last) = freeze.split_once("..").unwrap_or((freeze, freeze));
        if (first..=last).contains(&now.date.as_str()) {
            return Err(Failure::new("freeze", format!("nothing is deployed from {first} to {last}")));
        }
    }
    Ok(())
}

fn check_days(now: &Moment) -> Outcome {
    let Some(days) = config::get("days") else { return Ok(()) };
    let number = |day: &str| DAYS.iter().position(|known| *known == day.trim().to_ascii_lowercase());
    for part in days.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Err(invalid("days", &days).into());
        };
        let inside =
            if first <= last { (first..=last).contains(&now.day) } else { now.day >= first || now.day <= last };
        if inside {
            return Ok(());
        }
    }
    Err(Failure::new("window", format!("today is {}; deploys go {days}", DAYS[now.day])))
}

fn check_hours(now: &Moment) -> Outcome {
    let Some(hours) = config::get("hours") else { return Ok(()) };
    let (from, until) = hours.split_once('-').ok_or_else(|| invalid("hours", &hours))?;
    let (from, until) = (minutes("hours", from)?, minutes("hours", until)?);
    let inside =
        if from <= until { (from..until).contains(&now.minute) } else { now.minute >= from || now.minute < until };
    if inside {
        return Ok(());
    }
    let (hour, minute) = (now.minute / 60, now.minute % 60);
    Err(Failure::new("window", format!("it is {hour:02}:{minute:02}; deploys go {hours}")))
}

fn offset() -> Result<i64, Error> {
    let text = config::get_or("offset", "+00:00");
    let minutes = i64::try_from(minutes("offset", text.trim_start_matches(['+', '-']))?).unwrap_or(0);
    Ok(if text.starts_with('-') { -minutes } else { minutes })
}

/// Reads `09:30` as minutes.
fn minutes(key: &str, text: &str) -> Result<u64, Error> {
    let read = || {
        let (hours, minutes) = text.trim().split_once(':')?;
        let (hours, minutes): (u64, u64) = (hours.parse().ok()?, minutes.parse().ok()?);
        (hours <= 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    read().ok_or_else(|| invalid(key, text))
}

fn invalid(key: &str, text: &str) -> Error {
    Error { code: "invalid".into(), message: format!("config `{key}`: `{text}` makes no sense") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::World;

    /// Thursday, 2026-01-01 10:30 UTC.
    const THURSDAY: u64 = 1_767_225_600 + 10 * 3600 + 30 * 60;

    fn answer(world: World) -> String {
        world.pre_start::<DeployWindow>().map_or_else(|failure| failure.message, |()| "deploys".into())
    }

    #[test]
    fn dates_are_right() {
        let at = |seconds| Moment::new(seconds, 0);
        assert_eq!(at(0).date, "1970-01-01");
        assert_eq!(at(951_782_400).date, "2000-02-29");
        assert_eq!(at(4_107_542_400).date, "2100-03-01");
        assert_eq!((at(THURSDAY).date.as_str(), DAYS[at(THURSDAY).day]), ("2026-01-01", "thu"));
    }

    #[test]
    fn days_and_hours_are_kept() {
        let world = || World::new().at(THURSDAY).config("days", "mon-thu").config("hours", "09:00-16:30");
        assert_eq!(answer(world()), "deploys");
        assert_eq!(answer(world().at(THURSDAY + 86_400)), "today is fri; deploys go mon-thu");
        assert_eq!(answer(world().at(THURSDAY + 6 * 3600)), "it is 16:30; deploys go 09:00-16:30");
        assert_eq!(answer(world().config("offset", "+06:00")), "it is 16:30; deploys go 09:00-16:30");
        assert_eq!(answer(world().config("offset", "-02:00")), "it is 08:30; deploys go 09:00-16:30");
        assert_eq!(answer(world().config("operators", "bob ann").config("days", "sun")), "deploys");
    }

    #[test]
    fn windows_may_span_midnight_and_the_week() {
        let world = || World::new().at(THURSDAY);
        assert_eq!(answer(world().config("hours", "22:00-11:00").config("days", "sat-thu")), "deploys");
        assert_eq!(answer(world().config("hours", "22:00-10:00")), "it is 10:30; deploys go 22:00-10:00");
    }

    #[test]
    fn a_freeze_and_strange_images_are_kept_out() {
        let world = || World::new().at(THURSDAY);
        let frozen = world().config("freeze", "2025-12-20..2026-01-06");
        assert_eq!(answer(frozen), "nothing is deployed from 2025-12-20 to 2026-01-06");
        assert_eq!(answer(world().config("freeze", "2025-12-24 2026-01-02")), "deploys");
        let image = world().config("images", "registry.example/ ghcr.io/we/").config("operators", "ann");
        assert_eq!(answer(image), "`demo-app` may not be deployed (only registry.example/ ghcr.io/we/)");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert_eq!(answer(World::new().config("days", "someday")), "config `days`: `someday` makes no sense");
        assert_eq!(answer(World::new().config("hours", "9-17")), "config `hours`: `9` makes no sense");
    }
}
