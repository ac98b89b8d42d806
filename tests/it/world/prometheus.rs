//! A real Prometheus with a history: what is written for it in OpenMetrics is in its store when
//! it starts, so that range queries see the past at once.

use std::fs;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::patience::PATIENCE;
use super::ports;

pub(crate) const USER: &str = "shop";
pub(crate) const PASSWORD: &str = "s3cret-of-prometheus";
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuzr/34qMbhk8koY/slifteMLwjftqIRm";

/// How far apart samples are, in seconds.
pub(crate) const EVERY: i64 = 15;

/// The running server. It ends with its owner.
pub(crate) struct Prometheus {
    pub(crate) url: String,
    server: Child,
    _folder: TempDir,
}

/// A history of samples every 15 s that ends now.
pub(crate) struct History {
    text: String,
    end: i64,
}

impl History {
    pub(crate) fn new() -> Self {
        Self {
            text: String::new(),
            end: jiff::Timestamp::now().as_second(),
        }
    }

    /// A series of so many samples; `value` is told how long before now, in seconds. `None` is a
    /// gap.
    pub(crate) fn series(
        &mut self,
        name: &str,
        labels: &[&str],
        samples: i64,
        value: impl Fn(usize, i64) -> Option<f64>,
    ) {
        self.series_every(EVERY, name, labels, samples, value);
    }

    /// The same, with so many seconds from sample to sample.
    pub(crate) fn series_every(
        &mut self,
        every: i64,
        name: &str,
        labels: &[&str],
        samples: i64,
        value: impl Fn(usize, i64) -> Option<f64>,
    ) {
        self.text += &format!("# TYPE {name} unknown\n");
        for (i, label) in labels.iter().enumerate() {
            for n in (0..samples).rev() {
                let ago = n * every;
                if let Some(value) = value(i, ago) {
                    let at = self.end - ago;
                    self.text += &format!("{name}{{{label}}} {value} {at}\n");
                }
            }
        }
    }

    /// Starts a server with it.
    pub(crate) fn start(self) -> Prometheus {
        self.start_with("", "")
    }

    /// Starts a server with it that also scrapes an address, each second.
    pub(crate) fn start_scraping(self, address: std::net::SocketAddr) -> Prometheus {
        let scrape = format!(
            "scrape_configs:\n- job_name: shop\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  static_configs: [{{ targets: ['{address}'] }}]\n"
        );
        self.start_with("", &scrape)
    }

    /// The same; only one user may ask.
    pub(crate) fn start_guarded(self) -> Prometheus {
        self.start_with(&format!("basic_auth_users:\n  {USER}: {HASH}\n"), "")
    }

    /// Starts a server with it that looks at these from now on, often: the label `slot` and the
    /// port of each.
    pub(crate) fn start_looking_at(self, slots: &[(&str, u16)]) -> Prometheus {
        let targets: Vec<String> = slots
            .iter()
            .map(|(slot, port)| {
                format!("{{ targets: ['127.0.0.1:{port}'], labels: {{ slot: {slot} }} }}")
            })
            .collect();
        let config = format!(
            "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\n\
             scrape_configs: [{{ job_name: shop, static_configs: [{}] }}]\n",
            targets.join(", ")
        );
        self.start_by("", &config)
    }

    fn start_with(self, web: &str, more: &str) -> Prometheus {
        self.start_by(web, &format!("global: {{}}\n{more}"))
    }

    fn start_by(self, web: &str, config: &str) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("history"), self.text + "# EOF\n").unwrap();
        fs::write(path("prometheus.yml"), config).unwrap();
        fs::write(path("web.yml"), web).unwrap();
        let mut load = Command::new("promtool");
        load.args(["tsdb", "create-blocks-from", "openmetrics"]);
        let said = load.args([path("history"), path("data")]).output().unwrap();
        assert!(said.status.success(), "{said:?}");
        let port = ports::free();
        let log = fs::File::create(path("log")).unwrap();
        let server = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                path("prometheus.yml").display()
            ))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.config.file={}", path("web.yml").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut prometheus = Prometheus {
            url: format!("http://127.0.0.1:{port}"),
            server,
            _folder: folder,
        };
        prometheus.wait_until_ready(port);
        prometheus
    }
}

impl Prometheus {
    /// It listens only when its store is there.
    fn wait_until_ready(&mut self, port: u16) {
        let began = Instant::now();
        let log = self._folder.path().join("log");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        loop {
            if let Some(ended) = self.server.try_wait().unwrap() {
                unreachable!("Prometheus ended with {ended}:\n{}", said());
            }
            if said().contains("Server is ready") && TcpStream::connect(("127.0.0.1", port)).is_ok()
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{}", said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
