//! Asks for a list of pages, so that users find them warm.
//!
//! | config | meaning | default |
//! |---|---|---|
//! | `paths` | the paths, separated by white space | `/` |
//! | `sitemap` | the path of a sitemap whose pages are asked for as well | none |
//! | `when` | `before` the switch, of each candidate itself, or `after` it, through the front door | `before` |
//! | `most` | how many pages at most | `100` |
//! | `rounds` | how often each is asked for | `1` |
//! | `concurrency` | how many at a time | `4` |
//! | `required` | `true`: a page that does not answer below 500 ends the swap | `false` |

use swap_hook::http::{Request, Response};
use swap_hook::{Context, Error, Failure, Hook, Outcome, config, http, log};

/// The hook.
pub struct Warmup;

#[swap_hook::export]
impl Hook for Warmup {
    fn pre_swap(context: &Context) -> Outcome {
        if config::get_or("when", "before") != "before" {
            return Ok(());
        }
        context.candidates.iter().try_for_each(|candidate| warm(&format!("http://{}.candidate", candidate.name)))
    }

    fn post_swap(_: &Context) -> Outcome {
        if config::get_or("when", "before") == "after" { warm("http://front-door") } else { Ok(()) }
    }
}

fn warm(base: &str) -> Outcome {
    let pages = pages(base)?;
    let mut cold = Vec::new();
    for _ in 0..config::parsed_or("rounds", 1_u32)? {
        cold = ask(base, &pages, config::parsed_or("concurrency", 4)?);
    }
    for why in &cold {
        log::warn(why.to_string());
    }
    log::info(format!("{base}: {} of {} pages are warm", pages.len() - cold.len(), pages.len()));
    match cold.into_iter().next() {
        Some(why) if config::get_or("required", "false") == "true" => Err(Failure::new("cold", why.message)),
        _ => Ok(()),
    }
}

/// Asks for pages. Returns what went wrong.
fn ask(base: &str, pages: &[String], concurrency: u32) -> Vec<Error> {
    let requests = pages.iter().map(|page| Request::new("GET", &format!("{base}{page}"))).collect();
    let judge = |answer: Result<Response, Error>| match answer {
        Ok(response) if response.status < 500 => None,
        Ok(response) => Some(Error::new(format!("{} answered {}", response.url, response.status))),
        Err(error) => Some(error),
    };
    http::send_all(requests, concurrency).into_iter().filter_map(judge).collect()
}

fn pages(base: &str) -> Result<Vec<String>, Error> {
    let mut pages: Vec<String> = config::get_or("paths", "/").split_whitespace().map(str::to_owned).collect();
    if let Some(sitemap) = config::get("sitemap") {
        let text = http::get(&format!("{base}{sitemap}"))?.expect_success()?.text();
        pages.extend(locations(&text));
    }
    pages.truncate(config::parsed_or("most", 100)?);
    Ok(pages)
}

/// Returns the paths of the pages of a sitemap, whatever host it names.
fn locations(sitemap: &str) -> impl Iterator<Item = String> {
    sitemap.split('<').filter_map(|tag| {
        let url = tag.strip_prefix("loc>")?.trim();
        // `https:`, nothing, the host, the path.
        let path = if url.starts_with('/') { url.strip_prefix('/') } else { url.splitn(4, '/').nth(3) };
        let mut plain = String::from("/");
        for (position, part) in path.unwrap_or_default().split('&').enumerate() {
            plain.push_str(if position > 0 { "&" } else { "" });
            plain.push_str(if position > 0 { part.strip_prefix("amp;").unwrap_or(part) } else { part });
        }
        Some(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use swap_hook::testing::{Answer, World};

    const BASE: &str = "http://demo-app-2.candidate";

    #[test]
    fn every_page_is_asked_for_before_the_switch() {
        let world = World::new()
            .config("paths", "/ /news")
            .config("rounds", "2")
            .answers(&format!("{BASE}/"), [200])
            .answers(&format!("{BASE}/news"), [404]);
        assert_eq!(world.pre_swap::<Warmup>(), Ok(()));
        assert_eq!(world.post_swap::<Warmup>(), Ok(()));
        assert_eq!(world.deeds().len(), 4);
        assert_eq!(world.lines(), ["info: http://demo-app-2.candidate: 2 of 2 pages are warm"]);
    }

    #[test]
    fn a_sitemap_names_pages() {
        let sitemap = "<urlset><url><loc>https://example.com/a?b=1&amp;c=2</loc></url><url><loc> https://example.com \
                       </loc></url></urlset>";
        let world = World::new()
            .config("when", "after")
            .config("sitemap", "/sitemap.xml")
            .answers("http://front-door/sitemap.xml", [Answer::new(200, sitemap)])
            .answers("http://front-door/", [200])
            .answers("http://front-door/a?b=1&c=2", [200]);
        assert_eq!(world.pre_swap::<Warmup>(), Ok(()));
        assert_eq!(world.post_swap::<Warmup>(), Ok(()));
        assert_eq!(
            world.deeds()[1..],
            ["GET http://front-door/", "GET http://front-door/a?b=1&c=2", "GET http://front-door/"]
        );
    }

    #[test]
    fn a_cold_page_ends_the_swap_only_if_that_is_wanted() {
        let world = World::new().answers(&format!("{BASE}/"), [500]);
        assert_eq!(world.pre_swap::<Warmup>(), Ok(()));
        assert_eq!(world.lines()[0], "warn: http://demo-app-2.candidate/ answered 500");
        let failure = world.config("required", "true").pre_swap::<Warmup>().unwrap_err();
        assert_eq!(failure, Failure::new("cold", "http://demo-app-2.candidate/ answered 500"));
    }
}
