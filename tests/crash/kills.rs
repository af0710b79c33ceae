//! `kill -9` at any moment: whatever the runner was doing, the next runs finish the list as one run would have.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::world::{Kind, LIST, PROGRESS, Running, World, records};

/// How many kills the tests below make together, unless this says another number.
pub(crate) const KILLS: &str = "SPEC_TEST_KILLS";
const ORDINARY: usize = 25;
/// Where another sequence of moments begins.
pub(crate) const SEED: &str = "SPEC_TEST_SEED";

/// Twelve tasks in three groups: files made, changed, removed; one that several share; a Verify that fails at first;
/// a dependency; nothing to change; commands.
const TASKS: &str = "\
# Tasks: crash

## One
- [ ] 1.1 [P] Make one
  - **Files**: src/one.txt
  - **Verify**: `grep -q end src/one.txt`
- [ ] 1.2 [P] Change the common file
  - **Files**: src/common.txt
- [ ] 1.3 [P] Remove the old one
  - **Files**: src/old.txt (delete)
  - **Verify**: `test ! -e src/old.txt`
- [ ] 1.4 [P] Count
  - **Files**: src/count.txt
  - **Run**: `seq 100 > src/count.txt`

## Two
- [ ] 2.1 [P] Get it right at the second try
  - **Files**: src/second.txt
  - **Verify**: `test \"$(cat src/second.txt)\" = good`
- [ ] 2.2 [P] Change the common file again
  - **Files**: src/common.txt
- [ ] 2.3 [P] Change the common file once more
  - **Files**: src/common.txt
  - **Commit**: `feat(common): once more`
- [ ] 2.4 [P] Need another
  - **Files**: src/deep/er/need.txt
  - **Depends**: 2.1

## Three
- [ ] 3.1 [P] Put it together
  - **Files**: src/all.txt
  - **Run**: `cat src/one.txt src/common.txt > src/all.txt`
- [ ] 3.2 [P] Make a program
  - **Files**: src/program.sh
  - **Verify**: `test -x src/program.sh`
- [ ] 3.3 [P] Change nothing
  - **Files**: None
- [ ] 3.4 [VERIFY] All is well
  - **Verify**: `test -f src/all.txt && ! test -e src/old.txt`
";

const IDS: [&str; 12] = ["1.1", "1.2", "1.3", "1.4", "2.1", "2.2", "2.3", "2.4", "3.1", "3.2", "3.3", "3.4"];

/// The executor: notes that it began, takes a while that differs each time, writes in two goes.
const WORK: &str = r#"
echo "start $SPEC_TASK_ID $SPEC_ATTEMPT" >> "$BESIDE/log"
while_() { sleep "0.0$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')"; }
echo "- learned by $SPEC_TASK_ID" >> "$SPEC_PROGRESS_FILE"
while_
case $SPEC_TASK_ID in
1.1) echo begin > src/one.txt; while_; echo end >> src/one.txt ;;
1.2 | 2.2 | 2.3)
    grep -q "^line $SPEC_TASK_ID\$" src/common.txt || echo "line $SPEC_TASK_ID" >> src/common.txt ;;
1.3) rm -f src/old.txt ;;
2.1)
    if test -e "$BESIDE/tried"; then echo good > src/second.txt
    else echo bad > src/second.txt; touch "$BESIDE/tried"; fi ;;
2.4) mkdir -p src/deep/er; while_; echo need > src/deep/er/need.txt ;;
3.2) echo '#!/bin/sh' > src/program.sh; while_; chmod +x src/program.sh ;;
3.3) echo 'NO_CHANGE: there is nothing to do' ;;
*) echo "unexpected $SPEC_TASK_ID" >&2; exit 1 ;;
esac
while_
"#;

const FILES: [(&str, &str); 3] =
    [("src/common.txt", "line 0\n"), ("src/old.txt", "old\n"), ("README.md", "what a person wrote\n")];

