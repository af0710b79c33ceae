//! Commits without hooks: just the task's, and everything of the person's as it was.

use super::*;

/// What a task makes of the tree, seen.
fn made(fixture: &Fixture, act: impl FnOnce()) -> Vec<Change> {
    let mut snapshot = fixture.follow();
    act();
    snapshot.look().unwrap().changes
}

#[test]
fn a_commit_has_the_task_s_changes_and_the_tick_and_nothing_else() {
    each(|fixture| {
        let changes = made(&fixture, || {
            fixture.write("a", "a\n");
            fixture.write("README", "changed\n");
            fixture.git(&["add", "a"]);
        });
        fixture.write("specs/x/tasks.md", tick(LIST.as_bytes()).unwrap());
        let list = "specs/x/tasks.md".into();
        let edits = [FileEdit { path: &list, edit: &tick }];
        let (made, _) = commit(&mut fixture.committer(), &land(&changes, &edits)).unwrap();
        assert_eq!(made.subject, "feat: one");
        assert_eq!(fixture.status(), "");
        insta::allow_duplicates! {
            insta::assert_snapshot!(fixture.git(&["show", "--format=%an %ae%n%B", "HEAD"]), @r"
            A a@example.com
            feat: one

            Spec-Task: 1.1
            Spec-Run: r1
            Spec-Attempt: 1


            diff --git a/README b/README
            index ce01362..5ea2ed4 100644
            --- a/README
            +++ b/README
            @@ -1 +1 @@
            -hello
            +changed
            diff --git a/a b/a
            new file mode 100644
            index 0000000..7898192
            --- /dev/null
            +++ b/a
            @@ -0,0 +1 @@
            +a
            diff --git a/specs/x/tasks.md b/specs/x/tasks.md
            index 0e8a92b..2b0e14e 100644
            --- a/specs/x/tasks.md
            +++ b/specs/x/tasks.md
            @@ -1,4 +1,4 @@
             # List
             
            -- [ ] 1.1 One
            +- [x] 1.1 One
             - [ ] 1.2 Two
            ");
        }
        assert_eq!(fixture.git(&["log", "-1", "--format=%(trailers:key=Spec-Task,valueonly)"]).trim(), "1.1");
        assert_eq!(fixture.git(&["reflog", "-1", "--format=%gs"]), "commit: feat: one");
    });
}

#[test]
fn a_person_s_staged_and_unstaged_changes_stay_as_they_are() {
    each(|fixture| {
        for path in ["staged", "unstaged", "both"] {
            fixture.write(path, "old\n");
        }
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "more"]);
        fixture.write("staged", "new\n");
        fixture.write("both", "half\n");
        fixture.write("staged new", "x\n");
        fixture.git(&["add", "staged", "both", "staged new"]);
        fixture.write("both", "new\n");
        fixture.write("unstaged", "new\n");
        fixture.write("untracked", "x\n");
        fixture.write("specs/x/tasks.md", format!("{LIST}- [ ] 1.3 a person's\n"));
        let seen = || {
            let unstaged = fixture.git(&["diff", "--", ":!specs"]);
            (fixture.status(), unstaged, fixture.git(&["diff", "--cached"]))
        };
        let before = seen();
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let list = "specs/x/tasks.md".into();
        commit(&mut fixture.committer(), &land(&changes, &[FileEdit { path: &list, edit: &tick }])).unwrap();
        // The list on disk is not ours to write: it has the person's line and, so far, no tick.
        fs::remove_file(fixture.path("a")).unwrap();
        assert_eq!(seen().0, format!(" D a\n{}", before.0));
        fixture.write("a", "a\n");
        assert_eq!(seen(), before);
        assert_eq!(fixture.log().lines().take(4).collect::<Vec<_>>(), ["feat: one", "", "A\ta", "M\tspecs/x/tasks.md"]);
        assert_eq!(
            fixture.git(&["show", "HEAD:specs/x/tasks.md"]),
            tick(LIST.as_bytes()).map(String::from_utf8).unwrap().unwrap().trim_end()
        );
        assert!(fixture.read("specs/x/tasks.md").ends_with("a person's\n"));
    });
}

