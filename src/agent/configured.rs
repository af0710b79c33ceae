//! Agents as they are to be used: a known one with what `[agents.NAME]` in `spec.toml` lays over it, one that only the
//! configuration knows, or one behind the Agent Client Protocol.

use std::collections::BTreeMap;

use super::{Access, Adapter, Call, Cumulative, Decoder, Prompt, Start, acp, by_name, text};

/// What `[agents.NAME]` says. Of an agent that is known by name it changes what is there, of any other it is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configured {
    /// The program: a name on PATH, or a path (in `spec.toml` from the folder of that file).
    pub program: Option<String>,
    /// Arguments: behind those of a known agent, all of them for another.
    pub args: Vec<String>,
    /// The same where a session is gone on with; without it an agent of one's own starts anew each time.
    pub resume: Option<Vec<String>>,
    /// How the prompt gets in; on standard input where nothing is said.
    pub prompt: Option<Prompt>,
    /// The known agent whose stream it speaks; none for plain text.
    pub format: Option<&'static dyn Adapter>,
    /// Whether it speaks the Agent Client Protocol.
    pub acp: bool,
    /// The model where the task names none.
    pub model: Option<String>,
    /// What it may do.
    pub access: Option<Access>,
    /// Set in its environment.
    pub env: BTreeMap<String, String>,
    /// Agents with the same account share its limits; the agent's name where nothing is said.
    pub account: Option<String>,
}

impl Configured {
    /// What is wrong with it as a whole, behind its key.
    pub fn check(&self, name: &str) -> Result<(), String> {
        let known = by_name(name);
        if known.is_none() && self.program.is_none() {
            let near = super::names().filter(|known| *known != name).collect::<Vec<_>>().join(", ");
            return Err(format!("needs a `program`: no agent of that name is known ({near})"));
        }
        if known.is_some() && (self.format.is_some() || self.prompt.is_some() || self.resume.is_some()) {
            return Err(format!(
                "cannot have `format`, `prompt` or `resume`: how {name} is driven is known; give yours another name"
            ));
        }
        if self.acp && (self.format.is_some() || self.prompt.is_some() || self.resume.is_some()) {
            return Err("cannot have `format`, `prompt` or `resume` besides the protocol, which has its own".to_owned());
        }
        Ok(())
    }
}

/// An agent as it is to be used.
#[derive(Debug, Clone)]
pub struct Agent {
    name: String,
    way: Way,
    given: Configured,
}