/// A small generator of random numbers (splitmix64): the same seed gives the same kills.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// When a run is killed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    /// So long after its start.
    Age(Duration),
    /// So long after the nth record of this type is in its journal.
    Record(&'static str, usize, Duration),
}

/// The records between which something outside happens.
const RECORDS: [&str; 18] = [
    "run_start",
    "step_start",
    "task_start",
    "task_slot",
    "task_work",
    "task_spawned",
    "task_ended",
    "task_taken",
    "task_gate",
    "task_verify",
    "task_retry",
    "task_passed",
    "landing",
    "commit_made",
    "commit",
    "task_complete",
    "batch_complete",
    "signal",
];

impl Moment {
    pub(crate) fn pick(random: &mut Random) -> Self {
        let delay = |random: &mut Random| {
            // Short ones more often than long ones.
            let most = [1, 500, 5_000, 50_000][random.below(4) as usize];
            Duration::from_micros(random.below(most))
        };
        if random.below(5) == 0 {
            return Self::Age(Duration::from_micros(random.below(1_000_000)));
        }
        let record = RECORDS[random.below(RECORDS.len() as u64) as usize];
        let nth = 1 + random.below(4) as usize;
        Self::Record(record, nth, delay(random))
    }

    /// Waits for it; false where the run was over before.
    pub(crate) fn comes(self, run: &mut Running<'_>) -> bool {
        match self {
            Self::Age(age) => {
                let mut over = false;
                while !over && run.age() < age {
                    std::thread::sleep(Duration::from_micros(500)); // tidy: a poll of the journal
                    over = run.is_over();
                }
                !over
            }
            Self::Record(record, nth, delay) => {
                let wanted = format!("\"type\":\"{record}\"");
                let there = |journal: &[u8]| String::from_utf8_lossy(journal).matches(&wanted).count() >= nth;
                let hit = run.comes_to(there);
                std::thread::sleep(delay); // tidy: the moment of the kill
                hit
            }
        }
    }
}

fn list(kind: Kind) -> Vec<u8> {
    // The one that git has is one that an editor of another system wrote.
    if kind == Kind::Tracked { TASKS.replace('\n', "\r\n").into_bytes() } else { TASKS.as_bytes().to_vec() }
}

/// The tasks that have something to commit: without the list two of them change nothing.
fn with_commit(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Plain => &[],
        Kind::Untracked => &IDS[..10],
        Kind::Tracked => &IDS,
    }
}

fn world(kind: Kind) -> World {
    let world = World::new(kind, &list(kind), &FILES);
    std::fs::write(world.beside("work.sh"), WORK).unwrap();
    world
}

const RUN: [&str; 6] = ["--exec", "sh \"$BESIDE/work.sh\"", "--max-attempts", "2", "-j", "3"];

/// Ids of the boxes that are ticked; everything else of the list must be as it was.
fn ticked(world: &World, before: &[u8]) -> Vec<&'static str> {
    let now = std::fs::read(world.path(LIST)).unwrap();
    ticks(&now, before)
}

fn ticks(now: &[u8], before: &[u8]) -> Vec<&'static str> {
    assert_eq!(now.len(), before.len(), "a tick is one byte");
    let at: Vec<usize> = (0..now.len()).filter(|at| now[*at] != before[*at]).collect();
    let text = String::from_utf8_lossy(before);
    at.iter()
        .map(|at| {
            assert_eq!((&before[at - 1..=at + 1], now[*at]), (&b"[ ]"[..], b'x'), "only boxes are changed");
            *IDS.iter().find(|id| text[*at..].starts_with(&format!(" ] {id} "))).expect("the box of a task")
        })
        .collect()
}

/// The files of the tasks.
fn files(world: &World) -> BTreeMap<String, String> {
    let listed = std::process::Command::new("sh")
        .args(["-c", "find README.md src -type f | sort | while read f; do stat -c '%A %n' $f; cat $f; echo ---; done"])
        .current_dir(world.base())
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.split("---\n")
        .filter_map(|file| file.split_once('\n'))
        .map(|(name, text)| (name.into(), text.into()))
        .collect()
}

