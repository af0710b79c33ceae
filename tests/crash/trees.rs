//! Working trees per task: batches that were made by chance, some of whose tasks want the same line, and `kill -9` at any
//! moment of them. Whatever happens, each task lands once, what it did is in the final tree, and each commit on the branch
//! is whole.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::kills::{KILLS, Moment, Random, SEED, number};
use crate::world::{Kind, LIST, PROGRESS, World};

/// How many batches are made, unless this says another number.
const BATCHES: &str = "SPEC_TEST_BATCHES";
const ORDINARY_BATCHES: usize = 8;
/// Kills, where [`KILLS`] says nothing.
const ORDINARY_KILLS: usize = 20;
/// Batches in a list.
const IN_LIST: usize = 8;

/// The executor: a file of its own, and for those that are to, a word at the end of the only line of a file of all.
const WORK: &str = r#"
echo "start $SPEC_TASK_ID $SPEC_ATTEMPT" >> "$BESIDE/log"
while_() { sleep "0.0$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')"; }
echo "- learned by $SPEC_TASK_ID" >> "$SPEC_PROGRESS_FILE"
mkdir -p own
echo "begin $SPEC_TASK_ID" > "own/$SPEC_TASK_ID.txt"
while_
if test -e "$BESIDE/flaky/$SPEC_TASK_ID"; then rm "$BESIDE/flaky/$SPEC_TASK_ID"; exit 1; fi
echo "end $SPEC_TASK_ID" >> "own/$SPEC_TASK_ID.txt"
if test -e "$BESIDE/shares/$SPEC_TASK_ID"; then
    line=$(cat shared.txt)
    case " $line " in *" $SPEC_TASK_ID "*) ;; *) while_; echo "$line $SPEC_TASK_ID" > shared.txt ;; esac
fi
"#;

/// A list of batches, and who of its tasks wants the same line.
struct Made {
    world: World,
    list: String,
    ids: Vec<String>,
    shares: BTreeSet<String>,
    jobs: String,
}

impl Made {
    fn new(random: &mut Random, batches: usize) -> Self {
        let (mut list, mut ids, mut shares, mut flaky) = (String::new(), Vec::new(), BTreeSet::new(), Vec::new());
        let percent = random.below(31);
        for batch in 1..=batches {
            writeln!(list, "## Batch {batch}\n").unwrap();
            for task in 1..=2 + random.below(7) {
                let id = format!("{batch}.{task}");
                writeln!(list, "- [ ] {id} [P] Task\n  - **Verify**: `grep -q end own/{id}.txt`").unwrap();
                if random.below(100) < percent {
                    shares.insert(id.clone());
                }
                if random.below(100) < 5 {
                    flaky.push(id.clone());
                }
                ids.push(id);
            }
        }
        let world = World::new(Kind::Tracked, list.as_bytes(), &[("shared.txt", "begin\n")]);
        world.write("spec.toml", "[retry]\nbackoff = \"0s\"\n");
        world.git(["add", "spec.toml"]);
        world.git(["commit", "-qm", "settings"]);
        std::fs::write(world.beside("work.sh"), WORK).unwrap();
        for (folder, ids) in [("shares", shares.iter().collect::<Vec<_>>()), ("flaky", flaky.iter().collect())] {
            std::fs::create_dir(world.beside(folder)).unwrap();
            for id in ids {
                std::fs::write(world.beside(folder).join(id), "").unwrap();
            }
        }
        let jobs = (2 + random.below(7)).to_string();
        Self { world, list, ids, shares, jobs }
    }

    fn args(&self) -> [&str; 4] {
        ["--exec", "sh \"$BESIDE/work.sh\"", "-j", &self.jobs]
    }

    /// What must be so at any time: what is ticked has landed, and nothing landed twice.
    fn look(&self) -> BTreeSet<String> {
        let landed = self.world.landed();
        let once: BTreeSet<String> = landed.iter().cloned().collect();
        assert_eq!(once.len(), landed.len(), "something landed twice: {landed:?}");
        for id in self.ids.iter().filter(|id| self.world.read(LIST).contains(&format!("- [x] {id} "))) {
            assert!(once.contains(id), "{id} is ticked and did not land");
        }
        once
    }

