//! What the store promises of a process that is killed, and of a disk that is full: a child process, which is this test
//! binary again, does the work; the test kills it in the middle and looks at what is there.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use spec::mask::{self, Masker};
use spec::store::event::{Event, TaskRef};
use spec::store::fs::{self, Durability, Outcome};
use spec::store::journal::{self, Journal, Tail};
use spec::store::lock::SpecLock;
use spec::store::paths::SpecPaths;
use spec::store::progress::{self, Ended, Entry};
use spec::store::recovery::{self, Resume};
use spec::store::state::{self, Numbering, Projection, Run, Standing, StateFile};

const TASKS: usize = 16;
const TIME: &str = "2026-01-01T00:00:00.000Z";
/// Tells the child which folder to work in.
const FOLDER: &str = "SPEC_CRASH_TEST_FOLDER";

fn masker() -> Masker {
    Masker::new(&mask::Config::default(), []).unwrap()
}

fn task(index: usize) -> TaskRef {
    TaskRef { task: format!("1.{index}"), index, key: format!("1.{index}~c~0") }
}

fn list(ticked: impl Fn(usize) -> bool) -> String {
    let line = |i| format!("- [{}] 1.{i} Task\n", if ticked(i) { 'x' } else { ' ' });
    (0..TASKS).map(line).collect::<Vec<_>>().concat()
}

fn is_ticked(list: &[u8], index: usize) -> bool {
    String::from_utf8_lossy(list).lines().nth(index).unwrap().starts_with("- [x]")
}

fn prepare(folder: &Path) -> SpecPaths {
    fs::write_atomic(&folder.join("tasks.md"), list(|_| false).as_bytes(), Durability::Fast).unwrap();
    let paths = SpecPaths::find(&folder.join("tasks.md")).unwrap();
    for index in 0..TASKS {
        let text = format!("- learned {index}\n");
        fs::write_atomic(&paths.isolated_progress(index), text.as_bytes(), Durability::Fast).unwrap();
    }
    paths
}

fn start(resumes: Option<String>) -> Event {
    Event::RunStart {
        version: "0".into(),
        file: "tasks.md".into(),
        mode: "groups".into(),
        max_parallel: 1,
        tasks: TASKS,
        done: 0,
        steps: TASKS,
        base: None,
        branch: None,
        pid: std::process::id(),
        host: "h".into(),
        boot: "b".into(),
        resumes,
    }
}

/// Lands what has not landed, in the order of the contract; `landed` is told of each.
fn land_all(paths: &SpecPaths, run: &str, mut landed: impl FnMut(usize)) {
    let _lock = SpecLock::acquire(&paths.lock(), run, Timestamp::now()).unwrap();
    let recovered = recovery::read(paths).unwrap().recovered;
    let (mut file, taken) = StateFile::take(paths).unwrap();
    assert_eq!(taken.problem, None, "the state file is never half");
    let mut journal = Journal::create(&paths.journal(run), run).unwrap();
    journal.append(&start(recovered.last.as_ref().map(|last| last.id.clone())), TIME).unwrap();
    for index in 0..TASKS {
        let ticked = is_ticked(&std::fs::read(paths.list()).unwrap(), index);
        let resume = recovered.tasks.get(&task(index).key).map_or(Resume::Run, |record| record.resume(ticked));
        if resume == Resume::Done {
            continue;
        }
        assert!(!ticked || resume == Resume::FinishLanding, "{index} is ticked and {resume:?}");
        journal.append(&Event::Landing { tasks: vec![task(index)] }, TIME).unwrap();
        journal.sync().unwrap();
        let id = format!("1.{index}");
        let ended = Ended::Landed { commit: None };
        let entry = Entry { label: &id, id: Some(&id), title: "Task", ordinal: 0, ended, text: "" };
        progress::land(paths, &masker(), &[entry], None, &[&paths.isolated_progress(index)]).unwrap();
        loop {
            let old = std::fs::read(paths.list()).unwrap();
            let mut new = old.clone();
            let at: usize = String::from_utf8_lossy(&old).split_inclusive('\n').take(index).map(str::len).sum();
            new[at + 3] = b'x';
            if fs::edit(paths.list(), &old, &new).unwrap() == Outcome::Done {
                break;
            }
        }
        let complete = Event::TaskComplete {
            task: task(index),
            attempt: 1,
            title: "Task".into(),
            commit: None,
            verify: "none".into(),
            seconds: 0.0,
        };
        journal.append(&complete, TIME).unwrap();
        let tasks: Vec<_> = (0..TASKS).map(|i| (i, if i <= index { Standing::Done } else { Standing::Open })).collect();
        let state = state::project(&Projection {
            name: "crash",
            base_path: ".",
            tasks_file: "tasks.md",
            numbering: &Numbering::by_index(TASKS),
            tasks: &tasks,
            groups: &[],
            at: None,
            attempt: 1,
            max_attempts: 1,
            attempts_made: index,
            fixed: &[],
            run: Run {
                id: run.into(),
                pid: std::process::id(),
                session_id: None,
                started_at: TIME.into(),
                approval_before: None,
            },
        });
        file.write(&state).unwrap();
        landed(index);
    }
}