/// Kills runs of one list until it is done, and looks after each kill and at the end. Gives where the kills hit: the last
/// record of the journal, and how often.
fn kill_until_done(kind: Kind, random: &mut Random, most: usize, wanted: &BTreeMap<String, String>) -> Vec<String> {
    let world = world(kind);
    let before = list(kind);
    let mut hits = Vec::new();
    loop {
        let log_before = world.log().len();
        let landed: BTreeSet<String> = match kind {
            Kind::Plain => ticked(&world, &before).into_iter().map(str::to_owned).collect(),
            _ => world.landed().into_iter().collect(),
        };
        let killed = hits.len() < most && {
            let moment = Moment::pick(random);
            let mut run = world.start(&RUN);
            let hit = moment.comes(&mut run);
            if hit {
                run.kill();
                // As often as not nothing else survives either: git and executors in the middle of their work.
                if random.below(2) == 0 {
                    world.cut_power();
                }
                let last = world.runs().last().map(|run| std::fs::read(world.journal(run)).unwrap_or_default());
                let last = last.and_then(|journal| records(&journal).pop());
                hits.push(last.map_or("nothing".to_owned(), |last| last["type"].as_str().unwrap().to_owned()));
            } else {
                run.wait().all_done();
            }
            hit
        };
        if !killed {
            world.run(&RUN).all_done();
        }
        for line in &world.log()[log_before..] {
            let id = line.split(' ').nth(1).unwrap();
            assert!(!landed.contains(id), "{id} had landed and ran again");
        }
        let ticked: BTreeSet<&str> = ticked(&world, &before).into_iter().collect();
        if kind != Kind::Plain {
            let landed = world.landed();
            for id in ticked.iter().filter(|id| with_commit(kind).contains(id)) {
                assert!(landed.iter().any(|landed| landed == id), "{id} is ticked and did not land");
            }
        }
        if !killed {
            break;
        }
    }
    look_at_the_end(&world, &before, wanted);
    hits
}

fn look_at_the_end(world: &World, before: &[u8], wanted: &BTreeMap<String, String>) {
    assert_eq!(ticked(world, before), IDS);
    assert_eq!(&files(world), wanted);
    assert_eq!(world.processes(), [], "nothing keeps running");

    let progress = world.read(PROGRESS);
    for id in IDS {
        let title = TASKS.lines().find_map(|line| line.strip_prefix(&format!("- [ ] {id} "))).unwrap();
        let title = title.trim_start_matches("[P] ").trim_start_matches("[VERIFY] ");
        let count = |wanted: &str| progress.lines().filter(|line| line.trim() == wanted).count();
        assert_eq!(count(&format!("- [x] {id} {title}")), 1, "{id} in\n{progress}");
        let learned = usize::from(!["1.4", "3.1", "3.4"].contains(&id));
        assert_eq!(progress.matches(&format!("learned by {id}\n")).count(), learned, "{id} in\n{progress}");
    }
    let mut left: Vec<String> = std::fs::read_dir(world.path("specs/crash"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.retain(|name| name != "README.md" && name != "src");
    left.sort();
    assert_eq!(left, [".progress.md", ".spec", ".spec-state.json", "tasks.md"]);
    let state: serde_json::Value = serde_json::from_str(&world.read("specs/crash/.spec-state.json")).unwrap();
    assert_eq!(state["phase"], "completed");

    // Tries go on counting: no number comes twice.
    let mut tries: BTreeMap<String, u32> = BTreeMap::new();
    for line in world.log() {
        let [_, id, attempt] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let attempt: u32 = attempt.parse().unwrap();
        let before = tries.insert(id.to_owned(), attempt).unwrap_or_default();
        assert!(attempt > before, "{id}: {attempt} after {before}");
    }

    if world.kind == Kind::Plain {
        return;
    }
    assert_eq!(world.landed(), with_commit(world.kind), "each once, in the order of the list");
    let untracked = ["?? specs/crash/.progress.md", "?? specs/crash/tasks.md"];
    let status = world.git(["status", "--porcelain", "-uall"]);
    let status: Vec<&str> = status.lines().collect();
    assert_eq!(status, if world.kind == Kind::Tracked { &[][..] } else { &untracked[..] });
    world.git(["fsck", "--no-dangling", "--no-progress"]);
    let own: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("1.1", &["src/one.txt"][..]),
        ("1.2", &["src/common.txt"]),
        ("1.3", &["src/old.txt"]),
        ("1.4", &["src/count.txt"]),
        ("2.1", &["src/second.txt"]),
        ("2.2", &["src/common.txt"]),
        ("2.3", &["src/common.txt"]),
        ("2.4", &["src/deep/er/need.txt"]),
        ("3.1", &["src/all.txt"]),
        ("3.2", &["src/program.sh"]),
    ]);
    let commits = world.git(["log", "--reverse", "--format=%H %(trailers:key=Spec-Task,valueonly,separator=%x20)"]);
    let mut done = Vec::new();
    for line in commits.lines() {
        let Some((commit, id)) = line.split_once(' ').filter(|(_, id)| !id.is_empty()) else { continue };
        done.push(id);
        let names = world.git(["diff-tree", "--no-commit-id", "--name-only", "-r", commit]);
        let mut expected: Vec<&str> = own.get(id).copied().unwrap_or_default().to_vec();
        if world.kind == Kind::Tracked {
            expected.extend([LIST, PROGRESS]);
            let list = world.git(["show", &format!("{commit}:{LIST}")]);
            let before = String::from_utf8_lossy(before);
            assert_eq!(ticks(list.as_bytes(), before.trim_end().as_bytes()), done, "the ticks in the commit of {id}");
        }
        expected.sort_unstable();
        assert_eq!(names.lines().collect::<Vec<_>>(), expected, "the commit of {id}");
    }
}

