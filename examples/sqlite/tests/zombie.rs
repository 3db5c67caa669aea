//! The story of `zombie.rs`, told to a test: two processes, a real stop,
//! a real file, once without a fence and once with it.

#[path = "../src/bin/zombie.rs"]
mod zombie;

use std::time::Duration;

use zombie::{Account, End, POLL_EVERY};

/// Not a test, but the program of a child. Without its environment it does nothing.
#[test]
fn the_child() {
    zombie::run_as_child().expect("the child can run");
}

fn tell(fenced: bool) -> End {
    // Repeat if the host was so busy that its own delays outweigh the stop, because the process
    // reports only the main reason of a pause.
    for _ in 0..20 {
        let end = zombie::tell(fenced, false).expect("the story can be told");
        assert!(end.tokens[0] < end.tokens[1], "{end:?}");
        if kind_of_pause(&end) == "Stopped" {
            return end;
        }
    }
    panic!("it never reported that it was stopped");
}

/// Checks the reports of the stopped process, which are the same with and without a fence: its
/// lease is over, and the pause was as long as the stop. Returns the kind of the pause.
fn kind_of_pause(end: &End) -> &str {
    assert_eq!(end.lease[0], "lost", "{end:?}");
    let figures: Vec<_> = end.pause[0].split('/').collect();
    let [kind, at_least, at_most] = figures[..] else { panic!("no figures in {end:?}") };
    let nanos = |text: &str| Duration::from_nanos(text.parse().expect("a number"));
    assert!(nanos(at_most) >= end.stopped - POLL_EVERY, "{end:?}");
    assert!(nanos(at_least) >= end.stopped - 2 * POLL_EVERY, "{end:?}");
    let says_stopped = end.pause.join(" ").contains("this process was stopped for");
    assert_eq!(says_stopped, kind == "Stopped", "{end:?}");
    kind
}

#[test]
fn without_a_fence_the_stopped_holder_destroys_the_write_of_its_successor() {
    let end = tell(false);
    assert_eq!(end.write[0], "wrote", "{end:?}");
    // The balance lacks the 50 that were paid in.
    assert_eq!(end.account, Account { balance: 70, entries: 120 });
}

#[test]
fn with_a_fence_its_write_is_refused_with_both_tokens() {
    let end = tell(true);
    assert_eq!(end.write[0], "refused", "{end:?}");
    let refusal = end.write.join(" ");
    for token in end.tokens {
        assert!(refusal.contains(&token.to_string()), "{token} in {refusal}");
    }
    assert_eq!(end.account, Account { balance: 150, entries: 150 });
}
