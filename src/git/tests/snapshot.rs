//! What a look at the working tree sees, and what it leaves alone.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::*;

#[test]
fn every_kind_of_change_is_seen_once() {
    each(|fixture| {
        fixture.write("gone", "x\n");
        fixture.write("old name", "the same\n");
        fixture.script("run.sh", "true");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "more"]);
        let mut snapshot = fixture.follow();
        fixture.write("README", "changed\n");
        fixture.write("deep/er/new", "new\n");
        fs::remove_file(fixture.path("gone")).unwrap();
        fs::set_permissions(fixture.path("run.sh"), fs::Permissions::from_mode(0o644)).unwrap();
        symlink("README", fixture.path("link")).unwrap();
        fixture.write("quote\"d\nname", "x\n");
        fixture.write(OsStr::from_bytes(b"caf\xe9"), "x\n");
        fixture.git(&["mv", "old name", "new name"]);
        let seen = snapshot.look().unwrap();
        assert_eq!(
            brief(&seen.changes),
            "~README +caf\u{fffd} +deep/er/new -gone +link +new name -old name +quote\"d\\nname ~run.sh"
        );
        let mode = |path: &str| {
            let change = seen.changes.iter().find(|change| change.path == path.into()).unwrap();
            change.new.as_ref().unwrap().mode
        };
        assert_eq!((mode("run.sh"), mode("link")), (Mode::File, Mode::Symlink));
        let readme = seen.changes[0].new.as_ref().unwrap();
        assert_eq!(fixture.git(&["cat-file", "blob", readme.oid.as_str()]), "changed");
        for change in &seen.changes {
            assert_eq!(Change::from_wire(&change.to_wire()), *change);
        }
        assert_eq!(snapshot.look().unwrap(), Seen::default());
    });
}

#[test]
fn a_look_costs_one_call_where_nothing_changed_and_four_where_something_did() {
    each(|mut fixture| {
        let trace = fixture.temp.path().join("trace");
        fixture.inherited = vec![("GIT_TRACE2".into(), trace.clone().into())];
        let mut snapshot = fixture.follow();
        let calls = |snapshot: &mut Snapshot| {
            fs::remove_file(&trace).ok();
            snapshot.look().unwrap();
            fs::read_to_string(&trace).unwrap().lines().filter(|line| line.contains(" start ")).count()
        };
        assert_eq!(calls(&mut snapshot), 1);
        fixture.write("README", "changed\n");
        assert_eq!(calls(&mut snapshot), 4);
        assert_eq!(calls(&mut snapshot), 1);
    });
}

#[test]
fn the_user_s_index_is_not_touched() {
    each(|fixture| {
        fixture.write("README", "staged\n");
        fixture.git(&["add", "README"]);
        fixture.write("README", "and changed\n");
        let before = fs::read(fixture.path(".git/index")).unwrap();
        let (mut snapshot, seen) = Snapshot::begin(&fixture.repo(), Fixture::own(), 100).unwrap();
        assert_eq!(brief(&seen.changes), "~README");
        fixture.write("README", "once more\n");
        fixture.write("new", "x\n");
        snapshot.look().unwrap();
        assert_eq!(fs::read(fixture.path(".git/index")).unwrap(), before);
    });
}

#[test]
fn what_differs_from_head_at_the_beginning_is_told() {
    each(|fixture| {
        fixture.write("staged", "x\n");
        fixture.git(&["add", "staged"]);
        fixture.write("untracked", "x\n");
        fs::remove_file(fixture.path("README")).unwrap();
        let (_, seen) = Snapshot::begin(&fixture.repo(), Fixture::own(), 100).unwrap();
        assert_eq!(brief(&seen.changes), "-README +staged +untracked");
    });
}

