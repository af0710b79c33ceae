//! Which repositories are worked in, and what in them is a person's.

use super::*;

#[test]
fn a_folder_outside_of_any_repository_has_none() {
    for program in gits() {
        let fixture = Fixture::empty(program);
        let outside = fixture.temp.path().join("outside");
        fs::create_dir(&outside).unwrap();
        assert!(Repo::open_with(&fixture.at(&outside)).unwrap().is_none());
    }
}

#[test]
fn no_git_matters_only_in_a_repository() {
    each(|mut fixture| {
        let outside = fixture.temp.path().to_owned();
        fixture.program = fixture.path("no-such-git");
        assert!(matches!(fixture.open(), Err(Error::NotInstalled { .. })));
        fs::create_dir(outside.join(".git")).unwrap();
        assert!(Repo::open_with(&fixture.at(&outside)).unwrap().is_none());
    });
}

#[test]
fn an_old_git_is_refused() {
    each(|mut fixture| {
        fixture.program = fixture.script("old-git", "echo git version 2.37.9.windows.1");
        insta::allow_duplicates! {
            insta::assert_snapshot!(fixture.open().unwrap_err(), @"git 2.37.9.windows.1 is too old; install git 2.38 or later");
        }
    });
}

#[test]
fn bare_repositories_and_git_directories_are_refused() {
    each(|fixture| {
        assert!(matches!(Repo::open_with(&fixture.at(&fixture.path(".git"))), Err(Error::InGitDir { .. })));
        fixture.git(&["init", "-q", "--bare", "bare.git"]);
        assert!(matches!(Repo::open_with(&fixture.at(&fixture.path("bare.git"))), Err(Error::Bare { .. })));
    });
}

/// Two branches that contradict each other in `README`.
fn diverge(fixture: &Fixture) {
    fixture.git(&["checkout", "-qb", "other"]);
    fixture.write("README", "other\n");
    fixture.git(&["commit", "-qam", "other"]);
    fixture.git(&["checkout", "-q", "main"]);
    fixture.write("README", "main\n");
    fixture.git(&["commit", "-qam", "main"]);
}

#[test]
fn a_repository_in_the_middle_of_something_is_refused_with_the_way_out() {
    for (begin, says) in [
        (
            &["rebase", "other"][..],
            "a rebase is under way in ROOT; finish it (`git rebase --continue`) or give it up (`git rebase --abort`) first",
        ),
        (&["merge", "other"], "a merge is under way"),
        (&["cherry-pick", "other"], "a cherry-pick is under way"),
        (&["revert", "HEAD~1"], "a revert is under way"),
        (&["bisect", "start"], "a bisection is under way"),
    ] {
        each(|fixture| {
            diverge(&fixture);
            if begin[0] == "revert" {
                fixture.write("README", "again\n");
                fixture.git(&["commit", "-qam", "again"]);
            }
            assert!(fixture.repo().check_idle().is_ok());
            fixture.try_git(begin);
            let error = fixture.repo().check_idle().unwrap_err().to_string();
            assert!(error.replace(fixture.root.to_str().unwrap(), "ROOT").starts_with(says), "{error}");
        });
    }
}

#[test]
fn unresolved_conflicts_are_refused_with_their_paths() {
    each(|fixture| {
        fixture.write("README", "stashed\n");
        fixture.git(&["stash", "-q"]);
        fixture.write("README", "committed\n");
        fixture.git(&["commit", "-qam", "more"]);
        fixture.try_git(&["stash", "pop"]);
        let error = fixture.repo().check_idle().unwrap_err();
        assert_eq!(error.to_string(), "unresolved conflicts in README; resolve them and `git add` the files first");
    });
}

#[test]
fn a_missing_identity_is_told_before_the_start() {
    each(|fixture| {
        assert!(fixture.repo().check_identity().is_ok());
        fixture.put(&fixture.temp.path().join("gitconfig"), b"[user]\nuseConfigOnly = true\n");
        let error = fixture.repo().check_identity().unwrap_err().to_string();
        assert!(error.starts_with("git does not know who commits; set it with `git config user.name`"), "{error}");
    });
}