/// One task passed, another went on with the same file and was cut short: each lands with its own part.
#[test]
fn what_two_tasks_did_to_one_file_is_told_apart_after_a_kill() {
    let list = "\
- [ ] 1.1 [P] First
  - **Files**: shared.txt
- [ ] 1.2 [P] Second
  - **Files**: shared.txt
";
    let world = World::new(Kind::Untracked, list.as_bytes(), &[("shared.txt", "0\n")]);
    let _gate = world.gate("gate");
    let write = "grep -q $SPEC_TASK_ID shared.txt || echo $SPEC_TASK_ID >> shared.txt";
    let wait = "test $SPEC_TASK_ID = 1.1 || { echo written >> $BESIDE/log; read line < $BESIDE/gate; }";
    let mut run = world.start(&["--exec", &format!("{write}; {wait}")]);
    run.notes("written");
    run.kill();
    world.run(&["--exec", write]).all_done();
    assert_eq!(world.landed(), ["1.1", "1.2"]);
    assert_eq!(world.git(["show", "HEAD~:shared.txt"]), "0\n1.1");
    assert_eq!(world.git(["show", "HEAD:shared.txt"]), "0\n1.1\n1.2");
}

/// Three tries and no more, however often the run is killed in between.
#[test]
fn attempts_are_counted_on_over_kills() {
    let list = "- [ ] 1.1 Never right\n  - **Files**: None\n  - **Verify**: `false`\n";
    let world = World::new(Kind::Untracked, list.as_bytes(), &[]);
    let _gate = world.gate("gate");
    // Every other try waits, and is cut short.
    let work = "echo \"try $SPEC_ATTEMPT\" >> $BESIDE/log
        test $((SPEC_ATTEMPT % 2)) = 1 || read line < $BESIDE/gate";
    let args = ["--exec", work, "--max-attempts", "3"];
    let of = |record: &serde_json::Value, kind: &str| record["type"] == kind;
    for cut_short in ["try 2", "try 4"] {
        let mut run = world.start(&args);
        run.notes(cut_short);
        run.kill();
    }
    world.run(&args).expect(1);
    let records = world.records();
    let failed = |kind: &str| records.iter().filter(|record| of(record, kind)).count();
    assert_eq!((failed("task_retry"), failed("task_failed")), (2, 1), "{records:#?}");
    let tries = world.log();
    assert!(tries.is_sorted() && tries.windows(2).all(|two| two[0] != two[1]), "{tries:?}");
}

