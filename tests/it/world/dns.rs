//! A real DNS server (dnsmasq) that knows a few names and asks nobody else.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::patience::PATIENCE;
use super::ports;

/// A running server on a port of its own. It ends with its owner.
pub(crate) struct Dns {
    pub(crate) server: String,
    process: Child,
}

impl Dns {
    /// Starts one with these options of dnsmasq.
    pub(crate) fn start(options: &[&str]) -> Self {
        let port = ports::free();
        let process = Command::new("/usr/sbin/dnsmasq")
            .args([
                "--keep-in-foreground",
                "--no-resolv",
                "--no-hosts",
                "--conf-file=/dev/null",
            ])
            .args([
                "--bind-interfaces",
                "--listen-address=127.0.0.1",
                "--pid-file",
            ])
            .args(["--user=root", "--log-facility=-", "--dns-loop-detect"])
            .arg(format!("--port={port}"))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut dns = Self {
            server: format!("127.0.0.1:{port}"),
            process,
        };
        let began = Instant::now();
        while !dns.answers() {
            assert!(dns.process.try_wait().unwrap().is_none(), "dnsmasq ended");
            assert!(began.elapsed() < PATIENCE, "dnsmasq does not answer");
        }
        dns
    }

    /// Whether it answers anything to a question for the root's servers.
    fn answers(&self) -> bool {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let wait = Duration::from_millis(50);
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.connect(&self.server).unwrap();
        let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
        let sent = socket.send(question).is_ok();
        let answered = sent && socket.recv(&mut [0; 512]).is_ok();
        if !answered {
            std::thread::sleep(Duration::from_millis(10));
        }
        answered
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
