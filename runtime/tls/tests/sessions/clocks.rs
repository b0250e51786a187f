//! Clocks that are wrong: a board without a battery joins the mesh, and no clock makes it believe what has expired.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use rcgen::date_time_ymd;
use tls::{Clock, Options, ServerContext};

use crate::mesh::{Authority, Leaf, Pair, TD, client, options, uri};

const DAY: u64 = 24 * 3600;
/// Noon of 2026-06-15, by all clocks that are right.
const NOON: u64 = 1_781_524_800;

/// A clock that a test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicUsize>);

impl Hands {
    fn at(seconds: u64) -> Self {
        Self(Arc::new(AtomicUsize::new(
            usize::try_from(seconds).unwrap(),
        )))
    }

    fn set(&self, seconds: u64) {
        self.0.store(usize::try_from(seconds).unwrap(), Relaxed);
    }

    fn clock(&self) -> Clock {
        let hands = Arc::clone(&self.0);
        Clock::new(move || Duration::from_secs(u64::try_from(hands.load(Relaxed)).unwrap()))
    }
}

/// A leaf with three days of life, as Consul's have, issued on this day of June 2026.
fn leaf(root: &Authority, service: &str, day: u8) -> Leaf {
    root.leaf_with(&uri(TD, service), |params| {
        params.not_before = date_time_ymd(2026, 6, day);
        params.not_after = date_time_ymd(2026, 6, day + 3);
    })
}

/// A board with this clock, whose own leaf is of this day.
fn board(root: &Authority, clock: &Clock, own: u8) -> ServerContext {
    let options = Options {
        clock: clock.clone(),
        ..options()
    };
    let identity = leaf(root, "db", own).identity();
    clock.own(identity.validity().not_before);
    ServerContext::new(&identity, root.trust(), &options).unwrap()
}

/// A caller whose clock is right, with a leaf of this day, calls the board: what the board says against it, if anything.
fn call(root: &Authority, board: &ServerContext, issued: u8) -> Result<(), String> {
    let right = Options {
        clock: Hands::at(NOON).clock(),
        ..options()
    };
    let pair = Pair::shake(&client(root, &leaf(root, "web", issued), &right), board);
    match pair.server.session.peer() {
        Some(_) => Ok(()),
        None => Err(pair.server.error()),
    }
}

#[test]
fn a_board_in_1970_takes_what_is_valid_and_refuses_what_has_expired() {
    let root = Authority::root("root");
    let clock = Hands::at(5).clock().with_floor(NOON - 30 * DAY);
    let board = board(&root, &clock, 14);
    assert!(clock.is_behind());
    // Its own leaf tells that it is the 14th at least.
    let refused = call(&root, &board, 10).unwrap_err();
    assert!(refused.contains("expired 86400 s ago"), "{refused}");
    // Issued after its own: news, not a reason to refuse.
    assert_eq!(call(&root, &board, 15), Ok(()));
    // From now on that of the 11th has expired for it too, in the night of the 14th.
    let refused = call(&root, &board, 11).unwrap_err();
    assert!(refused.contains("expired 86400 s ago"), "{refused}");
    assert_eq!(call(&root, &board, 13), Ok(()));
    assert_eq!(clock.proven(), None, "a clock that is wrong proves nothing");
}

#[test]
fn nobody_but_an_authority_that_is_trusted_moves_the_clock() {
    let (root, stranger) = (Authority::root("root"), Authority::root("root"));
    let clock = Hands::at(5).clock();
    let board = board(&root, &clock, 13);
    let floor = clock.floor();
    assert!(call(&stranger, &board, 20).is_err());
    assert_eq!(clock.floor(), floor);
    // Of a service that is not expected, but of the mesh: it is late all the same.
    assert_eq!(call(&root, &board, 14), Ok(()));
    assert_eq!(clock.floor(), floor + DAY);
}

#[test]
fn a_certificate_of_our_own_from_the_future_does_no_harm_beyond_its_replacement() {
    let root = Authority::root("root");
    let clock = Hands::at(NOON).clock();
    let odd = board(&root, &clock, 25);
    assert!(clock.is_behind());
    let refused = call(&root, &odd, 14).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    let replaced = board(&root, &clock, 14);
    assert!(!clock.is_behind());
    assert_eq!(call(&root, &replaced, 14), Ok(()));
}

#[test]
fn a_clock_a_day_behind_is_found_out_by_what_was_written_down() {
    let root = Authority::root("root");
    let yesterday = NOON - DAY;
    // Nothing is known: the clock is believed, and today's leaf is refused, as anywhere.
    let innocent = Hands::at(yesterday).clock();
    let refused = call(&root, &board(&root, &innocent, 13), 15).unwrap_err();
    assert!(refused.contains("not valid yet"), "{refused}");
    // What was proven before the restart was an hour ago.
    let told = Hands::at(yesterday).clock().with_floor(NOON - 3600);
    assert_eq!(call(&root, &board(&root, &told, 13), 15), Ok(()));
    // A leaf that expired last night is refused although it is valid by the clock.
    let refused = call(&root, &board(&root, &told, 12), 12).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
}

#[test]
fn a_clock_a_year_ahead_refuses_everyone_and_leaves_nothing_behind() {
    let root = Authority::root("root");
    let hands = Hands::at(NOON + 365 * DAY);
    let clock = hands.clock().with_floor(NOON - DAY);
    let board = board(&root, &clock, 14);
    let refused = call(&root, &board, 15).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");
    assert_eq!(clock.proven(), None);
    hands.set(NOON);
    assert_eq!(call(&root, &board, 15), Ok(()));
    assert_eq!(clock.proven(), Some(NOON));
}

#[test]
fn jumps_both_ways_never_bring_back_what_has_expired() {
    let root = Authority::root("root");
    let hands = Hands::at(NOON);
    let clock = hands.clock();
    let board = board(&root, &clock, 13);
    assert_eq!(call(&root, &board, 15), Ok(()));
    // Back, to when a stolen certificate of the 10th was valid.
    for back in [NOON - 3 * DAY, NOON - 30 * DAY, 0] {
        hands.set(back);
        let refused = call(&root, &board, 10).unwrap_err();
        assert!(refused.contains("expired"), "{refused}");
        assert_eq!(call(&root, &board, 15), Ok(()), "at {back}");
    }
    hands.set(NOON + 365 * DAY);
    assert!(call(&root, &board, 15).is_err());
    hands.set(NOON + 60);
    assert_eq!(call(&root, &board, 15), Ok(()));
    // What is proven never falls, and is not what the jumps showed.
    assert_eq!(clock.proven(), Some(NOON + 60));
    hands.set(NOON - DAY);
    assert_eq!(call(&root, &board, 15), Ok(()));
    assert_eq!(clock.proven(), Some(NOON + 60));
}

#[test]
fn a_clock_that_is_right_takes_nothing_from_the_future() {
    let root = Authority::root("root");
    let clock = Hands::at(NOON).clock().with_floor(NOON - DAY);
    let board = board(&root, &clock, 14);
    let refused = call(&root, &board, 16).unwrap_err();
    assert!(refused.contains("not valid yet"), "{refused}");
    assert_eq!(clock.floor(), NOON - DAY);
}
