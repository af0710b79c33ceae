//! What a session is told when it begins, is resumed or was compacted: where the spec stands, and what its own name is. And
//! that it has ended: then nobody need wait for it.

use serde_json::json;

use super::stop::shown;
use super::{Input, find};
use crate::report::step;
use crate::runtime::clock;
use crate::store::lease;

/// The answer: context for the model, where a spec is being worked on here.
pub(super) fn answer(input: &Input) -> Option<String> {
    let (path, lease) = find::lease(&input.cwd)?;
    let list = shown(&lease.list);
    let done = format!("{} of {} tasks of {list} are done", lease.done, lease.total);
    let alive = lease::silent_for(&path, clock::wall()).is_some_and(|silent| silent < lease::SILENCE);
    let next = step::next_call(&list, Some(&input.session));
    let said = if lease.session == input.session {
        lease::renew(&path, clock::wall());
        let open: Vec<&str> = lease.tasks.iter().filter(|it| !it.reported).map(|it| it.task.as_str()).collect();
        let out = if open.is_empty() { String::new() } else { format!("; handed out to you: {}", open.join(", ")) };
        format!("spec: {done}{out}. `{next}` says what to do now.")
    } else if alive {
        format!("spec: {done}. Another session ({}) works on it; leave it alone.", lease.session)
    } else {
        format!("spec: {done}. The session that worked on it is silent; `{next}` goes on with it, if that is wanted.")
    };
    let output = json!({ "hookSpecificOutput": { "hookEventName": "SessionStart", "additionalContext": said } });
    Some(output.to_string())
}

/// Whoever comes next may go on with what the session had; so may the session itself, should it be resumed.
pub(super) fn left(input: &Input) -> Option<()> {
    let (path, lease) = find::lease(&input.cwd)?;
    (lease.session == input.session).then(|| lease::leave(&path, clock::wall()))
}
