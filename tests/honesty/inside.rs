//! Runs from inside an agent: a session that plays `spec next` and `spec finish` over a list in a real repository. Its
//! sub-agents are the shell, which does what the `Do` field of a task says, in the folder that `spec` names.

#![expect(clippy::disallowed_methods, reason = "the tests play a session, whose files and times are its own")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::env::Output;
use crate::world::World;

/// Eight tasks in five steps, with a group of three.
const LIST: &str = "\
## Phase 1

- [ ] 1.1 Begin
  - **Do**: echo one > one.txt
  - **Files**: one.txt
  - **Verify**: `test -e one.txt`
  - **Commit**: `feat: begin`
- [ ] 1.2 [P] First
  - **Do**: echo a > a.txt; echo '- learned a' >> \"$SPEC_PROGRESS_FILE\"
  - **Files**: a.txt
  - **Verify**: `test -e a.txt`
- [ ] 1.3 [P] Second
  - **Do**: echo b > b.txt
  - **Files**: b.txt
- [ ] 1.4 [P] Third
  - **Do**: echo c > c.txt; rm one.txt
  - **Files**: c.txt, one.txt (delete)
- [ ] 1.5 [VERIFY] All there
  - **Verify**: `test -e a.txt && test -e b.txt && test -e c.txt`

## Phase 2

- [ ] 2.1 Figures
  - **Run**: `ls > figures`
- [ ] 2.2 Write
  - **Do**: echo two >> a.txt
- [ ] 2.3 Last
  - **Do**: echo three >> a.txt
";

/// A session in a world.
pub(crate) struct Session<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: &'static str,
}

impl Session<'_> {
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.env.spec_command(args);
        command.args(["--session", self.name]);
        command
    }

    pub(crate) fn call(&self, args: &[&str]) -> Output {
        self.world.env.output(&mut self.command(args))
    }

    /// What `spec next` gives, as JSON.
    pub(crate) fn next(&self) -> Value {
        let output = self.call(&["next", "--format", "json"]);
        assert!(matches!(output.code, 0 | 1), "{output}");
        output.json()
    }

    pub(crate) fn finish(&self, args: &[&str]) -> Value {
        let output = self.call(&[&["finish", "--format", "json"], args].concat());
        assert!(matches!(output.code, 0 | 1), "{output}");
        output.json()
    }

    /// What a sub-agent does with the prompt that it is given.
    pub(crate) fn act(&self, task: &Value) {
        let prompt = task["prompt"].as_str().expect("a prompt");
        let act = prompt.lines().find_map(|line| line.trim().strip_prefix("- **Do**: ")).expect("what to do");
        self.shell(task, act);
    }

    /// The same with something else to do.
    pub(crate) fn shell(&self, task: &Value, act: &str) {
        let mut command = self.world.env.command("sh");
        command.args(["-c", act]).current_dir(self.path(task, "folder"));
        command.env("SPEC_PROGRESS_FILE", self.path(task, "progressFile"));
        assert!(command.status().expect("a shell").success(), "{act}");
    }

    fn path(&self, task: &Value, name: &str) -> PathBuf {
        let root = self.world.env.work();
        let root = root.parent().expect("a root").to_str().expect("UTF-8");
        PathBuf::from(task[name].as_str().expect("a path").replace("$ENV", root))
    }

    /// Plays until the run is over; gives all signals.
    pub(crate) fn play(&self) -> Vec<String> {
        let mut signals = Vec::new();
        for _ in 0..100 {
            let step = self.next();
            signals.extend(signals_of(&step));
            if step["state"] == "over" {
                return signals;
            }
            let tasks = tasks(&step);
            for task in tasks.values() {
                self.act(task);
            }
            let ids: Vec<&str> = tasks.keys().map(String::as_str).collect();
            let answer = self.finish(&ids);
            signals.extend(signals_of(&answer));
            if answer["state"] == "over" {
                return signals;
            }
        }
        panic!("it does not come to an end");
    }
}

/// What is handed out, by id.
pub(crate) fn tasks(answer: &Value) -> BTreeMap<String, Value> {
    let tasks = answer["tasks"].as_array().expect("tasks").iter();
    tasks.map(|task| (task["task"].as_str().expect("an id").to_owned(), task.clone())).collect()
}

pub(crate) fn signals_of(answer: &Value) -> Vec<String> {
    let signals = answer["signals"].as_array().expect("signals").iter();
    let first = |signal: &Value| signal["details"][0][1].as_str().unwrap_or_default().to_owned();
    signals.map(|it| format!("{} {}", it["signal"].as_str().expect("a name"), first(it)).trim().to_owned()).collect()
}