/// What a Verify wrote when it was cut short is nobody's, and no reason to refuse to go on.
#[test]
fn what_a_verify_wrote_is_not_committed_after_a_kill() {
    let list = "- [ ] 1.1 One\n  - **Files**: one.txt\n\
        \x20 - **Verify**: `echo x > report.txt; echo waiting >> $BESIDE/log; read line < $BESIDE/gate`\n";
    let world = World::new(Kind::Untracked, list.as_bytes(), &[]);
    let mut gate = world.gate("gate");
    let exec = ["--exec", "echo 1 > one.txt"];
    let mut run = world.start(&exec);
    run.notes("waiting");
    run.kill();
    world.cut_power();
    gate.open();
    world.run(&exec).all_done();
    assert_eq!(world.git(["show", "--name-only", "--format="]), "one.txt");
    assert_eq!(world.git(["status", "--porcelain", "report.txt"]), "?? report.txt");
}

/// Work that passed and was thrown away before it landed is done again, and not ticked without it.
#[test]
fn work_that_is_thrown_away_after_a_kill_is_done_again() {
    let list = "- [ ] 1.1 [P] One\n  - **Files**: one.txt\n- [ ] 1.2 [P] Two\n  - **Files**: two.txt\n";
    let world = World::new(Kind::Untracked, list.as_bytes(), &[]);
    let _gate = world.gate("gate");
    let work = "echo $SPEC_TASK_ID >> $BESIDE/log; echo x > $(echo $SPEC_TASK_ID | sed 's/1.1/one/; s/1.2/two/').txt";
    let wait = "test $SPEC_TASK_ID = 1.1 || read line < $BESIDE/gate";
    let mut run = world.start(&["--isolation", "none", "--exec", &format!("{work}; {wait}")]);
    run.reaches("task_passed", "1.1");
    run.notes("1.2");
    run.kill();
    std::fs::remove_file(world.path("one.txt")).unwrap();
    world.run(&["--isolation", "none", "--exec", work]).all_done().says("runs again");
    assert_eq!(world.landed(), ["1.1", "1.2"]);
    assert_eq!(world.git(["show", "HEAD:one.txt"]), "x");
    assert_eq!(world.log().iter().filter(|line| *line == "1.1").count(), 2);
}

/// What the environment says.
pub(crate) fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// So many kills, in as many lists as it takes.
#[expect(clippy::print_stdout, reason = "the figures, for whoever asks for many")]
fn survive(kind: Kind, share: usize) {
    let kills = number(KILLS).unwrap_or(ORDINARY) * share / 100;
    let seed = number(SEED).unwrap_or(1) as u64;
    let wanted = {
        let world = world(kind);
        world.run(&[&RUN[..4], &["--mode", "sequential"]].concat()).all_done();
        look_at_the_end(&world, &list(kind), &files(&world));
        files(&world)
    };
    let mut random = Random(seed.wrapping_mul(31) + kind as u64);
    let mut hits: BTreeMap<String, usize> = BTreeMap::new();
    let (mut count, mut lists) = (0, 0);
    while count < kills {
        let most = 4 + random.below(12) as usize;
        for hit in kill_until_done(kind, &mut random, most.min(kills - count), &wanted) {
            *hits.entry(hit).or_default() += 1;
            count += 1;
        }
        lists += 1;
    }
    println!("{kind:?}: {count} kills in {lists} lists; the last record was {hits:?}");
}

#[test]
fn a_list_and_progress_beside_git_survive_kill_nine() {
    survive(Kind::Untracked, 40);
}

#[test]
fn a_list_and_progress_in_git_survive_kill_nine() {
    survive(Kind::Tracked, 40);
}

#[test]
fn a_folder_without_git_survives_kill_nine() {
    survive(Kind::Plain, 20);
}
