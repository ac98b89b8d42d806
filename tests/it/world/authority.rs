//! A CA of the tests' own, and certificates that it signs, for as long as it likes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

use super::patience::PATIENCE;

const DAY: i64 = 86_400;

const CONFIG: &str = "[ca]\ndefault_ca=it\n[it]\ndatabase=index.txt\nnew_certs_dir=.\n\
    default_md=sha256\npolicy=any\nrand_serial=yes\nunique_subject=no\n[any]\ncommonName=supplied\n";

/// The CA. Its files end with it.
pub(crate) struct Authority {
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs::write(authority.path("ca.cnf"), CONFIG).unwrap();
        fs::write(authority.path("index.txt"), "").unwrap();
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
             -subj /CN=tests-ca -keyout ca.key -out ca.pem",
        );
        authority
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The CA's own certificate.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem").to_str().unwrap().to_owned()
    }

    /// Makes `NAME.key` and `NAME.pem`, valid from and until so many days from now (and an hour),
    /// for those names: `DNS:localhost,IP:127.0.0.1`.
    pub(crate) fn issue(&self, name: &str, from: i64, until: i64, names: &str) {
        let date = |days: i64| {
            let seconds = Timestamp::now().as_second() + days * DAY + 3600;
            let time = Timestamp::from_second(seconds).unwrap();
            time.strftime("%Y%m%d%H%M%SZ").to_string()
        };
        let extensions = format!("subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n");
        fs::write(self.path(&format!("{name}.ext")), extensions).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
             -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -notext -in {name}.csr \
             -out {name}.pem -extfile {name}.ext -startdate {} -enddate {}",
            date(from),
            date(until)
        ));
    }

    /// A TLS server that shows one of the certificates; more arguments are `openssl s_server`'s.
    pub(crate) async fn serve(&self, name: &str, more: &str) -> Server {
        let arguments =
            format!("s_server -accept 127.0.0.1:0 -www -key {name}.key -cert {name}.pem {more}");
        let mut command = tokio::process::Command::from(self.command(&arguments));
        let mut server = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address = async {
            loop {
                let line = lines.next_line().await.unwrap().unwrap();
                if let Some(address) = line.strip_prefix("ACCEPT ") {
                    return address.to_owned();
                }
            }
        };
        let patience = PATIENCE;
        let address = tokio::time::timeout(patience, address).await.unwrap();
        Server {
            address,
            _server: server,
        }
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("openssl");
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    fn openssl(&self, arguments: &str) {
        let ended = self.command(arguments).stderr(Stdio::piped()).output();
        let ended = ended.unwrap();
        assert!(ended.status.success(), "openssl {arguments}: {ended:?}");
    }
}

/// A TLS server. It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: String,
    _server: Child,
}
