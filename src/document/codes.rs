//! Every diagnostic code of a list with what it means; `docs/tasks-format.md` lists them.

/// The codes of this module, with one line of explanation each, sorted.
pub const CODES: &[(&str, &str)] = &[
    (BOTH_MARKED, "a task is marked parallel and also `[VERIFY]` or `[SEQUENTIAL]`, which beat it"),
    (CHECKBOX_IN_CODE, "a box in a code block is text, no task"),
    (CHECKBOX_IN_COMMENT, "a box in an HTML block or comment is text, no task"),
    (NO_BULLET, "a box without a list marker before it is text, no task"),
    (NO_SPACE, "a box with no blank behind it, taken for a task only where an id follows"),
    (DEPENDENCY_UNCLEAR, "a part of a dependency list that names no id of this list was left out"),
    (DUPLICATE_ID, "an id stands on more than one item; references mean the first"),
    (FIELD_AS_TASK, "a box stands before a field, which makes the field an item of its own"),
    (HEADING_TASK, "a heading is taken for a task, since the list has no checkbox"),
    (INVALID_VALUE, "the value of a field is not what the field takes; the field is ignored"),
    (MARKER_SPELLING, "a mark is written in another way than the list or its tool writes it"),
    (NO_TASKS, "the list has no checkbox and no heading that reads like a task"),
    (NOT_UTF8, "some bytes are not UTF-8; they are kept as they are"),
    (NOTE, "items without id, marker and fields are taken for notes and not run"),
    (OPTIONAL_TASK, "a starred item is optional and not run unless asked for"),
    (PARALLEL_BULLET, "a bullet that begins with `[P]` is prose, no task"),
    (PARALLEL_IN_PROSE, "a parallel mark in the middle of a title is prose"),
    (PARENT_WITH_DO, "an item with tasks below it has a Do or Run of its own, which is never run"),
    (RUN_NOT_EXECUTABLE, "a Run field without a command in it"),
    (
        SCRIPT_HIDES_FAILURES,
        "a fence of Verify or Run has several commands of which only the last one's failure counts",
    ),
    (TASK_HELD, "an item with `[~]` is set aside and not run"),
    (TASK_STARTED, "an item with `[-]` was begun; it counts as open"),
    (TOO_MANY_DEPENDENCIES, "the dependencies name more tasks than a list of this size can mean"),
    (UNKNOWN_BOX, "a character in the box that says nothing to this program; the item is no task"),
    (UNKNOWN_DEPENDENCY, "a dependency on an id that is nowhere in the list"),
    (UNKNOWN_FIELD, "a field name that is nearly one of the known ones"),
    (VERIFY_NOT_EXECUTABLE, "a Verify field without a command in it"),
    (VERIFY_PIPED, "a Verify command pipes its result away; it runs with pipefail"),
];

pub(super) const BOTH_MARKED: &str = "both-marked";
pub(super) const CHECKBOX_IN_CODE: &str = "checkbox-in-code";
pub(super) const CHECKBOX_IN_COMMENT: &str = "checkbox-in-comment";
pub(super) const DEPENDENCY_UNCLEAR: &str = "dependency-unclear";
pub(super) const DUPLICATE_ID: &str = "duplicate-id";
pub(super) const FIELD_AS_TASK: &str = "field-as-task";
pub(super) const HEADING_TASK: &str = "heading-task";
pub(super) const INVALID_VALUE: &str = "invalid-value";
pub(super) const MARKER_SPELLING: &str = "marker-spelling";
pub(super) const NO_BULLET: &str = "checkbox-without-bullet";
pub(super) const NO_SPACE: &str = "checkbox-without-space";
/// A list without one checkbox: `spec run` ends with exit code 2.
pub const NO_TASKS: &str = "no-tasks";
pub(super) const NOT_UTF8: &str = "not-utf8";
pub(super) const NOTE: &str = "note";
pub(super) const OPTIONAL_TASK: &str = "optional-task";
pub(super) const PARALLEL_BULLET: &str = "parallel-bullet";
pub(super) const PARALLEL_IN_PROSE: &str = "parallel-in-prose";
pub(super) const PARENT_WITH_DO: &str = "parent-with-do";
pub(super) const RUN_NOT_EXECUTABLE: &str = "run-not-executable";
pub(super) const SCRIPT_HIDES_FAILURES: &str = "script-hides-failures";
pub(super) const TASK_HELD: &str = "task-held";
pub(super) const TASK_STARTED: &str = "task-started";
pub(super) const TOO_MANY_DEPENDENCIES: &str = "too-many-dependencies";
pub(super) const UNKNOWN_BOX: &str = "unknown-box";
/// A dependency on an id that is nowhere.
pub const UNKNOWN_DEPENDENCY: &str = "unknown-dependency";
pub(super) const UNKNOWN_FIELD: &str = "unknown-field";
pub(super) const VERIFY_NOT_EXECUTABLE: &str = "verify-not-executable";
pub(super) const VERIFY_PIPED: &str = "verify-piped";