/// How it is driven.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// As is known of it.
    Known(&'static dyn Adapter),
    /// By the command line of the configuration, with the stream of this one, or plain text.
    Line(Option<&'static dyn Adapter>),
    /// By the protocol, of this known agent if it is one.
    Acp(Option<&'static dyn Adapter>),
}

/// The agent of that name: a configured or a known one, or with `acp:` before its name the same by the protocol.
#[must_use]
pub fn find(name: &str, agents: &BTreeMap<String, Configured>) -> Option<Agent> {
    let (plain, acp) = name.strip_prefix(acp::PREFIX).map_or((name, false), |plain| (plain, true));
    let known = by_name(plain);
    let given = agents.get(name).or_else(|| agents.get(plain));
    let acp = acp || given.is_some_and(|given| given.acp);
    let way = match (known, given) {
        (Some(known), _) if acp => known.acp().map(|_| Way::Acp(Some(known)))?,
        (None, Some(_)) if acp => Way::Acp(None),
        (Some(known), _) => Way::Known(known),
        (None, Some(given)) => Way::Line(given.format),
        (None, None) => return None,
    };
    Some(Agent { name: name.to_owned(), way, given: given.cloned().unwrap_or_default() })
}

/// Every agent there is: those of the configuration that are not known otherwise, then the known ones.
#[must_use]
pub fn all(agents: &BTreeMap<String, Configured>) -> Vec<Agent> {
    let own = agents.keys().filter(|name| by_name(name).is_none()).filter_map(|name| find(name, agents));
    own.chain(super::names().filter_map(|name| find(name, agents))).collect()
}

impl Agent {
    /// As in `--agent NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As its makers call it.
    #[must_use]
    pub fn title(&self) -> &str {
        match self.way {
            Way::Known(known) | Way::Acp(Some(known)) => known.title(),
            Way::Line(_) | Way::Acp(None) => &self.name,
        }
    }

    /// The known agent that it is.
    #[must_use]
    pub fn known(&self) -> Option<&'static dyn Adapter> {
        match self.way {
            Way::Known(known) => Some(known),
            Way::Acp(known) => known,
            Way::Line(_) => None,
        }
    }

    /// Whose limits it shares.
    #[must_use]
    pub fn account(&self) -> &str {
        let name = self.name.strip_prefix(acp::PREFIX).unwrap_or(&self.name);
        self.given.account.as_deref().unwrap_or(name)
    }

    /// What its program may be called, the usual name first: a name on PATH, or a path where the configuration has one.
    #[must_use]
    pub fn programs(&self) -> Vec<&str> {
        if let Some(program) = &self.given.program {
            return vec![program];
        }
        match self.way {
            Way::Known(known) => known.programs().to_vec(),
            Way::Acp(Some(known)) => known
                .acp()
                .and_then(|acp| acp.program)
                .map_or_else(|| known.programs().to_vec(), |program| vec![program]),
            // An agent of the configuration without a program is refused when it is read.
            Way::Line(_) | Way::Acp(None) => Vec::new(),
        }
    }

    /// The model that the configuration names.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        self.given.model.as_deref()
    }

    /// What is to be started. What the configuration says is laid over the call: its model where the call has none, its
    /// access unless the call only reads, its arguments and environment behind those of the agent.
    #[must_use]
    pub fn start(&self, call: &Call<'_>) -> Start {
        let given = &self.given;
        let access = match call.access {
            Access::Read => Access::Read,
            asked => given.access.unwrap_or(asked),
        };
        let args: Vec<String> = given.args.iter().chain(call.args).cloned().collect();
        let call = Call { model: call.model.or(self.model()), access, ..*call };
        let mut start = match self.way {
            Way::Known(known) => known.start(&Call { args: &args, ..call }),
            Way::Line(_) => self.line(&call),
            Way::Acp(known) => by_protocol(known, &Call { args: &args, ..call }),
        };
        start.env.extend(given.env.iter().map(|(name, value)| (name.into(), Some(value.into()))));
        start
    }

    /// The command line of the configuration with its placeholders filled in.
    fn line(&self, call: &Call<'_>) -> Start {
        let args = match (&self.given.resume, call.resume) {
            (Some(resume), Some(_)) => resume,
            _ => &self.given.args,
        };
        let file = call.prompt_file.to_string_lossy();
        let prompt = self.given.prompt.unwrap_or(Prompt::Stdin);
        let values = [("{model}", call.model), ("{session}", call.resume), ("{prompt_file}", Some(&*file))];
        let args = fill(args.iter().chain(call.args), &values);
        Start::new(call, &[]).args(args).prompt(prompt)
    }

    /// A reader for what one start of it prints.
    #[must_use]
    pub fn decoder(&self) -> Box<dyn Decoder> {
        match self.way {
            Way::Known(reader) | Way::Line(Some(reader)) => reader.decoder(),
            Way::Line(None) => text::decoder(),
            Way::Acp(_) => acp::decoder(),
        }
    }

    /// What it counts over the whole of a session.
    #[must_use]
    pub fn cumulative(&self) -> Cumulative {
        match self.way {
            Way::Known(reader) | Way::Line(Some(reader)) => reader.cumulative(),
            Way::Line(None) | Way::Acp(_) => Cumulative::default(),
        }
    }

    /// Whether it says by an event that it is done, so that an end without one is an interruption.
    #[must_use]
    pub fn says_its_end(&self) -> bool {
        match self.way {
            Way::Known(reader) | Way::Line(Some(reader)) => reader.says_its_end(),
            Way::Line(None) => false,
            Way::Acp(_) => true,
        }
    }

    /// Whether a session can be gone on with.
    #[must_use]
    pub fn resumes(&self) -> bool {
        match self.way {
            Way::Known(known) => known.resumes(),
            Way::Line(_) => self.given.resume.is_some(),
            Way::Acp(_) => false,
        }
    }
}

/// An agent behind the protocol: a known one with its own arguments, another with those of the configuration. The model
/// is an option of it, or stands in its arguments, or is chosen by the protocol.
fn by_protocol(known: Option<&'static dyn Adapter>, call: &Call<'_>) -> Start {
    let Some((known, how)) = known.and_then(|known| Some((known, known.acp()?))) else {
        let named = call.args.iter().any(|arg| arg.contains("{model}"));
        let args = fill(call.args.iter(), &[("{model}", call.model)]);
        return acp::start(&Call { args: &args, model: call.model.filter(|_| !named), ..*call });
    };
    let option = how.model.zip(call.model).map(|(option, model)| [option, model]);
    let own = how.args.iter().copied().chain(option.into_iter().flatten()).map(str::to_owned);
    let args: Vec<String> = own.chain(call.args.iter().cloned()).collect();
    let start = acp::start(&Call { args: &args, model: call.model.filter(|_| how.model.is_none()), ..*call });
    Start { env: known.start(call).env, ..start }
}

