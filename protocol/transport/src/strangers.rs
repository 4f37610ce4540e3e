//! Bounds on what peers cost that have not shown a certificate yet: handshakes under way, and lines in the log.
//!
//! The address of a peer's first packet may be forged. While few handshakes are under way it is believed; beyond that a peer has to show
//! first that it gets what is sent there, which costs a round trip (QUIC's Retry, RFC 9000, section 8.1.2).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The handshakes under way. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Handshakes(Arc<Mutex<UnderWay>>);

#[derive(Default)]
struct UnderWay {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// What to do with a peer's first packet.
pub(super) enum Verdict {
    /// Go on with the handshake, and keep this for as long as it takes.
    GoOn(Handshake),
    /// Have the peer show that the address is its own.
    AskForProof,
    /// There is no room.
    TurnAway,
}

/// One handshake under way.
pub(super) struct Handshake {
    handshakes: Handshakes,
    address: IpAddr,
}

impl Handshakes {
    /// Judges a first packet; `is_proven` when the peer has shown that the address is its own.
    pub(super) fn judge(&self, address: IpAddr, is_proven: bool) -> Verdict {
        let address = network(address);
        let mut under_way = self.lock();
        if !is_proven && under_way.all >= BELIEVED_HANDSHAKES {
            return Verdict::AskForProof;
        }
        let of_address = under_way.by_address.get(&address).copied().unwrap_or(0);
        let most = match under_way.all {
            0..HALF => HALF,
            _ => MAX_OF_AN_ADDRESS_WHEN_HALF_FULL,
        };
        if under_way.all >= MAX_HANDSHAKES || of_address >= most {
            return Verdict::TurnAway;
        }
        under_way.all += 1;
        under_way.by_address.insert(address, of_address + 1);
        Verdict::GoOn(Handshake {
            handshakes: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who has one IPv6 address has all of its /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(prefix.into())
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut under_way = self.handshakes.lock();
        under_way.all -= 1;
        if let Some(of_address) = under_way.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                under_way.by_address.remove(&self.address);
            }
        }
    }
}

/// Lines of the log about peers that were turned away: so many a minute, then one that counts the rest.
pub(super) struct LineBudget {
    minute_began: Instant,
    lines: u32,
    left_out: u64,
}

/// Whether a line may be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Write,
    /// And say first that so many were left out since the last one.
    WriteAfter {
        left_out: u64,
    },
    LeaveOut,
}

impl LineBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            minute_began: now,
            lines: 0,
            left_out: 0,
        }
    }

    pub(super) fn take(&mut self, now: Instant) -> Line {
        if now.duration_since(self.minute_began) >= MINUTE {
            self.minute_began = now;
            self.lines = 0;
        }
        if self.lines >= LINES_A_MINUTE {
            self.left_out += 1;
            return Line::LeaveOut;
        }
        self.lines += 1;
        match std::mem::take(&mut self.left_out) {
            0 => Line::Write,
            left_out => Line::WriteAfter { left_out },
        }
    }
}

/// Twice the hard limit of hospitals, so that all may come back at once.
const MAX_HANDSHAKES: usize = 254;
/// The hard limit of hospitals, should all of them dial from behind one address.
const HALF: usize = 127;
/// So that a few addresses do not take all places.
const MAX_OF_AN_ADDRESS_WHEN_HALF_FULL: usize = 32;
const BELIEVED_HANDSHAKES: usize = 32;
const LINES_A_MINUTE: u32 = 30;
const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn let_in(handshakes: &Handshakes, address: IpAddr, is_proven: bool) -> Handshake {
        match handshakes.judge(address, is_proven) {
            Verdict::GoOn(handshake) => handshake,
            Verdict::AskForProof => panic!("asked for proof"),
            Verdict::TurnAway => panic!("turned away"),
        }
    }

    #[test]
    fn forged_addresses_leave_room_for_those_that_prove_theirs() {
        let handshakes = Handshakes::default();
        let mut under_way: Vec<_> = (0..BELIEVED_HANDSHAKES as u8)
            .map(|last| let_in(&handshakes, address(last), false))
            .collect();
        for last in 0..=255 {
            let verdict = handshakes.judge(address(last), false);
            assert!(matches!(verdict, Verdict::AskForProof));
        }
        under_way.push(let_in(&handshakes, address(200), true));
        under_way.truncate(BELIEVED_HANDSHAKES - 1);
        let_in(&handshakes, address(201), false);
    }

    #[test]
    fn few_addresses_do_not_take_all_the_room_and_give_it_back() {
        let handshakes = Handshakes::default();
        let mut under_way = Vec::new();
        let mut take_all_of = |address: IpAddr| {
            let before = under_way.len();
            while let Verdict::GoOn(handshake) = handshakes.judge(address, true) {
                under_way.push(handshake);
            }
            under_way.len() - before
        };
        assert_eq!(take_all_of(address(1)), HALF);
        let prefix = 0x2001_0db8_0000_0007_u128 << 64;
        assert_eq!(take_all_of(IpAddr::V6(prefix.into())), 32);
        let same_network = IpAddr::V6((prefix + 12_345).into());
        assert_eq!(take_all_of(same_network), 0);
        assert_eq!(
            [2, 3, 4, 5].map(|last| take_all_of(address(last))),
            [32, 32, 31, 0]
        );
        drop(under_way);
        assert!(handshakes.lock().by_address.is_empty());
        let_in(&handshakes, address(1), true);
    }

    #[test]
    fn the_log_has_so_many_lines_a_minute_and_counts_the_rest() {
        let began = Instant::now();
        let mut budget = LineBudget::new(began);
        for _ in 0..LINES_A_MINUTE {
            assert_eq!(budget.take(began), Line::Write);
        }
        for _ in 0..10_000 {
            assert_eq!(budget.take(began), Line::LeaveOut);
        }
        let later = began + MINUTE;
        assert_eq!(budget.take(later), Line::WriteAfter { left_out: 10_000 });
        assert_eq!(budget.take(later), Line::Write);
    }
}
