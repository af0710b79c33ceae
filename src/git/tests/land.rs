//! Slots and the landing of what was made in them.

use super::*;

/// What a task did in a slot, ready to land.
struct Made {
    changes: Vec<Change>,
    work: Work,
}

impl Fixture {
    fn slot(&self, number: usize) -> Slot {
        let (repo, folder) = (self.repo(), self.path("specs/x/.spec/slots"));
        repo.exclude().unwrap();
        match repo.slot(&folder, number).unwrap() {
            Some(slot) => slot,
            None => repo.make_slot(&folder, number, &self.tip()).unwrap(),
        }
    }

    fn tip(&self) -> Oid {
        self.repo().head().unwrap().commit.unwrap()
    }

    /// Lets a task work in a slot on the tip.
    fn make(&self, slot: &Slot, task: impl FnOnce(&Path)) -> Made {
        Self::make_on(&self.tip(), slot, task)
    }

    fn make_on(base: &Oid, slot: &Slot, task: impl FnOnce(&Path)) -> Made {
        let mut snapshot = slot.ready(base, Self::own(), 100).unwrap();
        task(slot.root());
        let changes = snapshot.look().unwrap().changes;
        let commit = slot.repo().commit_object(snapshot.tree(), base, "task\n").unwrap();
        Made { changes, work: Work { base: base.clone(), commit } }
    }

    /// Lands these in order with one move of the branch; the commits' ids.
    fn land_all(&self, made: &[&Made], note: Option<&str>) -> Result<Vec<Oid>, CommitError> {
        let mut committer = self.committer();
        let mut at = committer.repo.head().unwrap();
        let mut chain = Vec::new();
        for made in made {
            let request = CommitRequest { work: Some(&made.work), ..land(&made.changes, &[]) };
            let commit = committer.prepare(&at, &request)?.commit.expect("something to commit");
            at.commit = Some(commit.id.clone());
            chain.push((commit, request));
        }
        let landed = committer.land(&chain, note)?;
        assert!(landed.unfinished.is_none(), "{landed:?}");
        Ok(chain.into_iter().map(|(commit, _)| commit.id).collect())
    }

    fn put_in(&self, root: &Path, path: &str, text: &str) {
        self.put(&root.join(path), text.as_bytes());
    }
}

#[test]
fn a_slot_is_clean_for_each_task_and_keeps_what_is_ignored() {
    each(|fixture| {
        fixture.write(".gitignore", "target/\n");
        fixture.git(&["add", ".gitignore"]);
        fixture.git(&["commit", "-qm", "ignore"]);
        let slot = fixture.slot(1);
        let made = fixture.make(&slot, |root| {
            fixture.put_in(root, "README", "changed\n");
            fixture.put_in(root, "new", "new\n");
            fixture.put_in(root, "target/cache", "warm\n");
        });
        assert_eq!(brief(&made.changes), "~README +new");
        assert_eq!(fixture.status(), "", "the user's tree knows nothing of it");
        let found = fixture.slot(1);
        assert_eq!(found.root(), slot.root());
        let made = fixture.make(&found, |root| {
            assert_eq!(fs::read_to_string(root.join("README")).unwrap(), "hello\n");
            assert!(!root.join("new").exists());
            assert_eq!(fs::read_to_string(root.join("target/cache")).unwrap(), "warm\n");
        });
        assert_eq!(brief(&made.changes), "");
    });
}

#[test]
fn whatever_an_executor_did_with_git_in_its_slot_is_a_change_and_moves_no_branch() {
    each(|fixture| {
        let slot = fixture.slot(1);
        let before = fixture.git(&["for-each-ref", "refs/heads/main"]);
        let run = |args: &[&str]| {
            let mut command = fixture.command(args);
            command.current_dir(slot.root());
            assert!(command.status().unwrap().success(), "{args:?}");
        };
        let made = fixture.make(&slot, |root| {
            run(&["checkout", "-q", "-b", "mine"]);
            fixture.put_in(root, "one", "1\n");
            run(&["add", "one"]);
            run(&["commit", "-qm", "mine"]);
            fixture.put_in(root, "two", "2\n");
            run(&["add", "two"]);
            fixture.put_in(root, "three", "3\n");
            fixture.put_in(root, "four", "4\n");
            fixture.put_in(root, ".gitignore", "three\nfour\n");
            run(&["add", "-f", "three"]);
            run(&["commit", "-qm", "ignored, and committed all the same"]);
        });
        assert_eq!(brief(&made.changes), "+.gitignore +one +three +two");
        let mine = fixture.git(&["rev-parse", "mine"]);
        fixture.make(&slot, |root| assert!(!root.join("one").exists()));
        assert_eq!(fixture.git(&["rev-parse", "mine"]), mine, "a branch of the executor's is not moved by a reset");
        assert_eq!(fixture.git(&["for-each-ref", "refs/heads/main"]), before);
    });
}

