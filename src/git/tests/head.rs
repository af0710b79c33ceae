//! What became of HEAD.

use super::*;

/// What `act` makes of HEAD.
fn moved(fixture: &Fixture, act: &[&[&str]]) -> Moved {
    let repo = fixture.repo();
    let before = repo.head().unwrap();
    for args in act {
        fixture.git(args);
    }
    repo.moved(&before, &repo.head().unwrap()).unwrap()
}

const EMPTY: &[&str] = &["commit", "-q", "--allow-empty", "-m", "more"];

#[test]
fn head_is_told_on_a_branch_detached_and_before_the_first_commit() {
    each(|fixture| {
        let tip = Oid::parse(fixture.git(&["rev-parse", "HEAD"]).as_bytes());
        let head = fixture.repo().head().unwrap();
        assert_eq!(
            (head.branch.as_deref(), head.branch_name(), &head.commit),
            (Some("refs/heads/main"), Some("main"), &tip)
        );
        fixture.git(&["checkout", "-q", "--detach"]);
        let head = fixture.repo().head().unwrap();
        assert_eq!((head.branch, head.commit), (None, tip));
        fixture.git(&["checkout", "-q", "--orphan", "fresh"]);
        let head = fixture.repo().head().unwrap();
        assert_eq!((head.branch.as_deref(), head.commit), (Some("refs/heads/fresh"), None));
    });
}

#[test]
fn commits_in_a_line_are_told_oldest_first() {
    each(|fixture| {
        assert_eq!(moved(&fixture, &[]), Moved::No);
        let Moved::Commits(commits) = moved(&fixture, &[EMPTY, EMPTY]) else { panic!() };
        let listed = fixture.git(&["rev-list", "--reverse", "-2", "HEAD"]);
        assert_eq!(commits.iter().map(Oid::as_str).collect::<Vec<_>>(), listed.lines().collect::<Vec<_>>());
        // It amends only what it made itself.
        let amended = moved(&fixture, &[EMPTY, &["commit", "-q", "--allow-empty", "--amend", "-m", "better"]]);
        assert!(matches!(amended, Moved::Commits(commits) if commits.len() == 1));
        fixture.git(&["checkout", "-q", "--detach"]);
        assert!(matches!(moved(&fixture, &[EMPTY]), Moved::Commits(_)));
        fixture.git(&["checkout", "-q", "--orphan", "fresh"]);
        assert!(matches!(moved(&fixture, &[EMPTY, EMPTY]), Moved::Commits(commits) if commits.len() == 2));
    });
}

#[test]
fn anything_else_is_told_apart_from_commits() {
    let steps: [&[&[&str]]; 10] = [
        &[&["checkout", "-qb", "other"]],
        // Back where it was; only the record of HEAD's moves has it.
        &[&["checkout", "-qb", "other"], &["checkout", "-q", "main"]],
        &[&["checkout", "-q", "--detach"]],
        &[&["reset", "-q", "--hard", "HEAD~1"]],
        &[&["reset", "-q", "--hard"]],
        &[EMPTY, &["reset", "-q", "--hard", "HEAD~1"]],
        &[&["commit", "-q", "--allow-empty", "--amend", "-m", "rewritten"]],
        &[&["merge", "-q", "--no-ff", "-m", "merge", "side"]],
        &[&["rebase", "-q", "--onto", "side", "HEAD~1"]],
        &[&["stash", "-q", "-u"]],
    ];
    for step in steps {
        each(|fixture| {
            fixture.git(EMPTY);
            fixture.git(&["branch", "side"]);
            fixture.git(&["checkout", "-q", "side"]);
            fixture.git(&["commit", "-q", "--allow-empty", "-m", "aside"]);
            fixture.git(&["checkout", "-q", "main"]);
            fixture.git(EMPTY);
            fixture.write("README", "dirty\n");
            if step[0][0] == "rebase" {
                fixture.git(&["checkout", "-q", "README"]);
            }
            let moved = moved(&fixture, step);
            assert!(matches!(moved, Moved::Other(_)), "{step:?}: {moved:?}");
        });
    }
}

#[test]
fn without_a_record_of_moves_the_places_are_compared() {
    each(|fixture| {
        fixture.git(&["config", "core.logAllRefUpdates", "false"]);
        fs::remove_dir_all(fixture.path(".git/logs")).unwrap();
        assert!(matches!(moved(&fixture, &[EMPTY]), Moved::Commits(_)));
        let back = moved(&fixture, &[&["reset", "-q", "--hard", "HEAD~1"]]);
        assert!(matches!(&back, Moved::Other(text) if text.starts_with("HEAD went back from main at ")), "{back:?}");
    });
}