    /// What must be so at the end.
    fn look_at_the_end(&self, persons: bool) {
        let world = &self.world;
        let landed = self.look();
        assert_eq!(landed.len(), self.ids.len());
        assert_eq!(world.read(LIST), self.list.replace("- [ ]", "- [x]"));
        let status = world.git(["status", "--porcelain", "-uall"]);
        let diff = world.git(["diff", "HEAD"]);
        if persons {
            // What was learned before a person was needed says so on disk, and in git it came with the task.
            let plain = |text: &str| text.replace(" failed: conflict) ", ") ");
            let told = |text: &str| self.ids.iter().fold(plain(text), |text, id| text.replace(&format!("({id}) "), ""));
            assert_eq!(told(world.read(PROGRESS).trim_end()), world.git(["show", &format!("HEAD:{PROGRESS}")]));
            assert!(["", " M specs/crash/.progress.md"].contains(&status.as_str()), "{status}\n{diff}");
        } else {
            assert_eq!(status, "", "{diff}");
        }
        assert_eq!(world.processes(), []);
        world.git(["fsck", "--no-dangling", "--no-progress"]);
        let shared = world.read("shared.txt");
        let words: Vec<&str> = shared.split_whitespace().skip(1).collect();
        assert_eq!(words.iter().copied().collect::<BTreeSet<_>>(), self.shares.iter().map(String::as_str).collect());
        assert_eq!(words.len(), self.shares.len(), "{shared}");
        let progress = world.read(PROGRESS);
        for id in &self.ids {
            assert_eq!(world.read(format!("own/{id}.txt")), format!("begin {id}\nend {id}\n"));
            assert_eq!(progress.matches(&format!("learned by {id}\n")).count(), 1, "{id} in\n{progress}");
            assert_eq!(progress.matches(&format!("- [x] {id} Task\n")).count(), 1, "{id} in\n{progress}");
        }
        // Each commit is whole: its own file, its word and its tick, and nothing of anybody who had not landed.
        let format = "--format=%H %(trailers:key=Spec-Task,valueonly,separator=%x20)";
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let log = world.git(["log", "--reverse", "--first-parent", format]);
        for line in log.lines() {
            let Some((commit, id)) = line.split_once(' ').filter(|(_, id)| !id.is_empty()) else { continue };
            done.insert(id);
            let names = world.git(["diff-tree", "--no-commit-id", "--name-only", "-r", commit]);
            let own = format!("own/{id}.txt");
            let mut wanted = vec![own.as_str(), LIST, PROGRESS];
            wanted.extend(self.shares.contains(id).then_some("shared.txt"));
            wanted.sort_unstable();
            assert_eq!(names.lines().collect::<Vec<_>>(), wanted, "the commit of {id}");
            let line = world.git(["show", &format!("{commit}:shared.txt")]);
            let wanted = self.shares.iter().filter(|id| done.contains(id.as_str())).map(String::as_str);
            assert_eq!(line.split_whitespace().skip(1).collect::<BTreeSet<_>>(), wanted.collect(), "at {id}");
            let list = world.git(["show", &format!("{commit}:{LIST}")]);
            let ticked = self.ids.iter().filter(|id| list.contains(&format!("- [x] {id} "))).map(String::as_str);
            assert_eq!(ticked.collect::<BTreeSet<_>>(), done, "at {id}");
        }
    }
}

#[test]
fn batches_made_by_chance_land_whole_whoever_wants_the_same_line() {
    let batches = number(BATCHES).unwrap_or(ORDINARY_BATCHES);
    let mut random = Random(number(SEED).unwrap_or(1) as u64 ^ 0xba7c);
    let (mut tasks, mut shares, mut conflicts, mut persons, mut lists) = (0, 0, 0, 0, 0);
    let mut left = batches;
    while left > 0 {
        let made = Made::new(&mut random, left.min(IN_LIST));
        left -= left.min(IN_LIST);
        let mut runs = 0;
        loop {
            let ended = made.world.run(&made.args());
            made.look();
            if ended.code != 4 {
                ended.all_done();
                break;
            }
            // More wanted the same line than there are goes: the next run gives it more.
            let kept = made.world.git(["for-each-ref", "--format=%(refname)", "refs/spec/salvage"]);
            assert!(ended.stderr.contains("shared.txt") && kept.contains("-tip/"), "{ended}\n{kept}");
            persons += 1;
            runs += 1;
            assert!(runs < 10, "it never ends\n{ended}");
        }
        made.look_at_the_end(runs > 0);
        let records = made.world.records();
        conflicts += records.iter().filter(|it| it["type"] == "task_retry" && it["code"] == "conflict").count();
        tasks += made.ids.len();
        shares += made.shares.len();
        lists += 1;
    }
    println!(
        "{batches} batches in {lists} lists: {tasks} tasks, {shares} of them at the same line, {conflicts} conflicts \
         tried again, {persons} runs that ended with exit 4"
    );
}

