//! Commits with hooks.

use super::*;

fn made(fixture: &Fixture, path: &str, text: &str) -> Vec<Change> {
    let mut snapshot = fixture.follow();
    fixture.write(path, text);
    snapshot.look().unwrap().changes
}

#[test]
fn a_hook_that_refuses_is_quoted_and_nothing_moves() {
    for hook in ["pre-commit", "commit-msg", "prepare-commit-msg"] {
        each(|fixture| {
            fixture.hook(hook, "echo lint: line 3 is bad; exit 1");
            let changes = made(&fixture, "a", "a\n");
            let before = (fixture.git(&["rev-parse", "HEAD"]), fixture.status());
            let error = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap_err();
            assert!(matches!(&error, CommitError::Hook { tail } if tail.contains("lint: line 3 is bad")), "{error:?}");
            assert_eq!((fixture.git(&["rev-parse", "HEAD"]), fixture.status()), before);
        });
    }
}

#[test]
fn hooks_see_only_the_commit() {
    each(|fixture| {
        fixture.write("mine", "a person's\n");
        fixture.write("README", "a person's\n");
        fixture.git(&["add", "README"]);
        let seen = fixture.temp.path().join("seen");
        fixture.hook("pre-commit", &format!("(git status --porcelain; ls; cat README) > '{}'", seen.display()));
        let changes = made(&fixture, "a", "a\n");
        let before = fs::read(fixture.path(".git/index")).unwrap();
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fs::read_to_string(seen).unwrap(), "A  a\nREADME\na\nspecs\nhello\n");
        assert_eq!(fixture.status(), "M  README\n?? mine");
        assert_ne!(fs::read(fixture.path(".git/index")).unwrap(), before);
        assert_eq!(fixture.read("README"), "a person's\n");
    });
}

#[test]
fn what_hooks_change_is_committed_and_carried_into_the_tree() {
    each(|fixture| {
        fixture.hook("pre-commit", "printf 'formatted\\n' > a; printf x > made; rm b; git add -A");
        fixture.hook("commit-msg", "echo 'Reviewed-by: a hook' >> \"$1\"");
        let mut snapshot = fixture.follow();
        fixture.write("a", "unformatted\n");
        fixture.write("b", "b\n");
        let changes = snapshot.look().unwrap().changes;
        let (_, published) = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(brief(&published.carried), "~a -b +made");
        assert_eq!((fixture.read("a").as_str(), fixture.read("made").as_str()), ("formatted\n", "x"));
        assert_eq!(fixture.status(), "");
        assert_eq!(fixture.log().lines().take(4).collect::<Vec<_>>(), ["feat: one", "", "A\ta", "A\tmade"]);
        assert!(fixture.git(&["log", "-1", "--format=%B"]).ends_with("Spec-Attempt: 1\nReviewed-by: a hook"));
    });
}

#[test]
fn what_hooks_change_is_not_carried_over_someone_s_later_change() {
    each(|fixture| {
        fixture.hook("pre-commit", "printf 'formatted\\n' > a; git add a");
        let changes = made(&fixture, "a", "unformatted\n");
        fixture.write("a", "a person goes on\n");
        let (_, published) = commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!((brief(&published.carried).as_str(), &published.not_carried[..]), ("", &["a".into()][..]));
        assert_eq!(fixture.read("a"), "a person goes on\n");
        assert_eq!(fixture.status(), " M a");
    });
}

#[test]
fn a_crash_after_the_branch_moved_still_carries() {
    each(|fixture| {
        fixture.hook("pre-commit", "printf 'formatted\\n' > a; git add a");
        let changes = made(&fixture, "a", "unformatted\n");
        let head = fixture.repo().head().unwrap();
        let prepared = recorded(fixture.committer().prepare(&head, &land(&changes, &[])).unwrap());
        fixture.git(&["update-ref", "HEAD", prepared.id.as_str()]);
        let published = fixture.committer().recover(&prepared, &land(&changes, &[]), None).unwrap().unwrap();
        assert_eq!(brief(&published.carried), "~a");
        assert_eq!((fixture.read("a").as_str(), fixture.status().as_str()), ("formatted\n", ""));
    });
}

