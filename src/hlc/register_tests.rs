use super::*;

#[test]
fn nothing_above_the_mark_is_issued() {
    let register = Register::new(0);
    register.set_reserved(10, 5);
    assert_eq!(register.try_advance(0, 9), Some(9));
    assert_eq!(register.try_advance(9, 10), Some(10));
    assert_eq!(register.try_advance(10, 11), None);
    // A commit stamp neither.
    assert_eq!(register.try_commit(10, 0, 11), None);
}

#[test]
fn the_fast_path_issues_what_is_new_and_needs_no_higher_mark() {
    let register = Register::new(3);
    register.set_reserved(10, 5);
    for (physical, issued) in [(3, None), (4, Some(4)), (4, None), (5, Some(5)), (6, None)] {
        assert_eq!(register.try_issue(physical), issued, "{physical}");
    }
}

#[test]
fn an_ordinary_stamp_never_equals_a_commit_stamp() {
    let register = Register::new(0);
    assert_eq!(Register::commit_after(0, 0, 4), Some(5));
    assert_eq!(register.try_commit(0, 0, 5), Some(5));
    // Beside it, below where there is room.
    for (last, next, beside) in [(0, 6, 6), (0, 7, 7), (0, 5, 4), (4, 5, 6), (0, 1, 2)] {
        assert_eq!(register.skip_commit(last, next), Some(beside), "{next} after {last}");
    }
    assert_eq!(register.try_issue(3), None, "it may be an earlier commit stamp");
    assert_eq!(register.try_issue(4), Some(4));
    assert_eq!(register.try_issue(5), None);
    assert_eq!(register.try_advance(4, 5), None, "one that was not seen before");
    assert_eq!(register.try_issue(7), Some(7));
}