/// What came of a task: its state and its code.
fn result(answer: &Value, task: &str) -> (String, String) {
    let results = answer["results"].as_array().expect("results");
    let found = results.iter().find(|it| it["task"] == task).unwrap_or_else(|| panic!("no {task} in {answer}"));
    let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
    (text("state"), text("code"))
}

fn world() -> World {
    let world = World::without_git(LIST);
    world.env.write(".progress.md", "# Progress\n");
    world.env.git(["init", "-q"]);
    world.commit("chore: add the list");
    world
}

/// Subjects and trees of all commits, the newest first; a tree by what is in it, progress apart: that has the time.
fn history(world: &World) -> Vec<String> {
    let log = world.env.git(["log", "--format=%H %s"]);
    let trees = log.lines().map(|line| {
        let (commit, subject) = line.split_once(' ').expect("a subject");
        let tree = world.env.git(["ls-tree", "-r", commit]);
        let kept: Vec<&str> = tree.lines().filter(|line| !line.ends_with(".progress.md")).collect();
        format!("{subject}\n{}", kept.join("\n"))
    });
    trees.collect()
}

const ONE: &str = "s1";

fn session(world: &World) -> Session<'_> {
    Session { world, name: ONE }
}

#[test]
fn a_session_makes_the_same_history_as_a_run() {
    let headless = world();
    let output = headless.run(["--max-attempts", "5"]);
    assert_eq!(output.code, 0, "{output}");
    let inside = world();
    let signals = session(&inside).play();
    assert_eq!(history(&inside), history(&headless));
    let printed: Vec<&str> = output.stdout.split("\n\n").map(str::trim).filter(|block| !block.is_empty()).collect();
    let named = |block: &&str| {
        let mut lines = block.lines();
        let name = lines.next().unwrap_or_default();
        let first = lines.next().and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value);
        format!("{name} {first}").trim().to_owned()
    };
    assert_eq!(signals, printed.iter().map(named).collect::<Vec<_>>());
    // One run, whatever the number of calls, and nothing is left of it.
    assert_eq!(inside.events("run_start").len(), 1);
    assert_eq!(inside.events("run_complete").len(), 1);
    assert!(!inside.env.path(".spec/lease.json").exists());
    assert_eq!(inside.env.git(["status", "--porcelain"]), "");
    assert!(inside.env.read(".progress.md").contains("learned a"));
}

#[test]
fn the_same_step_is_given_again_without_what_is_done() {
    let world = world();
    let session = session(&world);
    let first = session.next();
    assert_eq!(tasks(&first).keys().collect::<Vec<_>>(), ["1.1"]);
    assert_eq!(tasks(&session.next()), tasks(&first), "word for word");
    session.act(&tasks(&first)["1.1"]);
    session.finish(&["1.1"]);
    let group = tasks(&session.next());
    assert_eq!(group.keys().collect::<Vec<_>>(), ["1.2", "1.3", "1.4"]);
    let folders: std::collections::BTreeSet<_> = group.values().map(|task| task["folder"].to_string()).collect();
    assert_eq!(folders.len(), 3, "a tree for each");
    session.act(&group["1.3"]);
    let answer = session.finish(&["1.3"]);
    assert_eq!(result(&answer, "1.3"), ("passed".into(), String::new()));
    assert_eq!(signals_of(&answer), Vec::<String>::new(), "it lands with its siblings");
    let left = tasks(&session.next());
    assert_eq!(left.keys().collect::<Vec<_>>(), ["1.2", "1.4"]);
    assert_eq!(left["1.2"], group["1.2"]);
    // Said twice is said once.
    session.finish(&["1.3"]);
    for task in left.values() {
        session.act(task);
    }
    let answer = session.finish(&["1.2", "1.4"]);
    let wanted = ["TASK_COMPLETE 1.2", "TASK_COMPLETE 1.3", "TASK_COMPLETE 1.4", "BATCH_COMPLETE 1.2 1.3 1.4"];
    assert_eq!(signals_of(&answer), wanted);
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4"]);
    session.finish(&["1.3"]);
}