#[test]
fn an_edit_of_the_list_that_a_person_staged_gets_the_tick_too() {
    each(|fixture| {
        fixture.write("specs/x/tasks.md", format!("{LIST}- [ ] 1.3 staged\n"));
        fixture.git(&["add", "specs"]);
        let list = "specs/x/tasks.md".into();
        commit(&mut fixture.committer(), &land(&[], &[FileEdit { path: &list, edit: &tick }])).unwrap();
        let added = fixture.git(&["diff", "--cached", "-U0"]);
        assert_eq!(
            added.lines().filter(|line| line.starts_with(['+', '-'])).skip(2).collect::<Vec<_>>(),
            ["+- [ ] 1.3 staged"]
        );
        assert!(fixture.git(&["show", ":specs/x/tasks.md"]).contains("[x] 1.1"));
    });
}

#[test]
fn files_that_head_does_not_have_are_told_and_not_added() {
    each(|fixture| {
        fixture.write(".gitignore", ".progress.md\n");
        fixture.git(&["rm", "-q", "--cached", "specs/x/tasks.md"]);
        fixture.git(&["add", ".gitignore"]);
        fixture.git(&["commit", "-qm", "forget the list"]);
        fixture.write("specs/x/.progress.md", "x\n");
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let (list, progress) = ("specs/x/tasks.md".into(), "specs/x/.progress.md".into());
        let edits = [FileEdit { path: &list, edit: &tick }, FileEdit { path: &progress, edit: &|_| Some(Vec::new()) }];
        let mut committer = fixture.committer();
        let head = fixture.repo().head().unwrap();
        let prepared = committer.prepare(&head, &land(&changes, &edits)).unwrap();
        assert_eq!(prepared.not_added, [list.clone(), progress.clone()]);
        committer.publish(&prepared.commit.unwrap(), &land(&changes, &edits), None).unwrap();
        assert_eq!(fixture.log().lines().nth(2), Some("A\ta"));
        assert_eq!(fixture.status(), "?? specs/x/tasks.md");
    });
}

#[test]
fn with_nothing_to_commit_there_is_no_commit() {
    each(|fixture| {
        let list = "specs/x/tasks.md".into();
        let edits = [FileEdit { path: &list, edit: &|_| None }];
        let head = fixture.repo().head().unwrap();
        assert_eq!(fixture.committer().prepare(&head, &land(&[], &edits)).unwrap().commit, None);
        // The task committed by itself what was seen of it.
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        fixture.git(&["add", "a"]);
        fixture.git(&["commit", "-qm", "its own"]);
        let head = fixture.repo().head().unwrap();
        assert_eq!(fixture.committer().prepare(&head, &land(&changes, &edits)).unwrap().commit, None);
    });
}

#[test]
fn trailers_join_the_block_that_is_there() {
    each(|fixture| {
        let mut committer = fixture.committer();
        for (number, (message, expected)) in [
            ("fix: x", "fix: x\n\nT: 1"),
            ("fix: x\n\nBody: not\na trailer\n\n", "fix: x\n\nBody: not\na trailer\n\nT: 1"),
            (
                "fix: x\n\nBody.\n\nSigned-off-by: A <a@b>\nRefs: #1\n  more",
                "fix: x\n\nBody.\n\nSigned-off-by: A <a@b>\nRefs: #1\n  more\nT: 1",
            ),
            ("# no comment", "# no comment\n\nT: 1"),
        ]
        .into_iter()
        .enumerate()
        {
            let changes = made(&fixture, || fixture.write("a", number.to_string()));
            let request = CommitRequest { message, trailers: &[("T", "1")], ..land(&changes, &[]) };
            commit(&mut committer, &request).unwrap();
            assert_eq!(fixture.git(&["log", "-1", "--format=%B"]), expected);
            assert_eq!(fixture.git(&["log", "-1", "--format=%(trailers:key=T,valueonly)"]).trim(), "1");
        }
    });
}

#[test]
fn the_first_commit_of_a_repository() {
    for program in gits() {
        let fixture = Fixture::empty(program);
        fixture.write("person", "x\n");
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let (made, _) = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!((made.parent, made.branch.as_deref()), (None, Some("refs/heads/main")));
        assert_eq!(fixture.log(), "feat: one\n\nA\ta");
        assert_eq!(fixture.status(), "?? person");
    }
}

