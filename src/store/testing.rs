//! Events as the tests of the store need them.

use super::event::{Event, TaskRef};

pub(super) fn run_start(file: &str, resumes: Option<&str>) -> Event {
    Event::RunStart {
        version: "0".into(),
        file: file.into(),
        mode: "groups".into(),
        max_parallel: 3,
        tasks: 1,
        done: 0,
        steps: 1,
        base: None,
        branch: None,
        pid: 7,
        host: "here".into(),
        boot: "b".into(),
        resumes: resumes.map(str::to_owned),
    }
}

pub(super) fn task(index: usize) -> TaskRef {
    TaskRef { task: format!("1.{index}"), index, key: format!("1.{index}~c~0") }
}
