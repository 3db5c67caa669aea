use super::*;

#[test]
fn nothing_above_the_mark_is_issued() {
    let register = Register::new(0);
    register.set_reserved(10, 5);
    assert_eq!(register.try_advance(0, 9), Some(9));
    assert_eq!(register.try_advance(9, 10), Some(10));
    assert_eq!(register.try_advance(10, 11), None);
    // A commit stamp neither.
    let register = Register::new(0);
    register.set_reserved(10, 5);
    assert_eq!(register.try_commit(0, 0, 11), None);
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

#[test]
fn a_commit_stamp_never_equals_an_ordinary_stamp() {
    let register = Register::new(0);
    assert_eq!(register.try_issue(5), Some(5));
    // It was computed before that.
    assert_eq!(register.try_commit(0, 0, 5), None);
    assert_eq!(register.try_commit(5, 5, 7), Some(7));
}

#[test]
fn a_commit_stamp_of_an_earlier_run_is_waited_out_unless_it_was_issued_since() {
    let register = Register::new(0);
    register.advance_to(6);
    register.resume_commit(6);
    assert_eq!(register.unconfirmed(), 0);
    register.resume_commit(8);
    assert_eq!((register.unconfirmed(), register.last()), (8, 8));
}

#[test]
fn steps_that_do_not_explain_where_the_register_is_are_not_noted() {
    let register = Register::new(0);
    assert!(!register.note_logical(5, 3));
    assert_eq!(register.logical_steps(), 0);
    assert!(register.note_logical(0, 3) && register.note_logical(3, 0));
    assert_eq!(register.logical_steps(), 3);
}