#[test]
fn a_hook_that_hangs_is_stopped() {
    each(|fixture| {
        fixture.hook("pre-commit", "echo waiting; sleep 60");
        let changes = made(&fixture, "a", "a\n");
        let mut committer = fixture.committer();
        committer.patience.hooks = Duration::from_millis(300);
        let error = commit(&mut committer, &land(&changes, &[])).unwrap_err();
        assert!(matches!(&error, CommitError::Hook { tail } if tail.contains("stopped after")), "{error:?}");
        // The next one is not hindered by what it left.
        fs::remove_file(fixture.path(".git/hooks/pre-commit")).unwrap();
        fixture.hook("post-commit", "exit 1");
        commit(&mut committer, &land(&changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_process_that_a_hook_leaves_behind_is_not_waited_for() {
    each(|fixture| {
        let pid = fixture.temp.path().join("pid");
        fixture.hook("post-commit", &format!("sleep 60 & echo $! > '{}'", pid.display()));
        let changes = made(&fixture, "a", "a\n");
        let mut committer = fixture.committer();
        committer.patience.hooks = Duration::from_secs(50);
        commit(&mut committer, &land(&changes, &[])).unwrap();
        let pid = nix::unistd::Pid::from_raw(fs::read_to_string(pid).unwrap().trim().parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    });
}

#[test]
fn hooks_in_a_folder_that_is_not_committed_run() {
    each(|fixture| {
        fixture.write(".gitignore", "/.hooks/\nnode_modules/\n");
        fixture.git(&["add", ".gitignore"]);
        fixture.git(&["commit", "-qm", "ignore"]);
        fixture.git(&["config", "core.hooksPath", ".hooks"]);
        // What is installed but not committed is there for hooks, and even `git add -A` does not commit it.
        fixture.script("node_modules/tool", "echo \"$1\" > linted");
        fixture.script(".hooks/pre-commit", "node_modules/tool yes && git add -A");
        let changes = made(&fixture, "a", "a\n");
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fixture.log().lines().take(4).collect::<Vec<_>>(), ["feat: one", "", "A\ta", "A\tlinted"]);
        assert_eq!(fixture.status(), "");
        assert!(fixture.path("node_modules/tool").exists());
    });
}

#[test]
fn a_hook_s_own_git_is_not_made_literal_and_its_stdin_is_closed() {
    each(|fixture| {
        let seen = fixture.temp.path().join("seen");
        let hook = format!(
            "(cat; git diff --cached --name-only -- '*.txt'; git rev-parse --show-prefix) > '{}'",
            seen.display()
        );
        fixture.hook("pre-commit", &hook);
        let changes = made(&fixture, "sub/a.txt", "a\n");
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        assert_eq!(fs::read_to_string(seen).unwrap().trim(), "sub/a.txt");
    });
}

#[test]
fn the_first_commit_of_a_repository_runs_hooks_too() {
    for program in gits() {
        let fixture = Fixture::empty(program);
        fixture.hook("pre-commit", "printf 'formatted\\n' > a; git add a");
        let changes = made(&fixture, "a", "a\n");
        let mut committer = fixture.committer();
        let (first, _) = commit(&mut committer, &land(&changes, &[])).unwrap();
        assert_eq!(first.parent, None);
        assert_eq!((fixture.read("a").as_str(), fixture.status().as_str()), ("formatted\n", ""));
        let changes = made(&fixture, "b", "b\n");
        commit(&mut committer, &land(&changes, &[])).unwrap();
        assert_eq!(fixture.git(&["rev-list", "--count", "HEAD"]), "2");
        assert_eq!(fixture.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    }
}

#[test]
fn the_tree_for_hooks_goes_away_and_a_broken_one_is_made_anew() {
    each(|fixture| {
        fixture.hook("pre-commit", "true");
        let changes = made(&fixture, "a", "a\n");
        commit(&mut fixture.committer(), &land(&changes, &[])).unwrap();
        let place = fixture.path(".git/spec/hooks-tree");
        fs::remove_file(place.join(".git")).unwrap();
        let changes = made(&fixture, "b", "b\n");
        let mut committer = fixture.committer();
        commit(&mut committer, &land(&changes, &[])).unwrap();
        committer.close().unwrap();
        assert!(!place.exists());
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 1);
    });
}

#[test]
fn hooks_that_formatted_the_list_are_carried_only_over_our_own_tick() {
    each(|fixture| {
        fixture.hook(
            "pre-commit",
            "for list in specs/x/tasks.md; do echo '<!-- formatted -->' >> $list; git add $list; done",
        );
        let list = "specs/x/tasks.md".into();
        let edits = [FileEdit { path: &list, edit: &tick }];
        fixture.write("specs/x/tasks.md", tick(LIST.as_bytes()).unwrap());
        let (_, published) = commit(&mut fixture.committer(), &land(&[], &edits)).unwrap();
        assert_eq!(brief(&published.carried), "~specs/x/tasks.md");
        assert!(fixture.read("specs/x/tasks.md").ends_with("<!-- formatted -->\n"));
        assert_eq!(fixture.status(), "");
    });
}