#[test]
fn a_lie_is_found_out_and_the_next_try_is_told_of_it() {
    let world = World::new(
        "- [ ] 1.1 First\n  - **Do**: echo ok > a\n  - **Verify**: `test \"$(cat a)\" = ok`\n\
         - [ ] 1.2 Second\n  - **Do**: echo x > b.txt\n  - **Files**: b.txt\n",
    );
    let session = session(&world);
    let task = &tasks(&session.next())["1.1"];
    // Nothing was changed.
    let answer = session.finish(&["1.1"]);
    assert_eq!((answer["exit"].as_u64(), result(&answer, "1.1")), (Some(1), ("again".into(), "no_change".into())));
    let log = world.env.spec(["log", "1.1", "--attempt", "1"]).stdout;
    assert!(log.contains("session: it was over after") && !log.contains("process:"), "nobody saw a process: {log}");
    let again = &tasks(&session.next())["1.1"];
    assert_eq!(again["attempt"], 2);
    assert!(again["prompt"].as_str().unwrap().contains("failed (no_change)"), "{again}");
    // Something was, and it is not right.
    session.shell(task, "echo wrong > a");
    let answer = session.finish(&["1.1"]);
    assert_eq!(result(&answer, "1.1"), ("again".into(), "verify_failed".into()));
    assert!(!world.ticked("1.1"));
    assert_eq!(world.history().len(), 1);
    let third = &tasks(&session.next())["1.1"];
    assert_eq!(world.env.read("a"), "wrong\n", "its edits are kept");
    session.act(third);
    // Its own box, and that of another, are not the session's to tick.
    let ticked = world.list().replace("[ ]", "[x]");
    world.env.write("tasks.md", ticked);
    let answer = session.finish(&["1.1"]);
    assert_eq!(signals_of(&answer), ["TASK_COMPLETE 1.1"]);
    assert!(world.ticked("1.1") && !world.ticked("1.2"), "{}", world.list());
    assert_eq!(world.events("notice").iter().filter(|it| it["code"] == "tick-taken-back").count(), 1);
    // A file that is promised is not there.
    let last = &tasks(&session.next())["1.2"];
    session.shell(last, "echo x > c");
    assert_eq!(result(&session.finish(&["1.2"]), "1.2"), ("again".into(), "missing_files".into()));
}

#[test]
fn what_a_session_says_has_failed_is_tried_again_and_at_last_given_up() {
    let world = World::new("- [ ] 1.1 First\n  - **Do**: true\n- [ ] 1.2 Then\n  - **Do**: true\n")
        .settings("[run]\nmax_attempts = 2");
    let session = session(&world);
    session.next();
    let answer = session.finish(&["--failed", "1.1=the API is not there"]);
    assert_eq!(result(&answer, "1.1"), ("again".into(), "reported_failure".into()));
    let again = &tasks(&session.next())["1.1"];
    assert!(again["prompt"].as_str().unwrap().contains("the API is not there"), "{again}");
    let answer = session.finish(&["--failed", "1.1=still not"]);
    assert_eq!((answer["state"].as_str(), answer["exit"].as_u64()), (Some("over"), Some(1)));
    assert_eq!(signals_of(&answer), ["TASK_FAILED 1.1"]);
    assert!(!world.env.path(".spec/lease.json").exists());
    // A new run counts anew.
    assert_eq!(tasks(&session.next())["1.1"]["attempt"], 1);
    let answer = session.finish(&["--no-change", "1.1=it was there"]);
    assert_eq!(signals_of(&answer), ["TASK_COMPLETE 1.1"]);
}

#[test]
fn an_empty_name_of_a_session_is_none() {
    let output = world().env.spec(["next", "--session", "", "--format", "json"]);
    assert_eq!(output.json()["session"], "unnamed", "{output}");
}

#[test]
fn one_session_has_it_until_it_is_silent_or_another_takes_over() {
    let world = world();
    let (one, two) = (session(&world), Session { world: &world, name: "s2" });
    let first = one.next();
    let refused = |output: Output| {
        assert_eq!(output.code, 3, "{output}");
        assert!(output.stderr.contains("session s1 has"), "{output}");
    };
    refused(two.call(&["next"]));
    refused(two.call(&["finish", "1.1"]));
    refused(world.run([""; 0]));
    assert_eq!(tasks(&one.next()), tasks(&first), "nothing of that changed anything");
    let output = two.call(&["next", "--take-over", "--format", "json"]);
    assert_eq!(tasks(&output.json()), tasks(&first), "it goes on with what there is");
    let output = one.call(&["finish", "1.1"]);
    assert_eq!(output.code, 3, "{output}");
    assert!(output.stderr.contains("session s2 has"), "{output}");
    // Half an hour later.
    let lease = File::options().write(true).open(world.env.path(".spec/lease.json")).unwrap();
    lease.set_modified(SystemTime::now() - Duration::from_secs(31 * 60)).unwrap();
    one.act(&tasks(&first)["1.1"]);
    assert_eq!(signals_of(&one.finish(&["1.1"])), ["TASK_COMPLETE 1.1"]);
}