/// Not a test of its own: what the tests below start as a process. Without its variable it does nothing.
#[test]
fn child_lands_tasks() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let paths = SpecPaths::find(&Path::new(&folder).join("tasks.md")).unwrap();
        land_all(&paths, "r1", |index| println!("landed {index}"));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the child is killed while it runs")]
fn after_kill_nine_the_next_run_goes_on_and_nothing_is_lost() {
    // Where it is killed differs a little each time: right after it has said so, in the middle of what comes next.
    for lines in [0, 1, 4, 9] {
        let folder = tempfile::tempdir().unwrap();
        let paths = prepare(folder.path());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::child_lands_tasks", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = output.by_ref().filter(|line| line.as_ref().unwrap().contains("landed ")).take(lines).count();
        assert_eq!(said, lines);
        child.kill().unwrap();
        child.wait().unwrap();

        let list_now = std::fs::read(paths.list()).unwrap();
        assert_eq!(list_now, list(|i| is_ticked(&list_now, i)).as_bytes(), "a tick is one byte and nothing else");
        let journal = paths.journal("r1");
        let (records, tail) = if journal.exists() { journal::read(&journal).unwrap() } else { (vec![], Tail::Whole) };
        assert!(!matches!(tail, Tail::Corrupt { .. }));
        assert!(records.iter().map(|record| record.seq).eq(1..=records.len() as u64));
        let learned = String::from_utf8(fs::read_if_exists(paths.progress()).unwrap().unwrap_or_default()).unwrap();
        let begun: BTreeSet<usize> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::Landing { tasks } => Some(tasks[0].index),
                _ => None,
            })
            .collect();
        let landed: BTreeSet<usize> = records
            .iter()
            .filter_map(|record| match &record.event {
                Event::TaskComplete { task, .. } => Some(task.index),
                _ => None,
            })
            .collect();
        assert!(landed.len() >= lines);
        for index in 0..TASKS {
            assert!(!is_ticked(&list_now, index) || begun.contains(&index), "{index} is ticked and did not land");
            assert!(is_ticked(&list_now, index) || !landed.contains(&index), "{index} landed and is not ticked");
            let merged = learned.lines().any(|line| line == format!("- learned {index}"));
            assert!(merged || paths.isolated_progress(index).exists(), "what {index} learned is lost");
        }

        land_all(&paths, "r2", |index| assert!(!landed.contains(&index), "{index} landed twice"));
        fs::sweep_temp_files(paths.folder()).unwrap();
        assert_eq!(std::fs::read_to_string(paths.list()).unwrap(), list(|_| true));
        let learned = std::fs::read_to_string(paths.progress()).unwrap();
        for index in 0..TASKS {
            let count = |wanted: String| learned.lines().filter(|line| *line == wanted).count();
            assert_eq!(count(format!("- learned {index}")), 1);
            assert_eq!(count(format!("- [x] 1.{index} Task")), 1);
        }
        assert_eq!(state::load(&paths).unwrap().0.unwrap().phase, "completed");
        let mut names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, [".progress.md", ".spec", ".spec-state.json", "tasks.md"]);
    }
}

/// Not a test of its own, like the one above: works where no file may grow beyond a few kilobytes.
#[test]
fn child_fills_the_disk() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let paths = SpecPaths::find(&folder.join("tasks.md")).unwrap();
    let big = "x".repeat(100_000);

    let error = fs::write_atomic(&folder.join("state"), big.as_bytes(), Durability::Synced).unwrap_err();
    assert!(error.to_string().contains("cannot write") && error.to_string().contains("state"), "{error}");
    assert_eq!(std::fs::read(folder.join("state")).unwrap(), b"old");

    let notice = |message: &str| Event::Notice { level: "info".into(), code: "c".into(), message: message.into() };
    let path = paths.journal("r1");
    let mut journal = Journal::create(&path, "r1").unwrap();
    journal.append(&notice("before"), TIME).unwrap();
    let error = journal.append(&notice(&big), TIME).unwrap_err();
    assert!(error.to_string().contains("journal.jsonl"), "{error}");
    assert_eq!(journal.append(&notice("after"), TIME).unwrap(), 2);
    let (records, tail) = journal::read(&path).unwrap();
    assert_eq!((records.len(), tail), (2, Tail::Whole));

    let text = format!("- {big}\n");
    let isolated = paths.isolated_progress(1);
    let ended = Ended::Landed { commit: None };
    let entry = Entry { label: "1", id: Some("1"), title: "T", ordinal: 0, ended, text: &text };
    progress::land(&paths, &masker(), &[entry], None, &[&isolated]).unwrap_err();
    assert_eq!(std::fs::read(paths.progress()).unwrap(), b"# Progress\n");
    assert_eq!(std::fs::read(&isolated).unwrap(), b"- learned\n");

    println!("all as it should be");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_old_files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("state", "old"), (".progress.md", "# Progress\n"), (".progress-task-1.md", "- learned\n")] {
        fs::write_atomic(&folder.path().join(name), text.as_bytes(), Durability::Fast).unwrap();
    }
    // A file that would grow beyond the limit gets an error in place of the signal.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 16; exec \"$0\" --exact store::child_fills_the_disk --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("all as it should be"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let names = std::fs::read_dir(folder.path()).unwrap();
    let left = names.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().starts_with(fs::TEMP_PREFIX));
    assert_eq!(left.count(), 0);
}