#[test]
fn a_batch_lands_in_order_with_one_move_and_the_user_s_tree_follows() {
    each(|fixture| {
        fixture.write("old", "old\n");
        fixture.write("sub/only", "only\n");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "more"]);
        let base = fixture.tip();
        let (one, two) = (fixture.slot(1), fixture.slot(2));
        let first = fixture.make(&one, |root| {
            fixture.put_in(root, "a/b", "b\n");
            fs::remove_file(root.join("sub/only")).unwrap();
        });
        let second = fixture.make(&two, |root| fixture.put_in(root, "old", "new\n"));
        let moves = fs::read_to_string(fixture.path(".git/logs/HEAD")).unwrap().lines().count();
        let commits = fixture.land_all(&[&first, &second], Some("refs/spec/run/r1/1")).unwrap();
        assert_eq!(fixture.git(&["rev-list", "-2", "--reverse", "HEAD"]), format!("{}\n{}", commits[0], commits[1]));
        assert_eq!(fs::read_to_string(fixture.path(".git/logs/HEAD")).unwrap().lines().count(), moves + 1);
        assert_eq!(fixture.git(&["rev-parse", "refs/spec/run/r1/1"]), base.to_string());
        assert_eq!(fixture.status(), "");
        assert_eq!((fixture.read("a/b").as_str(), fixture.read("old").as_str()), ("b\n", "new\n"));
        assert!(!fixture.path("sub").exists());
    });
}

#[test]
fn both_sides_of_a_file_and_renames_are_merged_and_what_contradicts_is_a_conflict() {
    each(|fixture| {
        let line = |edited: Option<i32>| {
            move |at: i32| if Some(at) == edited { format!("{at}!\n") } else { format!("{at}\n") }
        };
        let text = |edited: Option<i32>| (1..9).map(line(edited)).collect::<String>();
        fixture.write("file", text(None));
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "file"]);
        let slots: Vec<Slot> = (1..4).map(|number| fixture.slot(number)).collect();
        let renames = fixture
            .make(&slots[0], |root| crate::store::fs::rename(&root.join("file"), &root.join("renamed")).unwrap());
        let edits = fixture.make(&slots[1], |root| fixture.put_in(root, "file", &text(Some(2))));
        let same_line =
            fixture.make(&slots[2], |root| fixture.put_in(root, "file", &text(None).replace("2\n", "two\n")));
        fixture.land_all(&[&renames, &edits], None).unwrap();
        assert_eq!(fixture.read("renamed"), text(Some(2)));
        assert!(!fixture.path("file").exists());
        let before = fixture.tip();
        let error = fixture.land_all(&[&same_line], None).unwrap_err();
        assert!(matches!(&error, CommitError::Conflict { paths } if !paths.is_empty()), "{error:?}");
        assert_eq!((fixture.tip(), fixture.status()), (before, String::new()));
    });
}

#[test]
fn a_file_where_another_task_has_a_folder_is_a_conflict() {
    each(|fixture| {
        let slots: Vec<Slot> = (1..4).map(|number| fixture.slot(number)).collect();
        let file = fixture.make(&slots[0], |root| fixture.put_in(root, "thing", "a file\n"));
        let folder = fixture.make(&slots[1], |root| fixture.put_in(root, "thing/part", "in a folder\n"));
        let beside = fixture.make(&slots[2], |root| fixture.put_in(root, "thing/other", "there, too\n"));
        for (first, second) in [(&file, &folder), (&folder, &file)] {
            let begin = fixture.tip();
            let error = fixture.land_all(&[first, second], None).unwrap_err();
            assert!(matches!(&error, CommitError::Conflict { paths } if *paths == ["thing".into()]), "{error:?}");
            assert_eq!((fixture.tip(), fixture.status()), (begin, String::new()));
        }
        fixture.land_all(&[&folder, &beside], None).unwrap();
        assert_eq!(
            (fixture.read("thing/part"), fixture.read("thing/other")),
            ("in a folder\n".into(), "there, too\n".into())
        );
    });
}

