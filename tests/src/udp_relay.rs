//! A relay on loopback between one hospital and its coordinator, with the faults of a network between two towns.
//!
//! ```text
//! hospital <----> front | Line: loss, delay, cut, size | back <----> coordinator
//!                                                         ^ another port after `rebind`, as behind a NAT
//! ```
//!
//! It knows nothing of QUIC: it drops, delays and forwards datagrams. What it drops by chance follows from its seed and from the order
//! in which datagrams come, which depends on the machine.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What happens to datagrams, in both directions alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// So many of a hundred are lost.
    pub loss_percent: u8,
    /// Each is so long on its way.
    pub delay: Duration,
    /// None gets through.
    pub is_cut: bool,
    /// Longer ones are lost; none: all lengths pass.
    pub max_datagram_bytes: Option<usize>,
}

/// A relay for one hospital. It ends when it is dropped.
pub struct UdpRelay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl UdpRelay {
    /// Waits on a free port of loopback, and hands on what comes to the coordinator.
    ///
    /// # Panics
    /// If there is no free port.
    pub fn to(coordinator: SocketAddr, seed: u64) -> Self {
        let front = loopback_socket().expect("a free port");
        let shared = Arc::new(Shared {
            coordinator,
            front: front.try_clone().expect("a second handle"),
            state: Mutex::new(State {
                line: Line::default(),
                chance: seed,
                bytes_to_cut: None,
            }),
            changed: Condvar::new(),
            backs: Mutex::default(),
            mail: Mutex::default(),
            posted: Condvar::new(),
            has_ended: AtomicBool::new(false),
            up_bytes: AtomicU64::new(0),
        });
        let (at_front, at_post) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || at_front.carry_up(&front));
        thread::spawn(move || at_post.deliver());
        let address = shared.front.local_addr().expect("a bound socket");
        Self { address, shared }
    }

    /// What the hospital has to dial.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the line is this.
    pub fn set(&self, line: Line) {
        self.shared.state().line = line;
    }

    /// Nothing gets through.
    pub fn cut(&self) {
        self.shared.state().line.is_cut = true;
    }

    /// Cuts the connection after this many further bytes from the hospital, and waits until then.
    ///
    /// # Panics
    /// If they have not come in time.
    pub fn cut_after(&self, bytes: u64, patience: Duration) {
        let mut state = self.shared.state();
        state.bytes_to_cut = Some(bytes);
        let waits = |state: &mut State| state.bytes_to_cut.is_some();
        let (_state, result) = self
            .shared
            .changed
            .wait_timeout_while(state, patience, waits)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!result.timed_out(), "the hospital has not sent {bytes}");
    }

    /// After a cut the line is as before.
    pub fn restore(&self) {
        self.shared.state().line.is_cut = false;
    }

    /// The coordinator sees another source port from the next datagram on; what it sends to the old one is lost.
    pub fn rebind(&self) {
        self.shared.rebind();
    }

    /// Does so again and again, as long as the relay lives.
    pub fn rebind_every(&self, period: Duration) {
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            let mut last = Instant::now();
            while !shared.has_ended.load(Ordering::Relaxed) {
                thread::sleep(GLANCE);
                if last.elapsed() >= period {
                    last = Instant::now();
                    shared.rebind();
                }
            }
        });
    }

    /// How many bytes have come from the hospital.
    pub fn up_bytes(&self) -> u64 {
        self.shared.up_bytes.load(Ordering::Relaxed)
    }
}

impl Drop for UdpRelay {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::Relaxed);
        self.rebind();
        self.shared.posted.notify_all();
    }
}

struct Shared {
    coordinator: SocketAddr,
    front: UdpSocket,
    state: Mutex<State>,
    /// `bytes_to_cut` is none again.
    changed: Condvar,
    /// By the hospital's address: a participant dials from another port each time.
    backs: Mutex<HashMap<SocketAddr, Arc<Back>>>,
    /// What is on its way.
    mail: Mutex<Mail>,
    posted: Condvar,
    has_ended: AtomicBool,
    up_bytes: AtomicU64,
}