#[test]
fn a_run_takes_over_from_a_session_and_a_session_from_a_killed_run() {
    let headless = world();
    assert_eq!(headless.run(["--max-attempts", "5"]).code, 0);
    let wanted = history(&headless);
    let world = world();
    let session = session(&world);
    session.act(&tasks(&session.next())["1.1"]);
    session.finish(&["1.1"]);
    let group = tasks(&session.next());
    session.act(&group["1.2"]);
    session.act(&group["1.3"]);
    session.finish(&["1.3"]);
    // 1.2 is done and not said to be: it is kept, and made anew. 1.3 has passed.
    let output = world.run(["--max-attempts", "5", "--take-over"]);
    assert_eq!(output.code, 0, "{output}");
    assert_eq!(history(&world), wanted);
    assert_eq!((world.tries("1.2"), world.tries("1.3")), (0, 0), "numbered on from the session's tries");
    assert!(world.env.path("../home/prompts/1.2.2").exists() && !world.env.path("../home/prompts/1.3.2").exists());
    let kept = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    assert!(kept.contains("1.2"), "{kept}");
    assert!(!world.env.path(".spec/lease.json").exists());
}

#[test]
fn a_session_goes_on_with_what_a_killed_run_left() {
    let headless = world();
    assert_eq!(headless.run(["--max-attempts", "5"]).code, 0);
    let world = world();
    world.fifo("there");
    world.env.write(
        "../home/act",
        "case $SPEC_TASK_ID in 1.3) echo half > b.txt; : > \"$HOME/there\"; sleep 60;; esac\n\
         eval \"$(sed -n 's/^ *- \\*\\*Do\\*\\*: //p')\"\n",
    );
    let mut child = world.start(["--max-attempts", "5"]);
    let mut there = Vec::new();
    File::open(world.env.path("../home/there")).unwrap().read_to_end(&mut there).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    session(&world).play();
    assert_eq!(history(&world), history(&headless));
}

#[test]
fn a_call_that_is_killed_anywhere_is_made_up_for_by_the_next() {
    let headless = world();
    assert_eq!(headless.run(["--max-attempts", "5"]).code, 0);
    let wanted = history(&headless);
    // Each call is killed once after a time of its own, then made again.
    for delay in [5, 40, 120, 250] {
        let world = world();
        let session = session(&world);
        let kill = |args: &[&str]| {
            let mut command = session.command(args);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(delay)); // tidy: the kill is to come at any moment of a call
            child.kill().unwrap();
            child.wait().unwrap();
        };
        for _ in 0..20 {
            kill(&["next"]);
            let step = session.next();
            if step["state"] == "over" {
                break;
            }
            let tasks = tasks(&step);
            for task in tasks.values() {
                session.act(task);
            }
            let ids: Vec<&str> = tasks.keys().map(String::as_str).collect();
            kill(&[&["finish"], &ids[..]].concat());
            // Whatever became of it, saying it again is right; what the killed call has ended is over.
            let output = session.call(&[&["finish", "--format", "json"], &ids[..]].concat());
            if output.code == 0 && output.json()["state"] == "over" {
                break;
            }
        }
        assert_eq!(history(&world), wanted, "killed after {delay} ms");
        assert_eq!(world.env.git(["status", "--porcelain"]), "");
    }
}

// ---- the shared tree ------------------------------------------------------------------------------------------------

/// A group of two in one tree.
fn shared(list: &str) -> World {
    World::new(list).settings("[run]\nisolation = \"none\"")
}

#[test]
fn in_one_tree_none_is_checked_before_all_are_over_and_each_change_is_its_own() {
    let world = shared(
        "- [ ] 1.1 [P] First\n  - **Do**: echo a > a.txt\n  - **Files**: a.txt\n  - **Verify**: `test -e a.txt`\n\
         - [ ] 1.2 [P] Second\n  - **Do**: echo b > b.txt; echo who > who.txt\n  - **Files**: b.txt\n",
    );
    let session = session(&world);
    let group = tasks(&session.next());
    assert!(group.values().all(|task| task["folder"] == "$ENV/work" && task["ownTree"] == false), "{group:?}");
    session.act(&group["1.1"]);
    let answer = session.finish(&["1.1"]);
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(0), "{answer}");
    let left = tasks(&session.next());
    assert_eq!((&left["1.1"]["reported"], &left["1.2"]["reported"]), (&Value::Bool(true), &Value::Bool(false)));
    session.act(&left["1.2"]);
    let answer = session.finish(&["1.2"]);
    let wanted = ["TASK_COMPLETE 1.1", "TASK_COMPLETE 1.2", "BATCH_COMPLETE 1.1 1.2", "ALL_TASKS_COMPLETE"];
    assert_eq!(signals_of(&answer), wanted);
    assert_eq!((world.paths_of("1.1"), world.paths_of("1.2")), lists(&["a.txt", "tasks.md"], &["b.txt", "tasks.md"]));
    assert_eq!(world.env.git(["status", "--porcelain"]), "?? .progress.md\n?? who.txt", "what is nobody's stays");
}