#[test]
fn a_detached_head_moves_and_no_branch_does() {
    each(|fixture| {
        fixture.git(&["checkout", "-q", "--detach"]);
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let (made, _) = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fixture.git(&["rev-parse", "HEAD"]), made.id.as_str());
        assert_eq!(fixture.git(&["rev-parse", "main"]), made.parent.unwrap().as_str());
        assert!(!fixture.try_git(&["symbolic-ref", "-q", "HEAD"]).0);
    });
}

#[test]
fn a_linked_working_tree_is_worked_in_like_any_other() {
    each(|mut fixture| {
        fixture.git(&["worktree", "add", "-q", "../linked", "-b", "linked"]);
        let main = fixture.git(&["rev-parse", "main"]);
        fixture.root = fixture.root.with_file_name("linked");
        fixture.repo().exclude().unwrap();
        fixture.write("specs/x/.spec/x", "x\n");
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
        assert_eq!(fixture.git(&["log", "-1", "--format=%s", "linked"]), "feat: one");
        assert_eq!(fixture.git(&["rev-parse", "main"]), main);
    });
}

#[test]
fn strange_names_modes_and_links_are_committed_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    each(|fixture| {
        let changes = made(&fixture, || {
            fixture.write(std::ffi::OsStr::from_bytes(b"caf\xe9"), "x\n");
            fixture.write(" lead\n\"quote\t*", "x\n");
            fixture.script("run.sh", "true");
            std::os::unix::fs::symlink("nowhere", fixture.path("link")).unwrap();
            fs::remove_file(fixture.path("README")).unwrap();
        });
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
        let modes = fixture.git(&["ls-tree", "--format=%(objectmode) %(path)", "HEAD"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(modes, @r#"
            100644 " lead\n\"quote\t*"
            100644 "caf\351"
            120000 link
            100755 run.sh
            040000 specs
            "#);
        }
    });
}

#[test]
fn nothing_is_committed_where_head_is_not_as_it_was() {
    let acts: [&[&str]; 3] = [
        &["checkout", "-qb", "other"],
        &["commit", "-q", "--allow-empty", "-m", "someone else's"],
        &["checkout", "-q", "--detach"],
    ];
    for act in acts {
        each(|fixture| {
            let changes = made(&fixture, || fixture.write("a", "a\n"));
            let mut committer = fixture.committer();
            let head = fixture.repo().head().unwrap();
            let prepared = committer.prepare(&head, &land(&changes, &[])).unwrap().commit.unwrap();
            fixture.git(act);
            let before = (fixture.git(&["rev-parse", "HEAD", "main"]), fixture.status());
            let refused = committer.publish(&prepared, &land(&changes, &[]), None).unwrap_err();
            assert!(matches!(refused, CommitError::HeadMoved { .. }), "{refused:?}");
            assert_eq!((fixture.git(&["rev-parse", "HEAD", "main"]), fixture.status()), before);
            // Prepared again on what is there now, it lands.
            commit(&mut committer, &land(&changes, &[])).unwrap();
            assert_eq!(fixture.status(), "");
        });
    }
}

/// Two tasks after each other in one file; both changes are known apart.
fn two_in_one_file(fixture: &Fixture, first: &str, second: &str) -> (Vec<Change>, Vec<Change>) {
    fixture.write("README", "one\ntwo\nthree\nfour\nfive\n");
    fixture.git(&["commit", "-qam", "lines"]);
    let mut snapshot = fixture.follow();
    fixture.write("README", first);
    let one = snapshot.look().unwrap().changes;
    fixture.write("README", second);
    (one, snapshot.look().unwrap().changes)
}

#[test]
fn a_change_lands_without_what_a_sibling_changed_in_the_same_file() {
    each(|fixture| {
        let (one, two) = two_in_one_file(&fixture, "ONE\ntwo\nthree\nfour\nfive\n", "ONE\ntwo\nthree\nfour\nFIVE\n");
        let mut committer = fixture.committer();
        commit(&mut committer, &land(&two, &[])).unwrap();
        assert_eq!(fixture.git(&["show", "HEAD:README"]), "one\ntwo\nthree\nfour\nFIVE");
        assert_eq!(fixture.status(), "M README".trim().to_owned().replace("M ", " M ").trim_end());
        commit(&mut committer, &land(&one, &[])).unwrap();
        assert_eq!(fixture.git(&["show", "HEAD:README"]), "ONE\ntwo\nthree\nfour\nFIVE");
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_change_that_does_not_fit_is_a_conflict_and_nothing_moves() {
    each(|fixture| {
        let (_, two) = two_in_one_file(&fixture, "1\ntwo\nthree\nfour\nfive\n", "uno\ntwo\nthree\nfour\nfive\n");
        let before = (fixture.git(&["rev-parse", "HEAD"]), fixture.status(), fixture.read("README"));
        let error = commit(&mut fixture.committer(), &land(&two, &[])).unwrap_err();
        assert_eq!(error.to_string(), "the change does not fit what is on the tip: README");
        assert_eq!((fixture.git(&["rev-parse", "HEAD"]), fixture.status(), fixture.read("README")), before);
    });
}

#[test]
fn a_crash_before_the_branch_moved_is_finished() {
    each(|fixture| {
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let head = fixture.repo().head().unwrap();
        let prepared = recorded(fixture.committer().prepare(&head, &land(&changes, &[])).unwrap());
        // A new process knows the commit from its journal.
        assert!(fixture.committer().recover(&prepared, &land(&changes, &[]), None).unwrap().is_some());
        assert_eq!(fixture.git(&["rev-parse", "HEAD"]), prepared.id.as_str());
        assert_eq!(fixture.status(), "");
        assert!(fixture.committer().recover(&prepared, &land(&changes, &[]), None).unwrap().is_some());
        assert_eq!((fixture.git(&["rev-list", "--count", "HEAD"]).as_str(), fixture.status().as_str()), ("2", ""));
        // What a person staged since is theirs.
        fixture.write("a", "a person's\n");
        fixture.git(&["add", "a"]);
        assert!(fixture.committer().recover(&prepared, &land(&changes, &[]), None).unwrap().is_some());
        assert_eq!(fixture.status(), "M  a");
    });
}

#[test]
fn a_crash_between_branch_and_index_is_finished() {
    each(|fixture| {
        let changes = made(&fixture, || {
            fixture.write("a", "a\n");
            fs::remove_file(fixture.path("README")).unwrap();
        });
        fixture.write("specs/x/tasks.md", tick(LIST.as_bytes()).unwrap());
        let list = "specs/x/tasks.md".into();
        let edits = [FileEdit { path: &list, edit: &tick }];
        let head = fixture.repo().head().unwrap();
        let prepared = recorded(fixture.committer().prepare(&head, &land(&changes, &edits)).unwrap());
        fixture.git(&["update-ref", "HEAD", prepared.id.as_str()]);
        assert_ne!(fixture.status(), "");
        assert!(fixture.committer().recover(&prepared, &land(&changes, &edits), None).unwrap().is_some());
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_prepared_commit_that_no_longer_fits_is_given_up() {
    each(|fixture| {
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let head = fixture.repo().head().unwrap();
        let prepared = fixture.committer().prepare(&head, &land(&changes, &[])).unwrap().commit.unwrap();
        fixture.git(&["commit", "-q", "--allow-empty", "-m", "someone else's"]);
        assert!(fixture.committer().recover(&prepared, &land(&changes, &[]), None).unwrap().is_none());
        // After a power cut the object itself may be missing.
        let lost =
            NewCommit::recorded(Oid::parse(&[b'1'; 40]).unwrap(), prepared.parent, prepared.branch, String::new());
        assert!(fixture.committer().recover(&lost, &land(&changes, &[]), None).unwrap().is_none());
    });
}

#[test]
fn a_held_index_is_named_and_nothing_moves() {
    each(|fixture| {
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        let before = fixture.git(&["rev-parse", "HEAD"]);
        fixture.write(".git/index.lock", "");
        let error = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap_err().to_string();
        assert!(error.contains(".git/index.lock is there: another git works in this repository"), "{error}");
        assert_eq!(fixture.git(&["rev-parse", "HEAD"]), before);
        fs::remove_file(fixture.path(".git/index.lock")).unwrap();
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn an_index_that_is_held_for_a_moment_is_waited_for() {
    each(|fixture| {
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        fixture.write(".git/index.lock", "");
        let mut committer = fixture.committer();
        committer.patience.lock_tries = 200;
        let lock = fixture.path(".git/index.lock");
        std::thread::scope(|scope| {
            scope.spawn(|| fs::remove_file(lock));
            commit(&mut committer, &land(&changes, &[])).unwrap();
        });
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_person_may_look_and_stage_while_tasks_land() {
    each(|fixture| {
        let mut committer = fixture.committer();
        committer.patience.lock_tries = 200;
        let mut snapshot = fixture.follow();
        std::thread::scope(|scope| {
            let person = scope.spawn(|| {
                for number in 0..10 {
                    fixture.status();
                    fixture.write(format!("person/{number}"), "x\n");
                    while !fixture.try_git(&["add", &format!("person/{number}")]).0 {}
                }
            });
            for number in 0..10 {
                fixture.write(format!("task/{number}"), "x\n");
                let seen = snapshot.look().unwrap().changes;
                let own: Vec<Change> = seen.into_iter().filter(|change| change.path.is_within(b"task")).collect();
                commit(&mut committer, &land(&own, &[])).unwrap();
            }
            person.join().unwrap();
        });
        let status = fixture.status();
        assert_eq!(status.lines().count(), 10, "{status}");
        assert!(status.lines().all(|line| line.starts_with("A  person/")), "{status}");
        assert_eq!(fixture.git(&["ls-tree", "-r", "--name-only", "HEAD", "task/"]).lines().count(), 10);
    });
}

#[test]
fn an_identity_that_went_missing_is_told() {
    each(|fixture| {
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        fixture.put(&fixture.temp.path().join("gitconfig"), b"[user]\nuseConfigOnly = true\n");
        let error = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap_err();
        assert!(matches!(error, CommitError::Git(Error::NoIdentity { .. })), "{error:?}");
    });
}

#[test]
fn commits_are_signed_where_the_user_signs_and_a_failure_is_told() {
    each(|fixture| {
        let gpg = fixture.script(
            ".git/gpg",
            "cat > /dev/null; echo '[GNUPG:] SIG_CREATED ' >&2; echo '-----BEGIN PGP SIGNATURE-----'; echo '-----END PGP SIGNATURE-----'",
        );
        fixture.git(&["config", "commit.gpgSign", "true"]);
        fixture.git(&["config", "gpg.program", gpg.to_str().unwrap()]);
        let changes = made(&fixture, || fixture.write("a", "a\n"));
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert!(fixture.git(&["cat-file", "commit", "HEAD"]).contains("gpgsig -----BEGIN PGP SIGNATURE-----"));
        fixture.script(".git/gpg", "cat > /dev/null; echo 'no pinentry' >&2; exit 2");
        let changes = made(&fixture, || fixture.write("a", "b\n"));
        let error = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap_err();
        assert!(matches!(&error, CommitError::Signing { tail } if tail.contains("failed to sign")), "{error:?}");
        assert_eq!(fixture.status(), " M a");
        // A passphrase that nobody types.
        fixture.script(".git/gpg", "exec sleep 60");
        let mut committer = fixture.committer();
        committer.patience.signing = Duration::from_millis(200);
        let error = commit(&mut committer, &land(&changes, &[])).unwrap_err();
        assert!(matches!(error, CommitError::Signing { .. }), "{error:?}");
    });
}

#[test]
fn a_commit_costs_nine_calls() {
    each(|mut fixture| {
        let trace = fixture.temp.path().join("trace");
        fixture.inherited = vec![("GIT_TRACE2".into(), trace.clone().into())];
        let mut committer = fixture.committer();
        let list = "specs/x/tasks.md".into();
        for content in ["1\n", "2\n", "3\n"] {
            let changes = made(&fixture, || fixture.write("a", content));
            let add = |list: &[u8]| Some([list, b"x\n"].concat());
            let edits = [FileEdit { path: &list, edit: &add }];
            fs::remove_file(&trace).unwrap();
            commit(&mut committer, &land(&changes, &edits)).unwrap();
            let calls = fs::read_to_string(&trace).unwrap().lines().filter(|line| line.contains(" start ")).count();
            // What is there of the folders and of the list is known from the second on.
            assert_eq!(calls, if content == "1\n" { 11 } else { 9 });
        }
    });
}