struct State {
    line: Line,
    chance: u64,
    bytes_to_cut: Option<u64>,
}

/// The side that the coordinator sees.
struct Back {
    socket: UdpSocket,
    is_open: AtomicBool,
}

#[derive(Default)]
struct Mail {
    /// The earliest first; of equals, in the order in which they came.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    letters: BTreeMap<u64, (Vec<u8>, Way)>,
    count: u64,
}

/// Where a datagram goes.
enum Way {
    Up(Arc<Back>),
    Down(SocketAddr),
}

impl Shared {
    fn rebind(&self) {
        for back in lock(&self.backs).drain() {
            back.1.is_open.store(false, Ordering::Relaxed);
        }
    }

    fn carry_up(self: Arc<Self>, front: &UdpSocket) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while !self.has_ended.load(Ordering::Relaxed) {
            let Some((length, from)) = receive(front, &mut buffer) else {
                continue;
            };
            self.count_up(length as u64);
            if let Some(delay) = self.passes(length)
                && let Ok(back) = self.back_of(from)
            {
                self.send(&buffer[..length], delay, Way::Up(back));
            }
        }
    }

    fn carry_down(self: Arc<Self>, back: &Back, to: SocketAddr) {
        let mut buffer = vec![0; MAX_DATAGRAM];
        while back.is_open.load(Ordering::Relaxed) {
            if let Some((length, _)) = receive(&back.socket, &mut buffer)
                && let Some(delay) = self.passes(length)
            {
                self.send(&buffer[..length], delay, Way::Down(to));
            }
        }
    }

    fn count_up(&self, bytes: u64) {
        self.up_bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut state = self.state();
        if let Some(left) = state.bytes_to_cut {
            state.bytes_to_cut = left.checked_sub(bytes);
            if state.bytes_to_cut.is_none() {
                state.line.is_cut = true;
                self.changed.notify_all();
            }
        }
    }

    /// How long a datagram is on its way; none if it is lost.
    fn passes(&self, bytes: usize) -> Option<Duration> {
        let mut state = self.state();
        let line = state.line;
        let is_short = line.max_datagram_bytes.is_none_or(|most| bytes <= most);
        let is_lost = line.is_cut || !is_short || state.draw(100) < u64::from(line.loss_percent);
        (!is_lost).then_some(line.delay)
    }

    fn back_of(self: &Arc<Self>, hospital: SocketAddr) -> io::Result<Arc<Back>> {
        let mut backs = lock(&self.backs);
        if let Some(back) = backs.get(&hospital) {
            return Ok(Arc::clone(back));
        }
        let socket = loopback_socket()?;
        socket.connect(self.coordinator)?;
        let is_open = AtomicBool::new(true);
        let back = Arc::new(Back { socket, is_open });
        backs.insert(hospital, Arc::clone(&back));
        let (shared, own) = (Arc::clone(self), Arc::clone(&back));
        thread::spawn(move || shared.carry_down(&own, hospital));
        Ok(back)
    }

    fn send(&self, datagram: &[u8], delay: Duration, way: Way) {
        if delay.is_zero() {
            return self.put_out(datagram, &way);
        }
        let mut mail = lock(&self.mail);
        mail.count += 1;
        let number = mail.count;
        mail.letters.insert(number, (datagram.to_vec(), way));
        let due = Instant::now() + delay;
        mail.due.push(Reverse((due, number)));
        self.posted.notify_one();
    }

    /// Puts out what is due, until the relay has ended.
    fn deliver(&self) {
        let mut mail = lock(&self.mail);
        while !self.has_ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            let next = mail.due.peek().map(|next| next.0.0);
            if next.is_some_and(|due| due <= now) {
                let number = mail.due.pop().map(|next| next.0.1);
                let letter = number.and_then(|number| mail.letters.remove(&number));
                drop(mail);
                if let Some((datagram, way)) = letter {
                    self.put_out(&datagram, &way);
                }
                mail = lock(&self.mail);
            } else {
                let wait = next.map_or(GLANCE, |due| (due - now).min(GLANCE));
                let waited = self.posted.wait_timeout(mail, wait);
                mail = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// A network that takes no datagram has lost it.
    fn put_out(&self, datagram: &[u8], way: &Way) {
        let _ = match way {
            Way::Up(back) => back.socket.send(datagram),
            Way::Down(hospital) => self.front.send_to(datagram, *hospital),
        };
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// A number below `end`: SplitMix64.
    fn draw(&mut self, end: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.chance;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}

fn loopback_socket() -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.set_read_timeout(Some(GLANCE))?;
    Ok(socket)
}

/// None when nothing has come for a moment, or the port at the other end is closed.
fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    socket.recv_from(buffer).ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MAX_DATAGRAM: usize = 65_536;
/// A thread looks this often whether its work has ended.
const GLANCE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    /// An end that answers each datagram with the port that it came from, and somebody who speaks to it through a relay.
    fn both_ends() -> (UdpRelay, UdpSocket) {
        let echo = loopback_socket().expect("a free port");
        let relay = UdpRelay::to(echo.local_addr().expect("bound"), 1);
        thread::spawn(move || {
            let mut buffer = vec![0; MAX_DATAGRAM];
            // It ends with the first long pause.
            let pause = Some(Duration::from_secs(60));
            echo.set_read_timeout(pause).expect("a socket");
            while let Some((_, from)) = receive(&echo, &mut buffer) {
                let _ = echo.send_to(&from.port().to_le_bytes(), from);
            }
        });
        let near = loopback_socket().expect("a free port");
        near.connect(relay.address()).expect("loopback");
        (relay, near)
    }

    /// The port that the far end has seen; none when no answer has come after so long.
    fn ask(near: &UdpSocket, bytes: usize, patience: Duration) -> Option<u16> {
        near.set_read_timeout(Some(patience)).expect("a socket");
        near.send(&vec![0; bytes]).expect("sent");
        let mut port = [0; 2];
        near.recv(&mut port).ok()?;
        Some(u16::from_le_bytes(port))
    }

    fn arrives(near: &UdpSocket, bytes: usize) -> u16 {
        ask(near, bytes, Duration::from_secs(30)).expect("an answer")
    }

    fn is_lost(near: &UdpSocket, bytes: usize) -> bool {
        ask(near, bytes, Duration::from_millis(200)).is_none()
    }

    #[test]
    fn a_line_without_faults_keeps_its_port_until_it_is_bound_anew() {
        let (relay, near) = both_ends();
        let first = arrives(&near, 10);
        assert_eq!(arrives(&near, 10), first);
        relay.rebind();
        assert_ne!(arrives(&near, 10), first);
        assert_eq!(relay.up_bytes(), 30);
    }

    #[test]
    fn what_is_cut_lost_or_too_long_does_not_arrive() {
        let (relay, near) = both_ends();
        relay.cut();
        assert!(is_lost(&near, 10));
        relay.restore();
        arrives(&near, 10);
        relay.set(Line {
            max_datagram_bytes: Some(100),
            ..Line::default()
        });
        arrives(&near, 100);
        assert!(is_lost(&near, 101));
        relay.set(Line {
            loss_percent: 100,
            ..Line::default()
        });
        assert!(is_lost(&near, 10));
    }

    #[test]
    fn a_delay_counts_in_each_direction() {
        let (relay, near) = both_ends();
        relay.set(Line {
            delay: Duration::from_millis(50),
            ..Line::default()
        });
        let began = Instant::now();
        arrives(&near, 10);
        assert!(began.elapsed() >= Duration::from_millis(100));
    }
}
