//! The inputs that name a GitHub App, which asks GitHub instead of the workflow's token.

use crate::platform::secret::Secret;

/// A GitHub App.
#[derive(Clone, Debug)]
pub struct App {
    /// Its number.
    pub id: u64,
    /// Its private key, in PEM form.
    pub key: Secret,
    /// The number of its installation; `None` where that is to be found.
    pub installation: Option<u64>,
}

impl App {
    /// From the inputs (id, key, installation), with every problem by the input's name.
    pub(super) fn read(
        [id, key, installation]: [Option<String>; 3],
        complain: &mut impl FnMut(&str, &str),
    ) -> Option<Self> {
        let mut number = |name: &str, text: &Option<String>| {
            let number = whole_number(text.as_deref()?);
            if number.is_none() {
                complain(name, "must be a whole number");
            }
            number
        };
        let known = number("app-id", &id);
        let installation = number("app-installation-id", &installation);
        match (id, key) {
            (Some(_), Some(key)) => known.map(|id| Self {
                id,
                key: Secret::new(key),
                installation,
            }),
            (Some(_), None) => {
                complain(
                    "app-private-key",
                    "is missing, and `app-id` needs it; the workflow of a fork's pull request has no secrets",
                );
                None
            }
            (None, Some(_)) => {
                complain(
                    "app-id",
                    "is missing, and names the App of `app-private-key`",
                );
                None
            }
            (None, None) => None,
        }
    }
}

/// A number as the runner writes it: a large one may come as `1.5E+12`.
pub(super) fn whole_number(text: &str) -> Option<u64> {
    let plain = || text.parse().ok();
    let large = || {
        let number: f64 = text.parse().ok()?;
        let whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
        whole.then(|| format!("{number:.0}").parse().ok())?
    };
    plain().or_else(large)
}
