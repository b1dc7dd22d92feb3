//! The candidate is healthy when an HTTP request answers as it should, often enough in a row.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `path` | what to ask the candidate for | `/` |
//! | `host` | the `Host` header | the candidate's |
//! | `status` | the status that it must answer | any of 200 to 299 |
//! | `contains` | a text that the body must have | |
//! | `json` | a condition on the body as JSON, as `/database/ok = true`; the left side is a JSON pointer | |
//! | `within` | the longest that an answer may take, as `250ms` | |
//! | `consecutive` | how many good answers in a row | `1` |
//! | `fatal` | statuses that end the wait at once, as `500,501` | |

use std::time::Duration;

use swap_hook::http::{Request, Response};
use swap_hook::json::Value;
use swap_hook::{Context, Error, Health, Hook, Unhealthy, config, time};

/// The pause between two requests of a row.
const PAUSE: Duration = Duration::from_millis(20);

/// The hook.
pub struct HttpHealth;

#[swap_hook::export]
impl Hook for HttpHealth {
    fn health(_: &Context) -> Health {
        let consecutive = config::parsed_or("consecutive", 1_u8)?.max(1);
        for good in 0..consecutive {
            if good > 0 {
                time::sleep(PAUSE);
            }
            ask().map_err(|unhealthy| with_progress(unhealthy, good, consecutive))?;
        }
        Ok(())
    }
}

fn ask() -> Health {
    let url = format!("http://candidate{}", config::get_or("path", "/"));
    let mut request = Request::new("GET", &url);
    if let Some(host) = config::get("host") {
        request = request.header("host", &host);
    }
    let within = config::duration("within")?;
    if let Some(within) = within {
        request = request.timeout(within);
    }
    judge(&request.send()?)
}

fn judge(response: &Response) -> Health {
    let (url, status) = (&response.url, response.status);
    if config::get_or("fatal", "").split(',').any(|fatal| fatal.trim() == status.to_string()) {
        return Err(Unhealthy::fatal(format!("{url} answered {status}")));
    }
    match config::parsed_or("status", 0_u16)? {
        0 => response.clone().expect_success()?,
        expected => response.clone().expect_status(expected)?,
    };
    if let Some(text) = config::get("contains")
        && !response.contains(&text)
    {
        return Err(Unhealthy::not_yet(format!("{url} answered without `{text}`")));
    }
    if let Some(condition) = config::get("json") {
        check_json(url, &response.json()?, &condition)?;
    }
    Ok(())
}

fn check_json(url: &str, body: &Value, condition: &str) -> Health {
    let invalid = || Error { code: "invalid".into(), message: format!("config `json`: `{condition}` is no condition") };
    let (pointer, expected) = condition.split_once('=').ok_or_else(invalid)?;
    let (pointer, expected) = (pointer.trim(), expected.trim());
    let found = body.pointer(pointer).unwrap_or(&Value::Null);
    // A text may be written without quotes.
    let text = found.as_text().map_or_else(|| found.to_string(), str::to_owned);
    if text == expected || found.to_string() == expected {
        Ok(())
    } else {
        Err(Unhealthy::not_yet(format!("{url} answered {pointer} = {text}, not {expected}")))
    }
}

fn with_progress(unhealthy: Unhealthy, good: u8, of: u8) -> Unhealthy {
    match unhealthy {
        Unhealthy::NotYet { reason, retry_after, .. } if of > 1 => {
            let percent = u16::from(good) * 100 / u16::from(of);
            Unhealthy::NotYet { reason, retry_after, progress: u8::try_from(percent).ok() }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::{Answer, World};

    const UP: &str = "http://candidate/up";

    fn world() -> World {
        World::new().config("path", "/up")
    }

    fn reason(health: Health) -> String {
        match health {
            Err(Unhealthy::NotYet { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_candidate_that_gets_ready_is_healthy_in_the_end() {
        let world = world().answers(UP, [503, 503, 503, 200]);
        for _ in 0..3 {
            assert_eq!(reason(world.health::<HttpHealth>()), "http://candidate/up answered 503");
        }
        assert_eq!(world.health::<HttpHealth>(), Ok(()));
    }

    #[test]
    fn a_candidate_that_does_not_answer_is_not_ready_yet() {
        assert_eq!(reason(world().health::<HttpHealth>()), "http://candidate/up does not answer");
    }

    #[test]
    fn a_row_of_good_answers_starts_anew_after_a_bad_one() {
        let world = world().config("consecutive", "3").answers(UP, [200, 200, 500, 200]);
        let progress = |health| match health {
            Err(Unhealthy::NotYet { progress, .. }) => progress,
            other => panic!("{other:?}"),
        };
        assert_eq!(progress(world.health::<HttpHealth>()), Some(66));
        assert_eq!(world.health::<HttpHealth>(), Ok(()));
        assert_eq!(world.deeds().len(), 6);
    }

    #[test]
    fn the_status_can_be_another_one() {
        let world = world().config("status", "204").answers(UP, [200, 204]);
        assert_eq!(reason(world.health::<HttpHealth>()), "http://candidate/up answered 200");
        assert_eq!(world.health::<HttpHealth>(), Ok(()));
    }

    #[test]
    fn a_fatal_status_ends_the_wait() {
        let world = world().config("fatal", "500, 501").answers(UP, [500]);
        assert_eq!(world.health::<HttpHealth>(), Err(Unhealthy::fatal("http://candidate/up answered 500")));
    }

    #[test]
    fn the_body_can_be_asked_for_a_text_and_for_json() {
        let world = world().config("contains", "ok").config("json", "/database/ok = true").answers(
            UP,
            [
                Answer::new(200, "starting"),
                Answer::new(200, "ok"),
                Answer::new(200, r#"{"database":{"ok":false}}"#),
                Answer::new(200, r#"{"database":{"ok":true}}"#),
            ],
        );
        assert_eq!(reason(world.health::<HttpHealth>()), "http://candidate/up answered without `ok`");
        assert_eq!(reason(world.health::<HttpHealth>()), "http://candidate/up answered no JSON");
        assert_eq!(reason(world.health::<HttpHealth>()), "http://candidate/up answered /database/ok = false, not true");
        assert_eq!(world.health::<HttpHealth>(), Ok(()));
    }

    #[test]
    fn a_slow_answer_is_none() {
        let slow = Answer::new(200, "").latency(Duration::from_millis(300));
        let world = world().config("within", "250ms").answers(UP, [slow]);
        assert_eq!(reason(world.health::<HttpHealth>()), "no answer within 250ms");
    }

    #[test]
    fn config_that_makes_no_sense_is_fatal() {
        let world = world().config("within", "fast").answers(UP, [200]);
        assert_eq!(
            world.health::<HttpHealth>(),
            Err(Unhealthy::fatal("config `within`: `fast` is no duration (as 250ms, 5s, 2m)"))
        );
    }
}