#[test]
fn before_the_first_commit_everything_is_new() {
    for program in gits() {
        let fixture = Fixture::empty(program);
        fixture.write("a", "x\n");
        let (mut snapshot, seen) = Snapshot::begin(&fixture.repo(), Fixture::own(), 100).unwrap();
        assert_eq!(brief(&seen.changes), "+a");
        fixture.write("a", "y\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "~a");
    }
}

#[test]
fn the_list_progress_files_and_a_run_s_own_are_never_seen() {
    each(|fixture| {
        let mut snapshot = fixture.follow();
        for path in
            ["tasks.md", ".progress.md", ".progress-task-1.md", ".spec/x", ".spec-state.json", ".ralph-state.json"]
        {
            fixture.write(format!("specs/x/{path}"), "x\n");
        }
        assert_eq!(snapshot.look().unwrap(), Seen::default());
        fixture.write("specs/x/design.md", "x\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "+specs/x/design.md");
    });
}

#[test]
fn ignored_files_are_not_seen_even_where_a_task_says_so_later() {
    each(|fixture| {
        fixture.write("tracked.log", "x\n");
        fixture.git(&["add", "tracked.log"]);
        fixture.git(&["commit", "-qm", "more"]);
        let mut snapshot = fixture.follow();
        fixture.write("build/out", "x\n");
        fixture.write("a.log", "x\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "+a.log +build/out");
        fixture.write(".gitignore", "build/\n*.log\n");
        fixture.write("build/more", "x\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "+.gitignore -a.log -build/out");
        fixture.write("tracked.log", "y\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "~tracked.log");
    });
}

#[test]
fn secrets_are_refused_as_long_as_they_are_there() {
    each(|fixture| {
        fixture.write("old.pem", "-----BEGIN PRIVATE KEY-----\n");
        let mut snapshot = fixture.follow();
        fixture.write(".env", "TOKEN=1\n");
        fixture.write(".env.example", "TOKEN=\n");
        fixture.write("keys/id_ed25519", "x\n");
        fixture.write("keys/server.key", "-----BEGIN EC PRIVATE KEY-----\n");
        fixture.write("cert.pem", "-----BEGIN CERTIFICATE-----\n");
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "+.env.example +cert.pem");
        let refused: Vec<_> = seen.refused.iter().map(|refused| (refused.path.to_string(), refused.why)).collect();
        assert_eq!(
            refused,
            [".env", "keys/id_ed25519", "keys/server.key"].map(|path| (path.to_owned(), Refusal::Secret))
        );
        assert_eq!(snapshot.look().unwrap(), Seen::default());
        fs::remove_file(fixture.path(".env")).unwrap();
        assert_eq!(snapshot.look().unwrap().cleared, [".env".into()]);
    });
}

#[test]
fn lines_with_secrets_are_refused_and_never_get_into_the_repository() {
    let token = |letter: &str| format!("ghp_{}", format!("{letter}B3dE6gH9j").repeat(4));
    each(|fixture| {
        fixture.write("config", format!("a\n{}\nb\n", token("o")));
        fixture.git(&["add", "config"]);
        fixture.git(&["commit", "-qm", "an old one"]);
        let masker = Arc::new(Masker::new(&mask::Config::default(), []).unwrap());
        let follow = || {
            let repo =
                fixture.repo().without_secrets(Some(Secrets::new(Arc::clone(&masker), &["fixtures/**".to_owned()])));
            Snapshot::begin(&repo, Fixture::own(), 100).unwrap()
        };
        fixture.write("persons", token("p"));
        let (mut snapshot, seen) = follow();
        assert_eq!((brief(&seen.changes).as_str(), seen.refused.len()), ("", 1), "a person's is not taken in either");

        fixture.write("README", format!("hello\nkey = {}\n", token("r")));
        fixture.write("new", token("n"));
        fixture.write("fixtures/key", token("f"));
        fixture.write("allowed", format!("{} # spec:allow-secret", token("l")));
        fixture.write("binary", format!("\0{}", token("b")));
        fixture.write("config", format!("a\r\n{}\r\nB\r\n", token("o")));
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "+allowed +binary ~config +fixtures/key");
        let kind = "github-token";
        let refused = |path: &str, line| Refused { path: path.into(), why: Refusal::Contains { line, kind } };
        assert_eq!(seen.refused, [refused("README", 2), refused("new", 1)]);
        assert_eq!(snapshot.look().unwrap(), Seen::default());

        // Without its secret it is taken in.
        fixture.write("README", "hello\nkey = $KEY\n");
        fixture.write("persons", "none\n");
        fs::remove_file(fixture.path("new")).unwrap();
        // What was there is not added where its file is moved.
        fs::remove_file(fixture.path("config")).unwrap();
        fixture.write("settings", token("o"));
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "~README -config +persons +settings");
        assert_eq!(seen.cleared, ["README".into(), "new".into(), "persons".into()]);
        let objects = fixture.git(&["cat-file", "--batch-all-objects", "--batch"]);
        for letter in ["p", "r", "n"] {
            assert!(!objects.contains(&token(letter)), "{letter}");
        }
        assert!(
            objects.contains(&token("o")) && objects.contains(&token("f")),
            "they are looked for in the right place"
        );
    });
}

#[test]
fn thousands_of_new_files_are_refused_and_taken_once_they_are_few() {
    each(|fixture| {
        for number in 0..5 {
            fixture.write(format!("person/{number}"), "x\n");
        }
        let (mut snapshot, _) = Snapshot::begin(&fixture.repo(), Fixture::own(), 3).unwrap();
        fixture.write("one", "x\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "+one");
        for number in 0..4 {
            fixture.write(format!("many/{number}"), "x\n");
        }
        fixture.write("README", "changed\n");
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "~README");
        assert!(seen.refused.len() == 4 && seen.refused.iter().all(|refused| refused.why == Refusal::TooMany));
        // Not held against what comes after it.
        fixture.write("two", "x\n");
        assert_eq!(brief(&snapshot.look().unwrap().changes), "+two");
        fs::remove_file(fixture.path("many/3")).unwrap();
        let seen = snapshot.look().unwrap();
        assert_eq!((brief(&seen.changes).as_str(), seen.cleared.len()), ("+many/0 +many/1 +many/2", 4));
    });
}

#[test]
fn a_repository_inside_is_refused_and_a_submodule_is_followed() {
    each(|fixture| {
        let library = fixture.temp.path().join("library");
        fixture.git(&["init", "-q", library.to_str().unwrap()]);
        fixture.git(&["-C", library.to_str().unwrap(), "commit", "-q", "--allow-empty", "-m", "one"]);
        fixture.git(&["submodule", "--quiet", "add", library.to_str().unwrap(), "sub"]);
        fixture.git(&["commit", "-qm", "submodule"]);
        let mut snapshot = fixture.follow();
        fixture.git(&["init", "-q", "nested"]);
        fixture.git(&["-C", "nested", "commit", "-q", "--allow-empty", "-m", "one"]);
        fixture.git(&["-C", "sub", "commit", "-q", "--allow-empty", "-m", "two"]);
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "~sub");
        assert_eq!(seen.refused, [Refused { path: "nested/".into(), why: Refusal::Repository }]);
        commit(&mut fixture.committer(), &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.status(), "?? nested/");
    });
}

#[test]
fn one_file_that_cannot_be_read_does_not_hold_up_the_others() {
    each(|fixture| {
        fixture.git(&["config", "filter.broken.clean", "false"]);
        fixture.git(&["config", "filter.broken.required", "true"]);
        fixture.write(".git/info/attributes", "*.broken filter=broken\n");
        let mut snapshot = fixture.follow();
        for path in ["a", "b.broken", "c", "d"] {
            fixture.write(path, "x\n");
        }
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "+a +c +d");
        assert_eq!(seen.refused, [Refused { path: "b.broken".into(), why: Refusal::Unreadable }]);
        fixture.git(&["config", "filter.broken.clean", "cat"]);
        let seen = snapshot.look().unwrap();
        assert_eq!((brief(&seen.changes).as_str(), &seen.cleared[..]), ("+b.broken", &["b.broken".into()][..]));
    });
}

