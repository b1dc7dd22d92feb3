//! Calls a webhook when a swap is done or was rolled back.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `url` | the webhook; needs the grant `http:HOST:PORT` | |
//! | `url-secret` | the name of the secret that holds it; needs the grant `secret:NAME` as well | |
//! | `text` | the message of a swap that is done | `{service}: {image} is live ({run}, {operator})` |
//! | `rollback` | the message of one that was rolled back | `{service}: {image} was rolled back: {reason} ({run}, {operator})` |
//! | `body` | the body; `{text}` is the message as JSON, with its quotes | `{"text":{text}}`, as Slack and others take it |
//!
//! Templates know `{service}`, `{project}`, `{image}`, `{digest}`, `{run}`, `{operator}` and `{reason}`.

use std::time::Duration;

use swap_hook::http::Request;
use swap_hook::{Context, Error, Failure, Hook, Outcome, config, json, time};

/// The hook.
pub struct Notify;

#[swap_hook::export]
impl Hook for Notify {
    fn finish(context: &Context) -> Outcome {
        send(&fill(&config::get_or("text", "{service}: {image} is live ({run}, {operator})"), context))
    }

    fn rollback(context: &Context) -> Outcome {
        let text = "{service}: {image} was rolled back: {reason} ({run}, {operator})";
        send(&fill(&config::get_or("rollback", text), context))
    }
}

fn send(text: &str) -> Outcome {
    let url = match config::get("url-secret") {
        Some(name) => config::secret(&name)?,
        None => config::required("url")?,
    };
    let body = config::get_or("body", "{\"text\":{text}}").replace("{text}", &json::quoted(text));
    let request = Request::new("POST", &url)
        .header("content-type", "application/json")
        .timeout(Duration::from_secs(10))
        .body(body);
    let attempt = || request.send()?.expect_success();
    time::retry(3, Duration::from_secs(1), attempt)
        .map_err(|error: Error| Failure::new("not-notified", error.message))?;
    Ok(())
}

fn fill(template: &str, context: &Context) -> String {
    let values = [
        ("{service}", context.service.as_str()),
        ("{project}", &context.project),
        ("{image}", &context.candidate.image),
        ("{digest}", &context.candidate.digest),
        ("{run}", &context.run),
        ("{operator}", &context.operator),
        ("{reason}", context.reason.as_deref().unwrap_or("nobody said why")),
    ];
    // Once through the template, so that a value that looks like a place holder stays what it is.
    let mut text = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::World;

    const URL: &str = "https://hooks.example.com/T0/B0";

    #[test]
    fn a_webhook_that_fails_is_called_again() {
        let world = World::new().config("url", URL).answers(URL, [500, 200]);
        assert_eq!(world.finish::<Notify>(), Ok(()));
        assert_eq!(world.deeds().len(), 2);
        let dead = World::new().config("url", URL).answers(URL, [404]);
        assert_eq!(
            dead.finish::<Notify>(),
            Err(Failure::new("not-notified", "https://hooks.example.com/T0/B0 answered 404"))
        );
    }

    #[test]
    fn the_url_may_be_a_secret() {
        let world = World::new().config("url-secret", "WEBHOOK").secret("WEBHOOK", URL).answers(URL, [200]);
        assert_eq!(world.rollback::<Notify>(), Ok(()));
        assert_eq!(world.deeds(), [format!("POST {URL}")]);
    }

    #[test]
    fn templates_are_filled_once() {
        let world = World::new().context(|context| {
            context.reason = Some("hook `{run}` said \"no\"".into());
            let text = fill("{service}: {reason} {x} {", context);
            assert_eq!(text, "app: hook `{run}` said \"no\" {x} {");
        });
        drop(world);
    }
}