fn lists(one: &[&str], two: &[&str]) -> (Vec<String>, Vec<String>) {
    let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    (own(one), own(two))
}

#[test]
fn a_commit_of_a_sub_agent_is_kept_and_a_checkout_is_found_out() {
    let world = World::new("- [ ] 1.1 First\n  - **Do**: true\n- [ ] 1.2 Second\n  - **Do**: true\n");
    let session = session(&world);
    session.shell(&tasks(&session.next())["1.1"], "echo a > a.txt; git add a.txt; git commit -qm 'my own'");
    assert_eq!(signals_of(&session.finish(&["1.1"])), ["TASK_COMPLETE 1.1"]);
    assert_eq!(world.history(), ["chore: add the list", "my own", "1.1"]);
    session.shell(&tasks(&session.next())["1.2"], "echo b > b.txt; git stash -qu");
    assert_eq!(result(&session.finish(&["1.2"]), "1.2"), ("again".into(), "moved_head".into()));
    assert!(!world.ticked("1.2"));
}

#[test]
fn a_persons_changes_are_neither_committed_nor_in_the_way_unless_they_are_written_over() {
    let world =
        World::new("- [ ] 1.1 First\n  - **Do**: echo a > a.txt\n- [ ] 1.2 Second\n  - **Do**: echo task > mine.txt\n");
    world.env.write("mine.txt", "committed\n");
    world.commit("chore: a file");
    world.env.write("mine.txt", "a person's\n");
    let session = session(&world);
    let output = session.call(&["next"]);
    assert_eq!(output.code, 2, "{output}");
    assert!(output.stderr.contains("uncommitted changes: mine.txt"), "{output}");
    let output = session.call(&["next", "--allow-dirty", "--format", "json"]);
    session.act(&tasks(&output.json())["1.1"]);
    // A person goes on while the session works.
    world.env.write("more.txt", "a person's\n");
    let answer = session.finish(&["1.1"]);
    assert_eq!(signals_of(&answer), ["TASK_COMPLETE 1.1"]);
    assert_eq!(world.env.read("mine.txt"), "a person's\n");
    assert!(!world.paths_of("1.1").contains(&"mine.txt".to_owned()), "{:?}", world.paths_of("1.1"));
    let task = &tasks(&session.next())["1.2"];
    session.act(task);
    let output = session.call(&["finish", "1.2"]);
    assert_eq!(output.code, 4, "a person has to decide: {output}");
    assert!(!world.ticked("1.2"));
    assert_eq!(world.env.git(["show", "HEAD:mine.txt"]), "committed");
}

// ---- the list ---------------------------------------------------------------------------------------------------------

#[test]
fn a_list_that_a_person_edits_meanwhile_is_planned_anew_and_a_try_keeps_what_it_began_with() {
    let world = World::new(
        "- [ ] 1.1 First\n  - **Do**: echo a > a.txt\n  - **Verify**: `test -e a.txt`\n- [ ] 1.2 Second\n  - **Do**: true\n",
    );
    let session = session(&world);
    let first = tasks(&session.next());
    let edited = world.list().replace("test -e a.txt", "false").replace("- [ ] 1.2 Second", "- [ ] 1.3 New");
    world.env.write("tasks.md", edited);
    assert_eq!(tasks(&session.next()), first);
    session.act(&first["1.1"]);
    assert_eq!(signals_of(&session.finish(&["1.1"])), ["TASK_COMPLETE 1.1"]);
    assert_eq!(tasks(&session.next()).keys().collect::<Vec<_>>(), ["1.3"]);
    // Nothing is handed out while a person breaks the list.
    session.shell(&tasks(&session.next())["1.3"], "echo c > c.txt");
    let whole = world.list();
    world.env.write("tasks.md", "gone\n");
    let output = session.call(&["finish", "1.3"]);
    assert_eq!(output.code, 2, "{output}");
    world.env.write("tasks.md", whole);
    let answer = session.finish(&["1.3"]);
    assert_eq!((answer["state"].as_str(), answer["outcome"].as_str()), (Some("over"), Some("done")));
    assert_eq!(signals_of(&answer), ["TASK_COMPLETE 1.3", "ALL_TASKS_COMPLETE"]);
}

