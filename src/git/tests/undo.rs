//! Which commits are a run's, and what the tree is without them.

use std::collections::BTreeSet;

use super::*;

impl Fixture {
    /// A commit of everything that is there, with this body.
    fn commit(&self, subject: &str, body: &str) -> Oid {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject, "-m", body]);
        self.repo().head().unwrap().commit.unwrap()
    }

    fn run_commits(&self, from: &Oid) -> Vec<RunCommit> {
        self.repo().run_commits("r1", Some(from), &BTreeSet::new()).unwrap().unwrap()
    }

    fn subjects(&self, from: &Oid) -> String {
        self.run_commits(from).iter().map(|commit| commit.subject.as_str()).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_others_committed_before_between_and_after_stays() {
    each(|fixture| {
        fixture.write("shared", "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
        let from = fixture.commit("before", "");
        fixture.write("shared", "one\n2\n3\n4\n5\n6\n7\n8\n9\n");
        fixture.write("a", "a\n");
        fixture.write("specs/x/tasks.md", LIST.replace("[ ] 1.1", "[x] 1.1"));
        fixture.commit("first", "Spec-Task: 1.1\nSpec-Run: r1");
        fixture.write("between", "mine\n");
        fixture.write("shared", "one\n2\n3\n4\nfive\n6\n7\n8\n9\n");
        fixture.commit("between", "");
        fixture.write("shared", "one\n2\n3\n4\nfive\n6\n7\n8\nnine\n");
        fixture.commit("second", "Spec-Task: 1.2\nSpec-Run: r1");
        fixture.write("after", "mine\n");
        fixture.write("b", "b\n");
        fixture.commit("other", "Spec-Task: 1.3\nSpec-Run: r10");
        let commits = fixture.run_commits(&from);
        let tasks: Vec<_> = commits.iter().map(|commit| commit.task.as_deref().unwrap()).collect();
        assert_eq!(tasks, ["1.2", "1.1"]);
        let changes = fixture.repo().without(&commits, &Fixture::own()).unwrap().unwrap();
        assert_eq!(brief(&changes), "-a ~shared");
        let shared = changes[1].new.as_ref().unwrap();
        assert_eq!(fixture.git(&["cat-file", "blob", shared.oid.as_str()]), "1\n2\n3\n4\nfive\n6\n7\n8\n9");
        assert_eq!(fixture.status(), "", "only objects were made");
    });
}

#[test]
fn what_contradicts_is_named_with_who_did_it() {
    each(|fixture| {
        let from = fixture.commit("before", "");
        fixture.write("README", "by a task\n");
        fixture.commit("first", "Spec-Task: 1.1\nSpec-Run: r1");
        fixture.write("README", "by me\n");
        fixture.commit("mine now", "");
        fixture.write("other", "x\n");
        fixture.commit("elsewhere", "");
        let clash = fixture.repo().without(&fixture.run_commits(&from), &Fixture::own()).unwrap().unwrap_err();
        assert_eq!(clash.paths, ["README".into()]);
        assert!(clash.commits.len() == 1 && clash.commits[0].ends_with(" mine now"), "{clash:?}");
    });
}

#[test]
fn a_commit_that_was_taken_back_is_not_taken_back_again_unless_that_was_taken_back() {
    each(|fixture| {
        let from = fixture.commit("before", "");
        fixture.write("a", "a\n");
        let first = fixture.commit("first", "Spec-Task: 1.1\nSpec-Run: r1");
        fixture.write("b", "b\n");
        fixture.commit("second", "Spec-Task: 1.2\nSpec-Run: r1");
        assert_eq!(fixture.subjects(&from), "second first");
        fixture.git(&["revert", "--no-edit", first.as_str()]);
        assert_eq!(fixture.subjects(&from), "second");
        fixture.git(&["revert", "--no-edit", "HEAD"]);
        assert_eq!(fixture.subjects(&from), "second first");
    });
}

#[test]
fn a_branch_that_does_not_have_the_beginning_is_another() {
    each(|fixture| {
        let from = fixture.commit("before", "");
        fixture.git(&["checkout", "-q", "-b", "other", "HEAD~1"]);
        assert_eq!(fixture.repo().run_commits("r1", Some(&from), &BTreeSet::new()).unwrap(), None);
    });
}
