//! What a failed task left.

use super::*;

#[test]
fn what_a_failed_task_left_is_saved_and_taken_out() {
    each(|fixture| {
        fixture.write("deleted", "x\n");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "more"]);
        fixture.write("person", "x\n");
        let mut snapshot = fixture.follow();
        fixture.write("README", "half done\n");
        fixture.write("deep/er/new", "x\n");
        fs::remove_file(fixture.path("deleted")).unwrap();
        fixture.git(&["add", "README", "deep"]);
        let changes = snapshot.look().unwrap().changes;
        let mut committer = fixture.committer();
        let saved = committer.salvage("x", "1.1", 5, &changes).unwrap().unwrap();
        assert_eq!(saved.name, "refs/spec/salvage/x/1.1/5");
        assert_eq!((brief(&saved.removed).as_str(), saved.left.len()), ("~README +deep/er/new -deleted", 0));
        assert_eq!(fixture.status(), "?? person");
        assert_eq!(fixture.read("README"), "hello\n");
        assert!(!fixture.path("deep").exists());
        let kept = fixture.git(&["diff", "--no-renames", "--name-status", "HEAD", &saved.name]);
        assert_eq!(kept, "M\tREADME\nA\tdeep/er/new\nD\tdeleted");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "~README -deep/er/new +deleted");
    });
}

#[test]
fn what_someone_else_changed_since_is_left() {
    each(|fixture| {
        let mut snapshot = fixture.follow();
        fixture.write("a", "a task's\n");
        fixture.write("b", "a task's\n");
        let changes = snapshot.look().unwrap().changes;
        fixture.write("a", "a task's\nand a person's\n");
        let saved = fixture.committer().salvage("x", "1.1", 1, &changes).unwrap().unwrap();
        assert_eq!((brief(&saved.removed), brief(&saved.left)), ("+b".to_owned(), "+a".to_owned()));
        assert_eq!(fixture.read("a"), "a task's\nand a person's\n");
        assert_eq!(fixture.git(&["show", &format!("{}:a", saved.name)]), "a task's");
    });
}

#[test]
fn salvage_can_be_repeated_and_keeps_what_an_earlier_run_saved() {
    each(|fixture| {
        let mut snapshot = fixture.follow();
        fixture.write("a", "1\n");
        let changes = snapshot.look().unwrap().changes;
        let first = fixture.committer().salvage("x", "1.1", 1, &changes).unwrap().unwrap();
        // After a crash: saved, but not said so.
        let again = fixture.committer().salvage("x", "1.1", 1, &changes).unwrap().unwrap();
        assert_eq!((&first.name, fixture.status().as_str()), (&again.name, ""));
        snapshot.look().unwrap();
        fixture.write("a", "2\n");
        let changes = snapshot.look().unwrap().changes;
        let other = fixture.committer().salvage("x", "1.1", 1, &changes).unwrap().unwrap();
        assert_eq!(other.name, "refs/spec/salvage/x/1.1/1-2");
        assert_eq!(fixture.git(&["show", &format!("{}:a", first.name)]), "1");
    });
}

#[test]
fn any_task_can_be_named_in_a_ref() {
    each(|fixture| {
        for (number, task) in [":7", "1.2@14", "a b..c", ".lock", "..", "é/x.lock", ""].into_iter().enumerate() {
            let mut snapshot = fixture.follow();
            fixture.write("a", number.to_string());
            let changes = snapshot.look().unwrap().changes;
            let saved = fixture.committer().salvage("my spec", task, 1, &changes).unwrap().unwrap();
            assert!(saved.name.starts_with("refs/spec/salvage/my-spec/"), "{saved:?}");
        }
    });
}

#[test]
fn before_the_first_commit_there_is_something_to_save_too() {
    for program in gits() {
        let fixture = Fixture::empty(program);
        let mut snapshot = fixture.follow();
        fixture.write("a", "x\n");
        let changes = snapshot.look().unwrap().changes;
        fixture.committer().salvage("x", "1.1", 1, &changes).unwrap().unwrap();
        assert_eq!(fixture.status(), "");
        assert!(fixture.committer().salvage("x", "1.1", 1, &[]).unwrap().is_none());
    }
}
