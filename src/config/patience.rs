//! How often and how long a check looks before it gives its answer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::Span;

/// What every check takes beside its kind's own keys.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// How many failed looks are forgiven before the check fails. Default 3: after
    /// 1, 2 and 4 seconds.
    #[schemars(range(max = 1000))]
    pub retries: u32,
    /// The pause after the first failed look; it doubles with each, up to 10s. Default 1s.
    pub interval: Span,
    /// How many good looks in a row make it pass. Default 1.
    #[schemars(range(min = 1, max = 1000))]
    pub rise: u32,
    /// While watching: how many bad looks in a row make it fail. Default 3.
    #[schemars(range(min = 1, max = 1000))]
    pub fall: u32,
    /// When it fails at the latest. Default 5m.
    pub deadline: Span,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            retries: 3,
            interval: Span::secs(1),
            rise: 1,
            fall: 3,
            deadline: Span::secs(300),
        }
    }
}
