//! A try of a task begins: what it works on and in, what it is told, and the process.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Chosen, Done, Driver, Fatal, Job, life_root};
use crate::engine::output::Report;
use crate::engine::{Code, Kind, Millis, Node};
use crate::git::{Declared, Oid};
use crate::report::text::took;
use crate::runtime::attempt::{Attempt, Brake, Order, Spawned, Worked, aside, environment};
use crate::runtime::sandbox::Cell;
use crate::runtime::slots::Claim;
use crate::runtime::{board, brief, clock, process};
use crate::store::event::Event;
use crate::store::fs::PathError;
use crate::store::paths::SpecPaths;

/// The share of a try's time after which it is said that it may run into its end.
const SOON: f64 = 0.8;

impl Driver {
    /// Says of a try that is still going on that most of its time is over.
    pub(super) fn say_who_is_late(&mut self) {
        let Some((_, node, number)) = self.late.pop_first() else { return };
        let life = &self.parts.lives[node];
        if life.attempt == number && life.started.is_some() {
            let (limit, task) = (life.limit, self.task(node).task);
            let [gone, limit] = [limit.mul_f64(SOON), limit].map(|it| took(it.as_secs_f64()));
            self.notice(
                "warning",
                "late",
                &format!("task {task} has been at it for {gone}, and is ended after {limit}"),
            );
        }
    }

    /// What a task said when it started, taken once.
    pub(in crate::runtime) fn job(&mut self, node: Node) -> Arc<Job> {
        if let Some(job) = &self.parts.lives[node].job {
            return Arc::clone(job);
        }
        let job = Arc::new(self.new_job(node));
        self.parts.lives[node].job = Some(Arc::clone(&job));
        job
    }

    /// What a task says now.
    pub(in crate::runtime) fn new_job(&self, node: Node) -> Job {
        let board = &self.parts.board;
        let item = board.item(node);
        let block = match self.parts.engine.kind(node) {
            Kind::Run | Kind::Parent => &[],
            Kind::Exec | Kind::Verify { .. } => board.doc.source.get(item.block.clone()).unwrap_or_default(),
        };
        Job::new(item, String::from_utf8_lossy(block).into_owned(), &self.parts.settings)
    }

    /// Where a task's executors write their progress: in its own tree, if it works in one.
    pub(in crate::runtime) fn progress_file(&mut self, node: Node) -> PathBuf {
        let place = self.parts.lives[node].place.get_or_insert(self.parts.board.entries[node].task.index);
        let file = self.parts.paths.isolated_progress(*place);
        match (&self.parts.slots, life_root(&self.parts, node)) {
            (Some(slots), Some(root)) => slots.yard.inside(&file, &root),
            _ => file,
        }
    }

    /// A try of a task; `base` is the commit that a tree of its own began with.
    pub(in crate::runtime) fn attempt(
        &mut self,
        node: Node,
        attempt: u32,
        timeout: Millis,
        job: &Job,
        base: Option<&Oid>,
    ) -> Attempt {
        let progress_file = self.progress_file(node);
        let life = &mut self.parts.lives[node];
        if life.attempt != attempt {
            // What its Verify gets later is the rest of it.
            life.limit = Duration::from_millis(timeout);
        }
        let own = life_root(&self.parts, node);
        let base = base.or_else(|| self.parts.tree.as_ref()?.head.commit.as_ref());
        let more = [("SPEC_PROGRESS_FILE", progress_file.into()), ("SPEC_ATTEMPT", attempt.to_string().into())];
        Attempt {
            timeout: Duration::from_millis(timeout),
            ..self.in_tree(node, attempt, job, own.as_deref(), base, more)
        }
    }

