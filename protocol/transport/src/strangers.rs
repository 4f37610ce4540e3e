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
        let mut under_way = self.lock();
        if !is_proven && under_way.all >= BELIEVED_HANDSHAKES {
            return Verdict::AskForProof;
        }
        let of_address = under_way.by_address.get(&address).copied().unwrap_or(0);
        if under_way.all >= MAX_HANDSHAKES || of_address >= MAX_HANDSHAKES_OF_AN_ADDRESS {
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
/// So many the hard limit of hospitals is, should all of them dial from behind one address.
const MAX_HANDSHAKES_OF_AN_ADDRESS: usize = 127;
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
    fn one_address_does_not_take_all_the_room_and_gives_it_back() {
        let handshakes = Handshakes::default();
        let greedy = || let_in(&handshakes, address(1), true);
        let under_way: Vec<_> = (0..MAX_HANDSHAKES_OF_AN_ADDRESS)
            .map(|_| greedy())
            .collect();
        let verdict = handshakes.judge(address(1), true);
        assert!(matches!(verdict, Verdict::TurnAway));
        let other = || let_in(&handshakes, address(2), true);
        let others: Vec<_> = (0..MAX_HANDSHAKES_OF_AN_ADDRESS).map(|_| other()).collect();
        assert_eq!(under_way.len() + others.len(), MAX_HANDSHAKES);
        let verdict = handshakes.judge(address(3), true);
        assert!(matches!(verdict, Verdict::TurnAway));
        drop((under_way, others));
        assert!(handshakes.lock().by_address.is_empty());
        greedy();
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
