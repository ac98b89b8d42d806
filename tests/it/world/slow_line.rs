//! A line that is slow: what goes into it comes out late, and no faster than it can carry. Now
//! and then something is lost on it, and comes when it was sent again. It may fall silent, too: then
//! nothing comes any more, and nobody is told.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// How large a packet is.
const PACKET: usize = 1400;

/// How many packets wait for their turn on the way; then the sender has to.
const QUEUE: usize = 40;

/// Each of so many is lost once.
const LOST: usize = 50;

/// The line; it ends with its owner.
pub(crate) struct SlowLine {
    port: u16,
    over: Arc<AtomicBool>,
    silent: Arc<AtomicBool>,
}

impl SlowLine {
    /// To a port of this machine. `delay` is for one way, `rate` in bytes a second.
    pub(crate) fn to(port: u16, delay: Duration, rate: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let silent = Arc::new(AtomicBool::new(false));
        let line = Self {
            port: listener.local_addr().unwrap().port(),
            over: Arc::clone(&over),
            silent: Arc::clone(&silent),
        };
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let far = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let way = Way {
                    delay,
                    rate,
                    silent: Arc::clone(&silent),
                };
                carry(
                    near.try_clone().unwrap(),
                    far.try_clone().unwrap(),
                    way.clone(),
                );
                carry(far, near, way);
            }
        });
        line
    }

    /// A line that is as fast as can be, until it falls silent.
    pub(crate) fn fast(port: u16) -> Self {
        Self::to(port, Duration::ZERO, u32::MAX)
    }

    /// From now on nothing comes, on connections that are open and on new ones, until `speak`.
    pub(crate) fn fall_silent(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// What is sent from now on arrives again, and so does what has waited.
    pub(crate) fn speak(&self) {
        self.silent.store(false, Ordering::SeqCst);
    }

    /// Its near end.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for SlowLine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        self.speak();
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// How it is on the way.
#[derive(Clone)]
struct Way {
    delay: Duration,
    rate: u32,
    silent: Arc<AtomicBool>,
}

fn carry(from: TcpStream, to: TcpStream, way: Way) {
    let (queue, packets) = sync_channel(QUEUE);
    thread::spawn(move || take(from, &queue));
    thread::spawn(move || hand_over(to, &packets, &way));
}

fn take(mut from: TcpStream, queue: &SyncSender<(Instant, Vec<u8>)>) {
    let mut packet = [0; PACKET];
    while let Ok(read @ 1..) = from.read(&mut packet) {
        if queue
            .send((Instant::now(), packet[..read].to_vec()))
            .is_err()
        {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Read);
}

fn hand_over(mut to: TcpStream, packets: &Receiver<(Instant, Vec<u8>)>, way: &Way) {
    let _ = to.set_nodelay(true);
    let mut free = Instant::now();
    for (nth, (came, packet)) in packets.iter().enumerate() {
        let again = if nth % LOST == LOST - 1 {
            2 * way.delay
        } else {
            Duration::ZERO
        };
        let bytes = u32::try_from(packet.len()).unwrap();
        free = free.max(came) + Duration::from_secs(1) * bytes / way.rate;
        thread::sleep((free + way.delay + again).saturating_duration_since(Instant::now()));
        while way.silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        if to.write_all(&packet).is_err() {
            break;
        }
    }
    // An end is nothing that a silent line would tell.
    while way.silent.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(5));
    }
    let _ = to.shutdown(Shutdown::Write);
}