#[test]
fn variables_inherited_from_a_hook_lead_nowhere() {
    each(|mut fixture| {
        let other = fixture.temp.path().join("other");
        fixture.git(&["init", "-q", other.to_str().unwrap()]);
        fixture.inherited = vec![
            ("GIT_DIR".into(), other.join(".git").into()),
            ("GIT_WORK_TREE".into(), other.clone().into()),
            ("GIT_INDEX_FILE".into(), other.join("index").into()),
            ("GIT_OBJECT_DIRECTORY".into(), other.join(".git/objects").into()),
            ("LC_ALL".into(), "C.UTF-8".into()),
        ];
        assert_eq!(fixture.repo().root(), fixture.root);
        let mut snapshot = fixture.follow();
        fixture.write("a", "a\n");
        let seen = snapshot.look().unwrap();
        commit(&mut fixture.committer(), &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.git(&["show", "--format=", "--name-only", "HEAD"]), "a");
        assert_eq!(fixture.status(), "");
        assert!(!other.join("index").exists());
    });
}

#[test]
fn what_a_run_keeps_is_excluded_once_and_other_lines_stay() {
    each(|fixture| {
        fixture.write(".git/info/exclude", "# mine\n*.log");
        fixture.repo().exclude().unwrap();
        fixture.repo().exclude().unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(fixture.read(".git/info/exclude"), @"
            # mine
            *.log
            .spec/
            .spec-state.json*
            .ralph-state.json*
            .progress-task-*
            .spec-tmp-*
            .aider.tags.cache*
            ");
        }
        let own = [".spec/runs/1/journal.jsonl", ".spec-state.json", ".spec-state.json.bad-1", ".progress-task-3.md"];
        for own in own.into_iter().chain([".aider.tags.cache.v4/cache.db"]) {
            fixture.write(format!("specs/x/{own}"), "x");
        }
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_missing_exclude_file_is_made() {
    each(|fixture| {
        fs::remove_dir_all(fixture.path(".git/info")).unwrap();
        fixture.repo().exclude().unwrap();
        assert!(fixture.read(".git/info/exclude").starts_with(".spec/\n"));
    });
}

#[test]
fn a_person_s_changes_are_dirt_but_not_the_list_and_its_folder() {
    each(|fixture| {
        let dirty = || fixture.repo().dirty(&Fixture::own(), &[]).unwrap();
        fixture.write("specs/x/tasks.md", "- [ ] 1.1 changed\n");
        fixture.write("specs/x/design.md", "new\n");
        fixture.write("spec.toml", "\n");
        assert_eq!(dirty(), []);
        fixture.write("README", "changed\n");
        fixture.write("new\nline", "new\n");
        fixture.write("staged", "new\n");
        fixture.git(&["add", "staged"]);
        fixture.write("specs/xy/tasks.md", "another spec\n");
        assert_eq!(dirty(), ["README", "new\nline", "specs/xy/tasks.md", "staged"].map(RepoPath::from));
    });
}

#[test]
fn a_list_in_the_root_excuses_only_itself() {
    each(|fixture| {
        let own = SpecFiles { list: "tasks.md".into(), progress: ".progress.md".into() };
        for path in ["tasks.md", ".progress.md", "spec.toml", ".spec/x", ".spec-state.json", "design.md"] {
            fixture.write(path, "x");
        }
        assert_eq!(fixture.repo().dirty(&own, &[]).unwrap(), ["design.md"].map(RepoPath::from));
    });
}

#[test]
fn what_an_earlier_run_left_is_no_dirt_while_it_is_as_it_was_left() {
    each(|fixture| {
        let mut snapshot = fixture.follow();
        fixture.write("made", "by a task\n");
        fixture.write("edited later", "by a task\n");
        fs::remove_file(fixture.path("README")).unwrap();
        fixture.write("twice", "1\n");
        let mut left = snapshot.look().unwrap().changes;
        fixture.write("twice", "2\n");
        left.extend(snapshot.look().unwrap().changes);
        fixture.write("edited later", "by a person\n");
        assert_eq!(fixture.repo().dirty(&Fixture::own(), &left).unwrap(), ["edited later"].map(RepoPath::from));
        fixture.write("twice", "1\n");
        assert_eq!(fixture.repo().dirty(&Fixture::own(), &left).unwrap(), ["edited later"].map(RepoPath::from));
        fixture.write("README", "back\n");
        assert_eq!(
            fixture.repo().dirty(&Fixture::own(), &left).unwrap(),
            ["README", "edited later"].map(RepoPath::from)
        );
    });
}

#[test]
fn paths_are_found_from_the_root() {
    each(|fixture| {
        let repo = fixture.repo();
        assert_eq!(repo.relative(&fixture.path("specs/x/tasks.md")), Some("specs/x/tasks.md".into()));
        std::os::unix::fs::symlink("specs", fixture.path("link")).unwrap();
        assert_eq!(repo.relative(&fixture.path("link/x/tasks.md")), Some("specs/x/tasks.md".into()));
        assert_eq!(repo.relative(fixture.temp.path()), None);
    });
}