/// The arguments with values for their placeholders. One whose placeholder has no value is left out, and with it the
/// option before it where it is nothing but the placeholder: `["--model", "{model}"]` is both or neither.
fn fill<'a>(args: impl Iterator<Item = &'a String>, values: &[(&str, Option<&str>)]) -> Vec<String> {
    let mut filled: Vec<String> = Vec::new();
    for arg in args {
        let missing = values.iter().find(|(name, value)| value.is_none() && arg.contains(name));
        if let Some((name, _)) = missing {
            if arg == name && filled.last().is_some_and(|last| last.starts_with('-')) {
                filled.pop();
            }
            continue;
        }
        let with = |arg: String, (name, value): &(&str, Option<&str>)| arg.replace(name, value.unwrap_or_default());
        filled.push(values.iter().fold(arg.clone(), with));
    }
    filled
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn call<'a>(program: &'a str, model: Option<&'a str>, resume: Option<&'a str>) -> Call<'a> {
        Call {
            program,
            cwd: Path::new("/w"),
            also: &[],
            model,
            resume,
            access: Access::Edit,
            args: &[],
            prompt_file: Path::new("/p/prompt.md"),
            git: true,
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn one(name: &str, given: Configured) -> Agent {
        find(name, &BTreeMap::from([(name.to_owned(), given)])).unwrap()
    }

    #[test]
    fn an_agent_of_ones_own_is_the_line_of_the_configuration() {
        let agent = one(
            "mine",
            Configured {
                program: Some("bin/mine".to_owned()),
                args: texts(&["run", "--model", "{model}", "--in={prompt_file}"]),
                resume: Some(texts(&["again", "{session}", "--model={model}"])),
                prompt: Some(Prompt::File),
                env: BTreeMap::from([("QUIET".to_owned(), "1".to_owned())]),
                ..Configured::default()
            },
        );
        assert_eq!((agent.programs(), agent.account(), agent.resumes()), (vec!["bin/mine"], "mine", true));
        assert!(!agent.says_its_end());
        let start = agent.start(&call("bin/mine", Some("m"), None));
        assert_eq!(start.args, ["run", "--model", "m", "--in=/p/prompt.md"]);
        assert_eq!((start.prompt, start.env.len()), (Prompt::File, 1));
        assert_eq!(agent.start(&call("bin/mine", None, None)).args, ["run", "--in=/p/prompt.md"]);
        assert_eq!(agent.start(&call("bin/mine", None, Some("s1"))).args, ["again", "s1"]);
    }

    #[test]
    fn the_configuration_is_laid_over_a_known_agent() {
        let agent = one(
            "claude",
            Configured {
                program: Some("/opt/claude".to_owned()),
                args: texts(&["--max-turns", "9"]),
                model: Some("haiku".to_owned()),
                access: Some(Access::Full),
                account: Some("team".to_owned()),
                ..Configured::default()
            },
        );
        assert_eq!((agent.title(), agent.programs(), agent.account()), ("Claude Code", vec!["/opt/claude"], "team"));
        let line = |start: &Start| start.args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let edit = line(&agent.start(&call("claude", None, None)));
        assert!(edit.contains("bypassPermissions") && edit.ends_with("--model haiku --max-turns 9"), "{edit}");
        let other = line(&agent.start(&call("claude", Some("opus"), None)));
        assert!(other.contains("--model opus") && !other.contains("haiku"), "the task's model: {other}");
        let read = line(&agent.start(&Call { access: Access::Read, ..call("claude", None, None) }));
        assert!(read.contains("--permission-mode plan"), "who is only to read never gets more: {read}");
    }

    #[test]
    fn an_agent_behind_the_protocol_is_talked_with_by_a_program_of_ours() {
        let args = |start: &Start| start.args.iter().map(|arg| arg.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let gemini = find("acp:gemini", &BTreeMap::new()).unwrap();
        assert_eq!((gemini.programs(), gemini.account()), (vec!["gemini"], "gemini"));
        assert!(gemini.says_its_end() && !gemini.resumes());
        let start = gemini.start(&call("gemini", Some("m"), None));
        assert_eq!(args(&start), "__acp edit - gemini --acp -m m");
        assert!(start.env.iter().any(|(name, _)| name == "GEMINI_CLI_TRUST_WORKSPACE"), "what it needs otherwise, too");
        let mine = one("mine", Configured { program: Some("mine".to_owned()), acp: true, ..Configured::default() });
        assert_eq!(args(&mine.start(&call("mine", Some("m"), None))), "__acp edit m mine");
        assert!(find("acp:aider", &BTreeMap::new()).is_none(), "it does not speak it");
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let given = Configured { model: Some("m".to_owned()), ..Configured::default() };
        assert!(given.check("nobody").unwrap_err().contains("needs a `program`"));
        assert_eq!(given.check("claude"), Ok(()));
        let given = Configured { prompt: Some(Prompt::File), ..Configured::default() };
        assert!(given.check("claude").unwrap_err().contains("another name"));
        assert!(find("nobody", &BTreeMap::new()).is_none());
        assert!(find("acp:nobody", &BTreeMap::new()).is_none());
    }
}
