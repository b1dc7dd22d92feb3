//! What the command line says of a service's settings.

use std::time::Duration;

use super::{Check, HookSpec, Order, ProxyChoice, ServiceName, Settings};

/// What is laid over the settings of the compose file: for one command, and for each service that it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// As [`Settings::port`].
    pub port: Option<u16>,
    /// As [`Settings::proxy`].
    pub proxy: Option<ProxyChoice>,
    /// Whether the service is a worker, whatever nginx is named.
    pub no_proxy: bool,
    /// As [`Settings::upstream`].
    pub upstream: Option<ServiceName>,
    /// How long a candidate may take to become healthy.
    pub timeout: Option<Duration>,
    /// How long requests that are under way may go on at the old container.
    pub drain: Option<Duration>,
    /// As [`Settings::watch`].
    pub watch: Option<Duration>,
    /// As [`Settings::probe`].
    pub probe: Option<String>,
    /// As [`Settings::probe_rate`].
    pub probe_rate: Option<u32>,
    /// Whether the old container stops before the candidate starts.
    pub stop_first: bool,
    /// Hooks that are asked beside those of the compose file.
    pub hooks: Vec<HookSpec>,
}

impl Overrides {
    /// Returns the settings with these laid over them. `health` is the check that replaces those of the compose file.
    pub fn over(&self, settings: Settings, health: Option<&Check>) -> Settings {
        let mut settings = settings;
        settings.port = self.port.or(settings.port);
        if self.no_proxy {
            (settings.proxy, settings.no_proxy) = (None, true);
        } else if let Some(proxy) = &self.proxy {
            (settings.proxy, settings.no_proxy) = (Some(proxy.clone()), false);
        }
        settings.upstream = self.upstream.clone().or(settings.upstream);
        if let Some(check) = health {
            settings.health = vec![check.clone()];
        }
        settings.timeouts.health = self.timeout.unwrap_or(settings.timeouts.health);
        settings.timeouts.drain = self.drain.unwrap_or(settings.timeouts.drain);
        settings.probe = self.probe.clone().or(settings.probe);
        settings.probe_rate = self.probe_rate.or(settings.probe_rate);
        settings.watch = self.watch.unwrap_or(settings.watch);
        if self.stop_first {
            settings.order = Order::StopFirst;
        }
        settings.hooks.extend(self.hooks.iter().cloned());
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nginx_that_the_command_line_names_counts() {
        let nginx = ProxyChoice::parse("nginx").unwrap();
        let worker = Settings { no_proxy: true, ..Settings::default() };
        let named = Overrides { proxy: Some(nginx.clone()), ..Overrides::default() }.over(worker, None);
        assert_eq!((named.proxy.as_ref(), named.no_proxy), (Some(&nginx), false));
        let none = Overrides { no_proxy: true, ..Overrides::default() }.over(named, None);
        assert_eq!((none.proxy, none.no_proxy), (None, true));
    }
}