#[test]
fn what_is_not_handed_out_cannot_be_finished() {
    let world = world();
    let session = session(&world);
    let refused = |args: &[&str], why: &str| {
        let output = session.call(args);
        assert_eq!(output.code, 2, "{output}");
        assert!(output.stderr.contains(why), "{output}");
    };
    refused(&["finish", "1.1"], "no session has a run of this list");
    session.next();
    refused(&["finish"], "which tasks are over?");
    refused(&["finish", "1.2"], "task 1.2 is not handed out");
    refused(&["finish", "9.9"], "there is no task 9.9");
    refused(&["finish", "--failed", "1.1"], "a task and a reason are needed");
    assert_eq!(world.history().len(), 1);
}

// ---- people -----------------------------------------------------------------------------------------------------------

#[test]
fn people_steer_a_run_that_a_session_has() {
    let world = world();
    let session = session(&world);
    let done = |args: &[&str]| {
        let output = world.env.spec(args);
        assert_eq!(output.code, 0, "{output}");
        output.stdout
    };
    session.act(&tasks(&session.next())["1.1"]);
    assert!(done(&["status"]).contains("in session s1"), "{}", done(&["status"]));
    let status = world.env.spec(["status", "--format", "json"]).json();
    assert_eq!((&status["run"]["state"], &status["run"]["session"]), (&Value::from("in_session"), &Value::from("s1")));
    assert_eq!(status["tasks"][0]["status"], "running");
    done(&["pause"]);
    session.finish(&["1.1"]);
    let step = session.next();
    assert_eq!((step["state"].as_str(), tasks(&step).len()), (Some("paused"), 0));
    done(&["resume"]);
    assert_eq!(tasks(&session.next()).len(), 3);
    assert_eq!(done(&["skip", "1.3"]), "task 1.3 is left out\n", "which is not to say that it is done");
    let group = tasks(&session.next());
    assert_eq!(group.keys().collect::<Vec<_>>(), ["1.2", "1.4"]);
    let refused = world.env.spec(["skip", "1.1"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.stderr.contains("task 1.1 is done: it is not left out"), "{refused}");
    let held = world.env.spec(["undo", "last"]);
    assert_eq!(held.code, 3, "{held}");
    session.act(&group["1.2"]);
    done(&["cancel"]);
    assert_eq!(world.events("run_complete")[0]["outcome"], "interrupted");
    assert!(!world.env.path(".spec/lease.json").exists());
    let kept = world.env.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
    assert!(kept.contains("1.2"), "{kept}");
    // And again from there.
    session.play();
    assert!(world.ticked("1.2") && world.ticked("2.3"), "{}", world.list());
}

/// Gemini CLI has its shells do without git's configuration: nobody would know who commits, and no hook would run.
#[test]
fn inside_gemini_git_is_as_everywhere() {
    let world = world();
    world.env.write(".git/hooks/pre-commit", "#!/bin/sh\ntouch \"$HOME/hook\"\n");
    let hook = File::open(world.env.path(".git/hooks/pre-commit")).expect("a hook");
    hook.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("it can be run");
    let call = |args: &[&str]| {
        let mut command = session(&world).command(args);
        command.envs([("GEMINI_CLI", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_COUNT", "1")]);
        command.envs([("GIT_CONFIG_KEY_0", "core.hooksPath"), ("GIT_CONFIG_VALUE_0", "")]);
        let output = world.env.output(&mut command);
        assert_eq!(output.code, 0, "{output}");
        output.json()
    };
    session(&world).act(&tasks(&call(&["next", "--format", "json"]))["1.1"]);
    call(&["finish", "--format", "json", "1.1"]);
    assert_eq!(world.env.git(["log", "-1", "--format=%an"]), "Test");
    assert!(world.env.path("../home/hook").exists(), "the hook ran");
}

#[test]
fn a_list_that_a_session_has_is_not_mended() {
    let world = World::new("- [x]0.9 Done\n- [ ] 1.1 One\n  - **Files**: a.txt\n- [ ] 1.2 Two\n  - **Files**: b.txt\n");
    session(&world).next();
    let before = world.list();
    for args in [&["check", "--fix"][..], &["fmt", "--mark-parallel", "--write"]] {
        let held = world.env.spec(args);
        assert!(held.code == 3 && held.stderr.contains("session s1 has"), "{held}");
    }
    assert_eq!(world.list(), before);
}

#[test]
fn the_state_file_is_true_between_calls() {
    let world = world();
    let session = session(&world);
    session.act(&tasks(&session.next())["1.1"]);
    session.finish(&["1.1"]);
    session.next();
    let state: Value = serde_json::from_str(&world.env.read(".spec-state.json")).unwrap();
    assert_eq!((&state["taskIndex"], &state["phase"]), (&Value::from(1), &Value::from("execution")));
    assert_eq!(state["parallelGroup"]["taskIndices"], serde_json::json!([1, 2, 3]));
    assert_eq!(state["run"]["sessionId"], "s1");
    // It is a projection: nothing hangs on it.
    world.env.write(".spec-state.json", "{ not json");
    session.play();
    let state: Value = serde_json::from_str(&world.env.read(".spec-state.json")).unwrap();
    assert_eq!((&state["phase"], &state["taskIndex"]), (&Value::from("completed"), &Value::from(8)));
}

/// Without what is another one each time: the run, and commits.
fn redacted(output: &Output) -> String {
    let run = |line: &str| match line.split_once("/runs/") {
        Some((before, after)) => format!("{before}/runs/RUN/{}", after.split_once('/').map_or("", |(_, rest)| rest)),
        None if line.starts_with("commit: ") => "commit: COMMIT".to_owned(),
        None => line.to_owned(),
    };
    output.to_string().lines().map(run).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_model_reads_says_what_to_do() {
    let world = world();
    let session = session(&world);
    let first = session.call(&["next"]);
    insta::assert_snapshot!(redacted(&first), @r#"
    # Step 1 of tasks.md: one task (0 of 8 done)

    Start one sub-agent with the prompt below, as it is. When it has ended, run
    `spec finish --file tasks.md --session s1 1.1`
    or, if it could not do it, the same with `--failed 1.1="why"` in place of `1.1`; if nothing had to be changed, with
    `--no-change 1.1="why"`. Do not commit and do not tick boxes: spec checks every result itself, commits it and ticks the
    box.

    ## 1.1 Begin

    - Folder: $ENV/work
    - Progress file: $ENV/work/.progress-task-0.md

    ````text
    Read $ENV/work/.spec/runs/RUN/prompts/0.1.md and carry out the task that it describes, in the folder $ENV/work.
    Where a tool refuses to read it, use `cat`.
    ````
    "#);
    session.act(&tasks(&session.next())["1.1"]);
    let done = session.call(&["finish", "1.1"]);
    insta::assert_snapshot!(redacted(&done), @r"
    TASK_COMPLETE
    task: 1.1
    status: pass
    commit: COMMIT
    verify: pass

    Next: run `spec next tasks.md --session s1`.
    ");
    let group = session.call(&["next"]).stdout;
    assert!(group.starts_with("# Step 2 of tasks.md: 3 tasks at once (1 of 8 done)\n"), "{group}");
    assert!(group.contains("Start 3 sub-agents, all of them in ONE message,"), "{group}");
    assert!(group.contains("`spec finish --file tasks.md --session s1 1.2 1.3 1.4`"), "{group}");
    assert_eq!(group.matches("prompts/").count(), 3, "{group}");
    insta::assert_snapshot!(session.call(&["finish", "1.2"]), @r"
    1.2 did not pass (no_change): nothing changed, and no line NO_CHANGE says why
    It is handed out again by the next `spec next`.

    Still to be done: 1.3, 1.4. When they are, run `spec finish --file tasks.md --session s1 1.3 1.4`.
    [exit code: 1]
    ");
    let path = world.env.path(".spec/runs");
    let run = std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let prompt = std::fs::read_to_string(run.join("prompts/1.1.md")).unwrap();
    assert!(prompt.starts_with("Your current folder, for all that follows, is "), "{prompt}");
}

#[test]
fn what_a_verify_wrote_in_a_call_that_was_killed_is_no_tasks() {
    let verify = "echo junk > junk.txt; test ! -p \"$HOME/there\" || { : > \"$HOME/there\"; sleep 60; }";
    let task = |id: &str, mark: &str, file: &str| {
        format!(
            "- [ ] {id} {mark}Task\n  - **Do**: echo x > {file}\n  - **Verify**:\n\n    ```sh\n    {verify}\n    ```\n"
        )
    };
    let alone = task("1.1", "", "a.txt");
    let group = task("1.1", "[P] ", "a.txt") + "- [ ] 1.2 [P] Other\n  - **Do**: echo y > b.txt\n";
    for list in [alone, group] {
        let world = World::new(&list);
        let there = world.fifo("there");
        let session = session(&world);
        let tasks = tasks(&session.next());
        for task in tasks.values() {
            session.act(task);
        }
        let ids: Vec<&str> = tasks.keys().map(String::as_str).collect();
        let mut command = session.command(&[&["finish"], &ids[..]].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        File::open(&there).unwrap().read_to_end(&mut Vec::new()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::remove_file(&there).unwrap();
        // What was said is known: nothing has to be said or made again.
        let answer = session.next();
        assert_eq!(answer["outcome"], "done", "{answer}");
        assert!(!world.paths_of("1.1").contains(&"junk.txt".to_owned()), "{:?}", world.paths_of("1.1"));
        assert!(world.paths_of("1.1").contains(&"a.txt".to_owned()), "{:?}", world.paths_of("1.1"));
    }
}

#[test]
fn a_second_try_in_a_tree_of_its_own_goes_on_from_the_first_and_not_from_what_its_verify_wrote() {
    let world = World::new(
        "- [ ] 1.1 [P] First\n  - **Do**: echo ok > ok.txt\n  - **Verify**: `echo junk > junk.txt; test -e ok.txt`\n\
         - [ ] 1.2 [P] Second\n  - **Do**: echo b > b.txt\n",
    );
    let session = session(&world);
    let group = tasks(&session.next());
    session.shell(&group["1.1"], "echo half > half.txt");
    session.act(&group["1.2"]);
    let answer = session.finish(&["1.1", "1.2"]);
    assert_eq!(result(&answer, "1.1"), ("again".into(), "verify_failed".into()));
    assert_eq!(result(&answer, "1.2"), ("passed".into(), String::new()));
    assert_eq!(world.history().len(), 1, "they land together");
    let again = tasks(&session.next());
    assert_eq!(again.keys().collect::<Vec<_>>(), ["1.1"]);
    session.shell(&again["1.1"], "test -e half.txt && echo ok > ok.txt");
    let answer = session.finish(&["1.1"]);
    assert_eq!(answer["outcome"], "done", "{answer}");
    assert_eq!(world.paths_of("1.1"), ["half.txt", "ok.txt", "tasks.md"]);
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2"]);
}

#[test]
fn the_limit_holds_and_the_rest_of_a_group_comes_after() {
    let lines = (1..=5).map(|n| format!("- [ ] 1.{n} [P] Task\n  - **Do**: echo {n} > {n}.txt\n"));
    let list = lines.collect::<Vec<_>>().concat();
    let world = World::new(&list).settings("[run]\nmax_parallel = 2");
    let session = session(&world);
    let mut given = Vec::new();
    while let Some(tasks) = Some(tasks(&session.next())).filter(|tasks| !tasks.is_empty()) {
        assert!(tasks.len() <= 2);
        let (id, task) = tasks.iter().next().unwrap();
        session.act(task);
        given.push(id.clone());
        session.finish(&[id]);
    }
    assert_eq!(given, ["1.1", "1.2", "1.3", "1.4", "1.5"]);
    assert_eq!(world.history()[2..], given, "one batch, landed in order");
    assert_eq!(world.events("run_complete")[0]["most_at_once"], 2);
}

#[test]
fn two_calls_of_one_session_at_once_are_told_from_each_other() {
    let world = world();
    let session = session(&world);
    session.next();
    let mut calls: Vec<std::process::Child> = (0..6)
        .map(|_| {
            session
                .command(&["next", "--format", "json"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let outputs = calls.drain(..).map(|child| world.env.finished(&child.wait_with_output().unwrap()));
    for output in outputs {
        match output.code {
            0 => assert_eq!(tasks(&output.json()).keys().collect::<Vec<_>>(), ["1.1"]),
            3 => assert!(output.stderr.contains("another run holds"), "{output}"),
            _ => panic!("{output}"),
        }
    }
    session.play();
    assert_eq!(world.history(), ["chore: add the list", "1.1", "1.2", "1.3", "1.4", "1.5", "2.1", "2.2", "2.3"]);
}

#[test]
fn nobody_else_runs_in_the_tree_that_a_session_works_in() {
    let world = World::new("- [ ] 1.1 First\n  - **Do**: echo a > a.txt\n");
    for name in ["x", "y"] {
        world.env.write(format!("specs/{name}/tasks.md"), "- [ ] 1.1 Run\n  - **Run**: `echo run > run.txt`\n");
    }
    world.commit("chore: more");
    session(&world).next();
    let calls: [&[&str]; 4] = [
        &["run", "specs/x"],
        &["run", "specs/x", "specs/y"],
        &["next", "specs/x", "--session", "s1"],
        &["next", "specs/x", "--take-over", "--session", "s2"],
    ];
    for args in calls {
        let output = world.env.spec(args);
        assert_eq!(output.code, 3, "{args:?}: {output}");
        assert!(output.stderr.contains("session s1 has"), "{output}");
    }
    session(&world).play();
    let output = world.env.spec(["run", "specs/x", "--allow-dirty"]);
    assert_eq!(output.code, 0, "{output}");
}