    /// How something is started for a task, in a tree of its own if `own` is the root of one, else in the shared one.
    pub(in crate::runtime) fn in_tree(
        &self,
        node: Node,
        attempt: u32,
        job: &Job,
        own: Option<&Path>,
        base: Option<&Oid>,
        more: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> Attempt {
        let parts = &self.parts;
        let entry = &parts.board.entries[node];
        let task = &entry.task;
        let root = own.unwrap_or(&parts.root).to_owned();
        let seen = |path: &Path| match &parts.slots {
            Some(slots) if own.is_some() => slots.yard.inside(path, &root),
            _ => path.to_owned(),
        };
        let folder = seen(parts.paths.folder());
        let sandbox = parts.sandbox.as_ref().map(|sandbox| Cell {
            sandbox: sandbox.clone(),
            tree: root.clone(),
            folder: folder.clone(),
            work: parts.paths.work(),
            scratch: sandbox.scratch(&format!("{}-{attempt}", task.index)),
        });
        let text = |text: &str| OsString::from(text);
        let mut vars: Vec<(&'static str, OsString)> = vec![
            ("SPEC_TASK_ID", text(&task.task)),
            ("SPEC_TASK_INDEX", text(&task.index.to_string())),
            ("SPEC_TASK_TITLE", text(&entry.title.replace('\0', ""))),
            ("SPEC_FILE", seen(parts.paths.list()).into()),
            ("SPEC_DIR", folder.into()),
            ("SPEC_RUN_ID", text(&parts.run)),
            ("SPEC_BASE_SHA", text(base.map_or("", |base| base.as_str()))),
            ("SPEC_WORKTREE", root.clone().into()),
        ];
        vars.extend(more);
        if let (Some(slots), Some(root)) = (&parts.slots, own) {
            vars.extend(slots.yard.variables(root));
        }
        let log = SpecPaths::log_name(&parts.run, task.index, &entry.title, attempt);
        Attempt {
            node,
            shell: Arc::clone(&parts.shell),
            cwd: job.dir.as_ref().map_or_else(|| root.clone(), |dir| root.join(dir)),
            root,
            env: environment(vars),
            run: parts.run.clone(),
            log: parts.paths.folder().join(log),
            timeout: parts.settings.timeout,
            idle: parts.settings.idle_timeout,
            tool_idle: parts.settings.tool_timeout,
            grace: parts.settings.grace,
            quota: job.quota,
            sandbox,
            mask: Arc::clone(&parts.mask),
            display: Some(self.lines.0.clone()),
            spawned: self.spawned.0.clone(),
            in_use: self.in_use.0.clone(),
        }
    }

    pub(super) fn task_start(&mut self, node: Node, attempt: u32, executor: &str) -> Result<(), PathError> {
        self.summary.attempts += 1;
        self.current = Some(node);
        let life = &mut self.parts.lives[node];
        life.attempt = attempt;
        life.brake = Brake::new();
        life.verified = false;
        life.over_budget = None;
        let task = self.task(node);
        let title = &self.parts.board.entries[node].title;
        let log = SpecPaths::log_name(&self.parts.run, task.index, title, attempt);
        let event = Event::TaskStart {
            task,
            attempt,
            title: self.parts.board.entries[node].title.clone(),
            executor: executor.to_owned(),
            log,
        };
        self.emit(event)
    }

    pub(super) fn start(
        &mut self,
        node: Node,
        number: u32,
        chosen: (u32, usize),
        timeout: Millis,
    ) -> Result<(), Fatal> {
        let shell = self.parts.engine.kind(node) == Kind::Run;
        let agent = if shell || self.outside.is_some() { None } else { self.agent(node, chosen) };
        if let Some(agent) = &agent
            && !self.fund(node, agent)?
        {
            return Ok(());
        }
        let job = self.job(node);
        self.ahead.begins(node);
        let claim = self.claim(node, &job)?;
        let attempt = self.attempt(node, number, timeout, &job, claim.as_ref().map(Claim::base));
        let key = self.task(node).key;
        if let (Some(tree), None) = (&mut self.parts.tree, &claim) {
            let declared = job.files.iter().map(|file| Declared::new(&file.path, file.glob)).collect();
            tree.start(node, &key, declared)?;
        }
        let outside = !shell && self.outside.is_some();
        let name = agent.as_ref().map_or("exec", |order| order.agent.name());
        let name = if outside { "session" } else { name };
        self.task_start(node, number, if shell { "shell" } else { name })?;
        self.tell_slot(node, claim.as_ref())?;
        self.executors_ran |= !shell && claim.is_none();
        let scripts = job.run.to_vec();
        let brake = self.parts.lives[node].brake.clone();
        let now = clock::now();
        self.parts.lives[node].started = Some(now);
        self.late.insert((now + self.parts.lives[node].limit.mul_f64(SOON), node, number));
        self.admission.started();
        self.summary.workers_started += 1;
        if outside {
            self.hand_out(node, attempt, claim)?;
        } else if shell {
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| async move {
                    let ran = attempt.scripts(scripts, brake).await;
                    Worked { ran, report: Report::default(), session: None }
                };
                executor(node, attempt, claim, brake, work).await
            });
        } else if let Some(order) = agent {
            let prompt = self.prompt(node, number, &job);
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| attempt.agent(order, prompt, brake);
                executor(node, attempt, claim, brake, work).await
            });
        } else {
            let command = self.parts.settings.exec.clone().unwrap_or_default();
            let prompt = self.prompt(node, number, &job);
            self.workers.spawn(async move {
                let work = |attempt: Attempt, brake| attempt.executor(command, prompt, brake);
                executor(node, attempt, claim, brake, work).await
            });
        }
        Ok(())
    }

    /// The agent for a try of a task; none where a command is the executor.
    pub(super) fn agent(&mut self, node: Node, (round, choice): (u32, usize)) -> Option<Order> {
        let settings = &self.parts.settings;
        let board = &self.parts.board;
        let choice = board::choices(&board.doc, board.item(node), round, settings).into_iter().nth(choice)?;
        let board::Choice { agent, model } = choice;
        let life = &mut self.parts.lives[node];
        let before = life.agent.take().filter(|it| it.agent.name() == agent.name() && it.model == model);
        // Where its changes are gone it would go on from what is not there.
        let afresh = life.failure.as_ref().is_some_and(|it| it.code == Code::Conflict);
        let resumes = settings.resume && agent.resumes() && !afresh;
        let resume = before.and_then(|before| before.session).filter(|_| resumes);
        life.agent = Some(Box::new(Chosen { agent: agent.clone(), model: model.clone(), session: resume.clone() }));
        Some(Order {
            program: process::program(&agent),
            agent,
            model,
            resume,
            access: settings.access,
            git: self.parts.tree.is_some(),
            surroundings: settings.agent_env.clone(),
        })
    }

    /// A process of a try runs: noted, so that a run after this one can tell what is left.
    pub(super) fn spawned(&mut self, spawned: &Spawned) {
        let attempt = self.parts.lives[spawned.node].attempt;
        let Spawned { node, pid, start_ticks } = *spawned;
        if let Err(error) = self.emit(Event::TaskSpawned { task: self.task(node), attempt, pid, start_ticks }) {
            self.give_up(error.into());
        }
    }

    pub(in crate::runtime) fn prompt(&mut self, node: Node, number: u32, job: &Job) -> String {
        let (prompt, said) = brief::prompt(&self.asked(node, number, job));
        for (code, message) in said {
            if self.prompts_said.insert(message.clone()) {
                self.notice("warning", code, &message);
            }
        }
        prompt.text()
    }

    /// What its prompt is made from.
    pub(in crate::runtime) fn asked<'a>(&'a self, node: Node, number: u32, job: &'a Job) -> brief::Asked<'a> {
        let parts = &self.parts;
        let entry = &parts.board.entries[node];
        let work = brief::Work {
            index: (!entry.gone).then_some(entry.task.index),
            label: &entry.task.task,
            place: parts.lives[node].place.unwrap_or(entry.task.index),
            block: &job.block,
            verify: &job.verify,
            files: &job.files,
            dir: job.dir.as_deref(),
            checkpoint: job.verify_marker,
        };
        brief::Asked {
            doc: &parts.board.doc,
            plan: &parts.board.plan,
            paths: &parts.paths,
            root: &parts.root,
            repo: parts.tree.as_ref().map(|tree| &tree.repo),
            settings: &parts.settings,
            mask: &parts.mask,
            work,
            attempt: number,
            failure: parts.lives[node].failure.as_deref(),
            gone: parts.lives[node].gone,
        }
    }

    pub(super) fn verify(&mut self, node: Node, number: u32, timeout: Millis) -> Result<(), Fatal> {
        let job = self.job(node);
        // Its own tree as its executor left it, or one made ready where none ran.
        let space = self.parts.lives[node].own.as_mut().and_then(|own| own.space.take());
        let claim = if space.is_none() { self.claim(node, &job)? } else { None };
        let base = space.as_ref().map(|space| &space.base).or_else(|| claim.as_ref().map(Claim::base));
        let attempt = self.attempt(node, number, timeout, &job, base);
        if self.parts.lives[node].attempt != number {
            // No executor ran in this try: the commands are all of it.
            self.task_start(node, number, "verify")?;
            self.tell_slot(node, claim.as_ref())?;
        }
        self.phase(node, "verifying")?;
        self.parts.lives[node].started = Some(clock::now());
        let scripts = job.verify.to_vec();
        let brake = self.parts.lives[node].brake.clone();
        self.workers.spawn(async move {
            let unfit = |reason| Done::Unfit { node, verify: true, reason };
            let space = match (space, claim) {
                (None, Some(claim)) => match attempt.enter(claim, &brake).await {
                    Ok(space) => Some(space),
                    Err(reason) => return unfit(reason),
                },
                (space, _) => space,
            };
            let ran = attempt.scripts(scripts, brake).await;
            let Some(mut space) = space else { return Done::Verify { node, ran, space: None } };
            let look = move || space.look_after_verify().map(|changes| (space, changes));
            match aside(look).await {
                Ok(seen) => Done::Verify { node, ran, space: Some(seen) },
                Err(reason) => unfit(reason),
            }
        });
        Ok(())
    }
}

/// A try: the tree made ready where it is the task's own, the executor, and a look at what it did.
async fn executor<W, F>(node: Node, attempt: Attempt, claim: Option<Claim>, brake: Brake, work: W) -> Done
where
    W: FnOnce(Attempt, Brake) -> F,
    F: Future<Output = Worked>,
{
    let unfit = |reason| Done::Unfit { node, verify: false, reason };
    let mut space = match claim {
        None => None,
        Some(claim) => match attempt.enter(claim, &brake).await {
            Ok(space) => Some(space),
            Err(reason) => return unfit(reason),
        },
    };
    let Worked { ran, report, session } = work(attempt, brake).await;
    if let Some(mut inside) = space.take() {
        match aside(move || inside.look().map(|()| inside)).await {
            Ok(inside) => space = Some(inside),
            Err(reason) => return unfit(reason),
        }
    }
    Done::Executor { node, ran, report, session, space }
}