#[test]
fn batches_in_trees_of_their_own_survive_kill_nine() {
    let kills = number(KILLS).unwrap_or(ORDINARY_KILLS);
    let mut random = Random(number(SEED).unwrap_or(1) as u64 ^ 0x7ee5);
    let (mut count, mut lists, mut tasks, mut persons) = (0, 0, 0, 0);
    while count < kills {
        let made = Made::new(&mut random, 2);
        let before = persons;
        let most = count + 4 + random.below(8) as usize;
        loop {
            let landed = made.look();
            let log = made.world.log().len();
            let mut over = count >= kills.min(most);
            if over {
                let ended = made.world.run(&made.args());
                if ended.code == 4 {
                    persons += 1;
                    over = false;
                } else {
                    ended.all_done();
                }
            } else {
                let moment = Moment::pick(&mut random);
                let mut run = made.world.start(&made.args());
                if moment.comes(&mut run) {
                    run.kill();
                    count += 1;
                    if random.below(2) == 0 {
                        made.world.cut_power();
                    }
                } else {
                    let ended = run.wait();
                    over = ended.code != 4;
                    persons += usize::from(!over);
                    if over {
                        ended.all_done();
                    }
                }
            }
            for line in &made.world.log()[log..] {
                let id = line.split(' ').nth(1).unwrap();
                assert!(!landed.contains(id), "{id} had landed and ran again");
            }
            if over {
                break;
            }
        }
        made.look_at_the_end(persons > before);
        tasks += made.ids.len();
        lists += 1;
    }
    println!("{count} kills in {lists} lists of {tasks} tasks; {persons} runs ended with exit 4 in between");
}

/// What is in a tree when the run is killed is kept, once, and the tree is used again.
#[test]
fn what_is_in_trees_when_a_run_is_killed_is_kept_once() {
    let list = b"- [ ] 1.1 [P] One\n- [ ] 1.2 [P] Two\n";
    let world = World::new(Kind::Tracked, list, &[]);
    let _gate = world.gate("gate");
    let wait = "echo $SPEC_TASK_ID > half.$SPEC_TASK_ID; echo \"- said by $SPEC_TASK_ID\" >> $SPEC_PROGRESS_FILE
        echo $SPEC_TASK_ID >> $BESIDE/log; read line < $BESIDE/gate";
    let kept = || world.git(["for-each-ref", "--format=%(refname:lstrip=4)", "refs/spec/salvage"]);
    let mut run = world.start(&["--exec", wait]);
    run.notes("1.1");
    run.notes("1.2");
    run.kill();
    for _ in 0..2 {
        let mut run = world.start(&["--exec", "test ! -e half.$SPEC_TASK_ID || exit 9; read line < $BESIDE/gate"]);
        run.reaches("task_spawned", "1.2");
        assert_eq!(kept(), "1.1/1\n1.2/1");
        run.kill();
    }
    let done = "test ! -e half.$SPEC_TASK_ID && echo x > $SPEC_TASK_ID.txt";
    world.run(&["--exec", done]).all_done();
    assert_eq!(kept(), "1.1/1\n1.2/1", "nothing is saved twice");
    for id in ["1.1", "1.2"] {
        assert_eq!(world.read(PROGRESS).matches(&format!("said by {id}\n")).count(), 1, "{}", world.read(PROGRESS));
        assert_eq!(world.git(["show", &format!("refs/spec/salvage/crash/{id}/1:half.{id}")]), id);
    }
    assert_eq!(world.git(["status", "--porcelain"]), "");
}

/// A task that waits for its next try has given its tree to another: what it had made is in no tree.
#[test]
fn what_a_task_had_made_that_gave_its_tree_away_outlives_a_kill() {
    let list = b"- [ ] 1.1 [P] One\n- [ ] 1.2 [P] Two\n";
    let world = World::new(Kind::Tracked, list, &[]);
    world.write("spec.toml", "[retry]\nbackoff = \"5m\"\n");
    let _gate = world.gate("gate");
    let work = "echo $SPEC_TASK_ID >> $BESIDE/log; echo x > half.$SPEC_TASK_ID; test $SPEC_TASK_ID = 1.2 || exit 1; \
        read line < $BESIDE/gate";
    let mut run = world.start(&["--isolation", "worktree", "-j", "1", "--exec", work]);
    run.notes("1.2");
    run.kill();
    let done = ["--isolation", "worktree", "-j", "1", "--exec", "echo x > $SPEC_TASK_ID.txt"];
    world.run(&done).all_done();
    let kept = world.git(["for-each-ref", "--format=%(refname:lstrip=3)", "refs/spec/salvage"]);
    assert_eq!(kept, "crash/1.1/1\ncrash/1.2/1");
    assert_eq!(world.git(["show", "refs/spec/salvage/crash/1.1/1:half.1.1"]), "x");
    assert_eq!(world.landed(), ["1.1", "1.2"]);
}