#[test]
fn line_ends_of_the_working_tree_are_no_change() {
    each(|fixture| {
        fixture.git(&["config", "core.autocrlf", "true"]);
        fixture.git(&["config", "core.safecrlf", "true"]);
        let mut snapshot = fixture.follow();
        fixture.write("README", "hello\r\n");
        assert_eq!(snapshot.look().unwrap(), Seen::default());
        fixture.write("README", "hello\r\nworld\r\n");
        let seen = snapshot.look().unwrap();
        let blob = seen.changes[0].new.as_ref().unwrap();
        assert_eq!(fixture.repo().content(&blob.oid).unwrap(), b"hello\nworld\n");
        commit(&mut fixture.committer(), &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
        assert_eq!(fixture.read("README"), "hello\r\nworld\r\n");
    });
}

#[test]
fn what_a_sparse_checkout_leaves_out_is_not_gone() {
    each(|fixture| {
        fixture.write("apart/x", "x\n");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "more"]);
        fixture.git(&["sparse-checkout", "set", "--cone", "specs"]);
        assert!(!fixture.path("apart/x").exists());
        let mut snapshot = fixture.follow();
        fixture.write("README", "changed\n");
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "~README");
        commit(&mut fixture.committer(), &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.log().lines().nth(2), Some("M\tREADME"));
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_file_may_take_the_place_of_a_folder_and_back() {
    each(|fixture| {
        let mut snapshot = fixture.follow();
        fs::remove_file(fixture.path("README")).unwrap();
        fixture.write("README/part", "x\n");
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "-README +README/part");
        let mut committer = fixture.committer();
        commit(&mut committer, &land(&seen.changes, &[])).unwrap();
        fs::remove_dir_all(fixture.path("README")).unwrap();
        fixture.write("README", "x\n");
        let seen = snapshot.look().unwrap();
        assert_eq!(brief(&seen.changes), "+README -README/part");
        commit(&mut committer, &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn what_a_killed_run_left_of_its_scratch_files_goes_and_the_rest_stays() {
    each(|fixture| {
        let scratch = ["snapshot.index", "snapshot.index.lock", "index-x1/index", ".tmpx2/ours"];
        for name in scratch {
            fixture.write(format!(".git/spec/{name}"), "torn");
        }
        fixture.write(".git/spec/tree.lock", "");
        fixture.repo().sweep_scratch().unwrap();
        let left: Vec<_> = fs::read_dir(fixture.path(".git/spec")).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, ["tree.lock"]);
        let mut snapshot = fixture.follow();
        fixture.write("README", "changed\n");
        let seen = snapshot.look().unwrap();
        commit(&mut fixture.committer(), &land(&seen.changes, &[])).unwrap();
        assert_eq!(fixture.status(), "");
    });
}
