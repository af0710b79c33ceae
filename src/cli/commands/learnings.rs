//! `spec learnings`: what earlier work in the repository learned, by words and files.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::args::{Format, LearningsArgs};
use crate::cli::{Error, config, exit, output, warn};
use crate::git::Repo;
use crate::report::text::{Paint, clean, count};
use crate::runtime::brief;
use crate::store::learnings::{Learning, Query};

/// Colours are taken out on the way where they are not wanted.
const PAINT: Paint = Paint(true);

/// What `spec learnings --format json` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LearningsJson {
    /// `spec.learnings/1`.
    pub schema: &'static str,
    /// What was looked for; empty where everything was.
    pub query: String,
    /// How many there are in all, whatever was looked for.
    pub total: usize,
    /// What was found, most to the point first.
    pub learnings: Vec<LearningRow>,
}

/// Something that was learned.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LearningRow {
    /// `note` (an executor wrote it down), `cure` (a try failed and a later one passed) or `failure` (for good).
    pub kind: &'static str,
    /// What was learned, in one line.
    pub text: String,
    /// Where it is from: a file and a line, or a task and a run.
    pub from: String,
    /// The folder of its spec, relative to the root of the repository.
    pub spec: String,
    /// Its task, where that is known.
    pub task: Option<String>,
    /// The files that the task had changed, where that is known.
    pub files: Vec<String>,
}

impl From<Learning> for LearningRow {
    fn from(learning: Learning) -> Self {
        let Learning { kind, text, spec, task, from, files } = learning;
        Self { kind: kind.name(), text, from, spec, task, files }
    }
}

/// Prints them.
pub fn run(args: &LearningsArgs) -> Result<u8, Error> {
    let here = std::env::current_dir().map_err(Error::failed)?;
    let repo = Repo::open(&here).map_err(Error::usage)?;
    let root = repo.as_ref().map_or_else(|| config::root(&here), |repo| repo.root().to_owned());
    let library = brief::library(&root, repo.as_ref(), None).map_err(Error::failed)?;
    let query = args.query.join(" ");
    let paths: Vec<String> = args.query.iter().filter(|word| word.contains(['/', '.'])).cloned().collect();
    let answer = library.search(&Query::new(&query, &paths), args.limit).map_err(Error::failed)?;
    if let Some(rebuilt) = answer.rebuilt {
        warn(&format!("the index of learnings was damaged: {rebuilt}"));
    }
    let (total, learnings) = (answer.total, answer.learnings);
    match args.format {
        Format::Json => {
            let learnings = learnings.into_iter().map(LearningRow::from).collect();
            output::print_json(&LearningsJson { schema: "spec.learnings/1", query, total, learnings })?;
        }
        Format::Human if learnings.is_empty() => {
            output::print_lines(&match total {
                0 => "nothing was learned here yet\n".to_owned(),
                total => format!("none of {} has these words\n", count(total, "learning", "learnings")),
            })?;
        }
        Format::Human => {
            let lines = learnings
                .iter()
                .map(|learning| format!("{}\n    {}\n", clean(&learning.text), PAINT.dim(clean(&learning.from))));
            output::print_lines(&lines.collect::<String>())?;
        }
    }
    Ok(exit::DONE)
}