#[test]
fn one_that_takes_turns_builds_on_the_commit_of_the_one_before() {
    each(|fixture| {
        let (one, two) = (fixture.slot(1), fixture.slot(2));
        let first = fixture.make(&one, |root| fixture.put_in(root, "README", "hello\nfirst\n"));
        let base = fixture.repo().stack(&fixture.tip(), &[&first.work]).unwrap();
        let second = Fixture::make_on(&base, &two, |root| {
            assert_eq!(fs::read_to_string(root.join("README")).unwrap(), "hello\nfirst\n");
            fixture.put_in(root, "README", "hello\nfirst\nsecond\n");
        });
        assert_eq!(brief(&second.changes), "~README");
        fixture.land_all(&[&first, &second], None).unwrap();
        assert_eq!(fixture.read("README"), "hello\nfirst\nsecond\n");
        assert!(fixture.git(&["log", "-1", "--format=", "--stat"]).contains("1 insertion"));
    });
}

#[test]
fn nothing_lands_over_what_a_person_has_not_committed() {
    each(|fixture| {
        fixture.write(".gitignore", "ignored\n");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "ignore"]);
        let before = fixture.tip();
        let slot = fixture.slot(1);
        let refused = |path: &str, text: &str, set: &dyn Fn(), undo: &dyn Fn()| {
            let made = fixture.make(&slot, |root| {
                fs::remove_file(root.join(".gitignore")).ok();
                fixture.put_in(root, ".gitignore", "none\n");
                fixture.put_in(root, path, text);
            });
            set();
            let status = fixture.status();
            let error = fixture.land_all(&[&made], None).unwrap_err();
            assert!(matches!(&error, CommitError::Overlap { .. }), "{path}: {error:?}");
            assert_eq!((fixture.tip(), fixture.status()), (before.clone(), status), "{path}");
            undo();
        };
        refused("README", "task\n", &|| fixture.write("README", "mine\n"), &|| fixture.write("README", "hello\n"));
        refused(
            "README",
            "task\n",
            &|| {
                fixture.write("README", "staged\n");
                fixture.git(&["add", "README"]);
                fixture.write("README", "hello\n");
            },
            &|| drop(fixture.git(&["reset", "-q", "README"])),
        );
        refused("ignored", "task\n", &|| fixture.write("ignored", "mine\n"), &|| {
            fs::remove_file(fixture.path("ignored")).unwrap();
        });
        refused("a/b", "task\n", &|| fixture.write("a", "mine\n"), &|| fs::remove_file(fixture.path("a")).unwrap());
        refused("d", "task\n", &|| fixture.write("d/mine", "mine\n"), &|| {
            fs::remove_dir_all(fixture.path("d")).unwrap();
        });
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_branch_that_moved_is_not_overwritten() {
    each(|fixture| {
        let slot = fixture.slot(1);
        let made = fixture.make(&slot, |root| fixture.put_in(root, "new", "new\n"));
        let mut committer = fixture.committer();
        let head = committer.repo.head().unwrap();
        let request = CommitRequest { work: Some(&made.work), ..land(&made.changes, &[]) };
        let commit = committer.prepare(&head, &request).unwrap().commit.unwrap();
        fixture.write("theirs", "theirs\n");
        fixture.git(&["add", "theirs"]);
        fixture.git(&["commit", "-qm", "theirs"]);
        let error = committer.land(&[(commit, request)], None).unwrap_err();
        assert!(matches!(error, CommitError::HeadMoved { .. }), "{error:?}");
        fixture.land_all(&[&made], None).unwrap();
        assert_eq!(fixture.git(&["log", "--format=%s"]), "feat: one\ntheirs\nbegin");
        assert_eq!(fixture.status(), "");
    });
}

#[test]
fn a_crash_between_the_branch_and_the_tree_is_finished() {
    each(|fixture| {
        let slot = fixture.slot(1);
        let old = fixture.tip();
        let made = fixture.make(&slot, |root| {
            fixture.put_in(root, "README", "task\n");
            fixture.put_in(root, "new", "new\n");
        });
        let mut committer = fixture.committer();
        let head = committer.repo.head().unwrap();
        let edits = [FileEdit { path: &"specs/x/tasks.md".into(), edit: &tick }];
        let request = CommitRequest { work: Some(&made.work), ..land(&made.changes, &edits) };
        let commit = committer.prepare(&head, &request).unwrap().commit.unwrap();
        committer.move_branch(&commit, &commit.id, "crash", None).unwrap();
        assert_ne!(fixture.status(), "");
        let repo = fixture.repo();
        for _ in 0..2 {
            repo.catch_up_tree(Some(&old), &commit.id, &Fixture::own()).unwrap();
            // The list on disk is ticked by the store.
            assert_eq!(fixture.status(), " M specs/x/tasks.md");
            assert_eq!((fixture.read("README").as_str(), fixture.read("new").as_str()), ("task\n", "new\n"));
        }
        // Git itself may have been killed while it wrote a file.
        for (left, path) in [(Some("ta"), "README"), (Some(""), "new"), (None, "new"), (None, "README")] {
            match left {
                Some(left) => fixture.write(path, left),
                None => fs::remove_file(fixture.path(path)).unwrap(),
            }
            repo.catch_up_tree(Some(&old), &commit.id, &Fixture::own()).unwrap();
            assert_eq!(fixture.status(), " M specs/x/tasks.md", "{left:?} {path}");
        }
        fixture.write("README", "mine\n");
        repo.catch_up_tree(Some(&old), &commit.id, &Fixture::own()).unwrap();
        assert_eq!(fixture.read("README"), "mine\n", "what a person wrote since is not touched");
    });
}

#[test]
fn what_is_left_in_a_slot_is_found_and_put_into_another() {
    each(|fixture| {
        let (one, two) = (fixture.slot(1), fixture.slot(2));
        let base = fixture.tip();
        let made = fixture.make(&one, |root| {
            fixture.put_in(root, "new", "new\n");
            fs::remove_file(root.join("README")).unwrap();
        });
        let found = fixture.slot(1).found(None, Fixture::own(), "left\n").unwrap().unwrap();
        assert_eq!(fixture.git(&["rev-parse", &format!("{found}^")]), base.to_string());
        assert_eq!(
            fixture.git(&["rev-parse", &format!("{found}^{{tree}}")]),
            fixture.git(&["rev-parse", &format!("{}^{{tree}}", made.work.commit)])
        );
        let mut snapshot = two.ready(&base, Fixture::own(), 100).unwrap();
        two.put(&base, &found).unwrap();
        assert!(!two.root().join("README").exists() && two.root().join("new").exists());
        assert_eq!(brief(&snapshot.look().unwrap().changes), "-README +new");
        one.settle(&fixture.repo().tree_of(Some(&found)).unwrap());
        assert_eq!(fixture.slot(1).found(None, Fixture::own(), "left\n").unwrap(), None, "known already");
        one.ready(&base, Fixture::own(), 100).unwrap();
        assert_eq!(fixture.slot(1).found(None, Fixture::own(), "left\n").unwrap(), None);
        let place = one.root().to_owned();
        one.remove().unwrap();
        assert!(!place.exists());
        assert!(!fixture.git(&["worktree", "list"]).contains("slot-1"));
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a folder of the test's own is moved away")]
fn submodules_come_from_the_user_s_copies_and_commits_in_them_go_back() {
    each(|fixture| {
        let library = fixture.temp.path().join("library");
        fs::create_dir(&library).unwrap();
        for args in [&["init", "-q"][..], &["commit", "-q", "--allow-empty", "-m", "lib"]] {
            assert!(fixture.command(args).current_dir(&library).status().unwrap().success());
        }
        fixture.git(&["submodule", "--quiet", "add", library.to_str().unwrap(), "lib"]);
        fixture.git(&["commit", "-qm", "lib"]);
        fs::rename(&library, fixture.temp.path().join("gone")).unwrap();
        let slot = fixture.slot(1);
        let made = fixture.make(&slot, |root| {
            let lib = root.join("lib");
            assert!(lib.join(".git").exists(), "checked out without the place it came from");
            let commit = ["commit", "-q", "--allow-empty", "-m", "more"];
            assert!(fixture.command(&commit).current_dir(lib).status().unwrap().success());
        });
        assert_eq!(brief(&made.changes), "~lib");
        slot.bring_submodules(&made.changes).unwrap();
        fixture.land_all(&[&made], None).unwrap();
        assert_eq!(fixture.status(), "");
        assert_eq!(fixture.git(&["-C", "lib", "log", "-1", "--format=%s"]), "more");
    });
}

#[test]
fn a_sparse_checkout_stays_sparse() {
    each(|fixture| {
        fixture.write("in/file", "in\n");
        fixture.write("out/file", "out\n");
        fixture.git(&["add", "."]);
        fixture.git(&["commit", "-qm", "folders"]);
        fixture.git(&["sparse-checkout", "set", "--cone", "in", "specs/x"]);
        assert!(!fixture.path("out").exists());
        let base = fixture.tip();
        let slot = fixture.slot(1);
        let made = fixture.make(&slot, |root| {
            fixture.put_in(root, "in/file", "changed\n");
            fixture.put_in(root, "in/new", "new\n");
        });
        // What is left out can change, too: another tree, another sparseness.
        let other = {
            fixture.git(&["sparse-checkout", "disable"]);
            let made = Fixture::make_on(&base, &fixture.slot(2), |root| {
                fixture.put_in(root, "out/file", "changed\n");
            });
            fixture.git(&["sparse-checkout", "set", "--cone", "in", "specs/x"]);
            made
        };
        fixture.land_all(&[&made, &other], None).unwrap();
        assert_eq!(fixture.status(), "");
        assert_eq!(fixture.read("in/new"), "new\n");
        assert!(!fixture.path("out").exists());
        assert_eq!(fixture.git(&["show", "HEAD:out/file"]), "changed");
    });
}

#[test]
fn eight_slots_at_once_are_all_made() {
    let program = gits().into_iter().next().unwrap();
    let fixture = Fixture::empty(program);
    fixture.write("README", "hello\n");
    fixture.git(&["add", "."]);
    fixture.git(&["commit", "-qm", "begin"]);
    let (repo, tip) = (fixture.repo(), fixture.tip());
    for attempt in 0..50 {
        // Those of two lists in one repository, which know nothing of each other.
        let folders = ["specs/x/.spec/slots", "specs/y/.spec/slots"].map(|folder| fixture.path(folder));
        let make = |at: usize| {
            let slot = repo.make_slot(&folders[at % 2], 1 + at / 2, &tip).unwrap();
            slot.ready(&tip, Fixture::own(), 100).unwrap();
            assert_eq!(fs::read_to_string(slot.root().join("README")).unwrap(), "hello\n", "try {attempt}");
            slot
        };
        let slots: Vec<Slot> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|at| scope.spawn(move || make(at))).collect();
            threads.into_iter().map(|slot| slot.join().unwrap()).collect()
        });
        assert_eq!(fixture.git(&["worktree", "list"]).lines().count(), 9);
        for slot in slots {
            slot.remove().unwrap();
        }
    }
}

#[test]
fn of_a_slot_whose_making_was_cut_off_nothing_is_left() {
    let nothing = "0".repeat(40) + "\n";
    for (left, head) in [("slot-1/.git", Some(nothing.as_str())), ("slot-1/.git", None), ("", Some(nothing.as_str()))] {
        each(|fixture| {
            let folder = fixture.path("specs/x/.spec/slots");
            let slot = fixture.repo().make_slot(&folder, 1, &fixture.tip()).unwrap();
            let admin = fixture.path(".git/worktrees/slot-1");
            match head {
                Some(head) => fixture.put(&admin.join("HEAD"), head.as_bytes()),
                None => fs::remove_file(admin.join("HEAD")).unwrap(),
            }
            fs::remove_file(admin.join("commondir")).unwrap();
            if left.is_empty() {
                fs::remove_dir_all(slot.root()).unwrap();
            }
            fixture.repo().sweep_unmade(&folder).unwrap();
            assert!(!admin.exists() && !folder.join("slot-1").exists());
            assert!(fixture.command(&["fsck", "--no-progress"]).output().unwrap().status.success());
            let slot = fixture.slot(1);
            slot.ready(&fixture.tip(), Fixture::own(), 100).unwrap();
            assert_eq!(fs::read_to_string(slot.root().join("README")).unwrap(), "hello\n");
            // One that was made ready once stays.
            fixture.put_in(slot.root(), "work", "w\n");
            fixture.repo().sweep_unmade(&folder).unwrap();
            assert!(slot.root().join("work").exists());
        });
    }
}
