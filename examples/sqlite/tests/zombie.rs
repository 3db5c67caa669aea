//! The story of `zombie.rs`, told to a test: two processes, a real stop,
//! a real file, once without a fence and once with it.

#[path = "../src/bin/zombie.rs"]
mod zombie;

use std::time::Duration;

use zombie::{Account, End, LOOK};

/// Not a test of its own: the part of a child. Without its environment it does nothing.
#[test]
fn the_child() {
    zombie::play_a_part().expect("the part can be played");
}

fn tell(fenced: bool) -> End {
    // Again where the host was so busy that its own delays outweigh the stop: of several
    // reasons for one pause the process is told the main one.
    for _ in 0..20 {
        let end = zombie::tell(fenced, false).expect("the story can be told");
        assert!(end.tokens[0] < end.tokens[1], "{end:?}");
        if the_paused_process_says_so(&end) == "Stopped" {
            return end;
        }
    }
    panic!("it never learnt that it was stopped");
}

/// With a fence and without: it learns afterwards that it was away, for how long and of
/// which kind, which is returned, and that its lease is over.
fn the_paused_process_says_so(end: &End) -> &str {
    assert_eq!(end.lease[0], "lost", "{end:?}");
    let figures: Vec<_> = end.pause[0].split('/').collect();
    let [kind, at_least, at_most] = figures[..] else { panic!("no figures in {end:?}") };
    let nanos = |text: &str| Duration::from_nanos(text.parse().expect("a number"));
    assert!(nanos(at_most) >= end.stopped - LOOK, "{end:?}");
    assert!(nanos(at_least) >= end.stopped - 2 * LOOK, "{end:?}");
    let says_stopped = end.pause.join(" ").contains("this process was stopped for");
    assert_eq!(says_stopped, kind == "Stopped", "{end:?}");
    kind
}

#[test]
fn without_a_fence_the_holder_that_was_stopped_destroys_what_its_successor_wrote() {
    let end = tell(false);
    assert_eq!(end.write[0], "wrote", "{end:?}");
    // 50 were paid in, and are in no balance.
    assert_eq!(end.account, Account { balance: 70, entries: 120 });
}

#[test]
fn with_a_fence_its_write_is_refused_with_both_numbers() {
    let end = tell(true);
    assert_eq!(end.write[0], "refused", "{end:?}");
    let refusal = end.write.join(" ");
    for token in end.tokens {
        assert!(refusal.contains(&token.to_string()), "{token} in {refusal}");
    }
    assert_eq!(end.account, Account { balance: 150, entries: 150 });
}
