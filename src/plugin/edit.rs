//! Changes to files of somebody else that leave everything else in them as it is: a value in JSON or TOML settings, and a
//! block between marks in markdown.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table};

use super::Format;

const BEGIN: &str = "<!-- spec:begin -->";
const END: &str = "<!-- spec:end -->";

/// Why a file was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read as what it should be.
    #[error("{0}")]
    Unreadable(String),
    /// There is something else in that place, which somebody put there.
    #[error("{0} is something else already")]
    Taken(String),
}

/// The text with the value; none where it is there already.
pub fn set(text: &str, format: Format, keys: &[String], value: &Value) -> Result<Option<String>, Refused> {
    match get(text, format, keys)? {
        Some(there) if there == *value => return Ok(None),
        Some(_) => return Err(Refused::Taken(keys.join("."))),
        None => {}
    }
    let Some((last, above)) = keys.split_last() else { return Ok(None) };
    Ok(Some(match format {
        Format::Json => {
            let root = json(text)?;
            let taken = || Refused::Taken(keys.join("."));
            let mut object = root.object_value_or_create().ok_or_else(taken)?;
            for key in above {
                object = object.object_value_or_create(key).ok_or_else(taken)?;
            }
            object.append(last, input(value));
            let text = root.to_string();
            if text.ends_with('\n') { text } else { text + "\n" }
        }
        Format::Toml => {
            let mut document = toml(text)?;
            let mut table = document.as_table_mut() as &mut dyn toml_edit::TableLike;
            for key in above {
                let mut made = Table::new();
                made.set_implicit(true);
                let inner = table.entry(key).or_insert(Item::Table(made));
                table = inner.as_table_like_mut().ok_or_else(|| Refused::Taken(keys.join(".")))?;
            }
            table.insert(last, item(value));
            document.to_string()
        }
    }))
}

/// The text without the value, and without what is empty then; none where it is not there (any more).
pub fn unset(text: &str, format: Format, keys: &[String], value: &Value) -> Result<Option<String>, Refused> {
    if get(text, format, keys)?.as_ref() != Some(value) {
        return Ok(None);
    }
    Ok(Some(match format {
        Format::Json => {
            let root = json(text)?;
            for depth in (1..=keys.len()).rev() {
                let Some(object) = below(&root, &keys[..depth - 1]) else { break };
                if let Some(property) = object.get(&keys[depth - 1]) {
                    property.remove();
                }
                if !object.properties().is_empty() {
                    break;
                }
            }
            root.to_string()
        }
        Format::Toml => {
            let mut document = toml(text)?;
            for depth in (1..=keys.len()).rev() {
                let mut table = document.as_table_mut() as &mut dyn toml_edit::TableLike;
                for key in &keys[..depth - 1] {
                    let Some(inner) = table.get_mut(key).and_then(Item::as_table_like_mut) else { return Ok(None) };
                    table = inner;
                }
                table.remove(&keys[depth - 1]);
                if !table.is_empty() {
                    break;
                }
            }
            document.to_string()
        }
    }))
}

fn get(text: &str, format: Format, keys: &[String]) -> Result<Option<Value>, Refused> {
    let whole: Value = match format {
        Format::Json if text.trim().is_empty() => return Ok(None),
        Format::Json => json(text)?.value().and_then(|value| value.to_serde_value()).unwrap_or_default(),
        Format::Toml => {
            let table: toml::Table = text.parse().map_err(unreadable)?;
            serde_json::to_value(table).map_err(unreadable)?
        }
    };
    let mut at = &whole;
    for key in keys {
        match at.get(key) {
            Some(inner) => at = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(at.clone()))
}

fn unreadable(error: impl std::fmt::Display) -> Refused {
    Refused::Unreadable(error.to_string().lines().next().unwrap_or_default().to_owned())
}

fn json(text: &str) -> Result<CstRootNode, Refused> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(unreadable)
}

fn toml(text: &str) -> Result<DocumentMut, Refused> {
    text.parse().map_err(unreadable)
}

fn below(root: &CstRootNode, keys: &[String]) -> Option<CstObject> {
    keys.iter().try_fold(root.object_value()?, |object, key| object.object_value(key))
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(flag) => CstInputValue::Bool(*flag),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(map) => CstInputValue::Object(map.iter().map(|(key, it)| (key.clone(), input(it))).collect()),
    }
}

fn item(value: &Value) -> Item {
    match value {
        Value::Bool(flag) => toml_edit::value(*flag),
        Value::String(text) => toml_edit::value(text),
        Value::Object(map) => Item::Table(map.iter().map(|(key, it)| (key.as_str(), item(it))).collect()),
        // Nothing else is put into TOML.
        other => toml_edit::value(other.to_string()),
    }
}

/// The text with the block; none where it is there already.
#[must_use]
pub fn set_block(text: &str, block: &str) -> Option<String> {
    let marked = format!("{BEGIN}\n{}\n{END}\n", block.trim_end());
    match find_block(text) {
        Some(there) if text[there.clone()] == marked => None,
        Some(there) => Some(format!("{}{marked}{}", &text[..there.start], &text[there.end..])),
        None if text.is_empty() => Some(marked),
        None => Some(format!("{}\n\n{marked}", text.trim_end_matches('\n'))),
    }
}

/// The text without the block; none where there is none.
#[must_use]
pub fn unset_block(text: &str) -> Option<String> {
    let there = find_block(text)?;
    let (before, after) = (text[..there.start].trim_end_matches('\n'), &text[there.end..]);
    let gap = match (before.is_empty(), after.trim().is_empty()) {
        (true, _) => "",
        (false, true) => "\n",
        (false, false) => "\n\n",
    };
    Some(format!("{before}{gap}{}", after.trim_start_matches('\n')))
}

/// The block as it is in the text, marks included.
#[must_use]
pub fn block(text: &str) -> Option<&str> {
    find_block(text).map(|there| &text[there])
}

fn find_block(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find(BEGIN)?;
    let end = start + text[start..].find(END)? + END.len();
    let end = end + usize::from(text[end..].starts_with('\n'));
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|&key| key.to_owned()).collect()
    }

    #[test]
    fn a_value_comes_and_goes_and_nothing_else_changes() {
        let value = json!({ "source": { "path": "/x" }, "on": true });
        for (format, text) in [
            (Format::Json, "{\n  // mine\n  \"a\": [1,2],\n  \"b\": {}\n}\n"),
            (Format::Json, "{\n  \"x\": {\n    \"other\": 1\n  }\n}\n"),
            (Format::Toml, "# mine\na = 1 # so\n\n[b]\nc = [1,\n 2]\n"),
            (Format::Toml, "[x.other]\nkept = true\n"),
        ] {
            let keys = keys(&["x", "spec@spec"]);
            let with = set(text, format, &keys, &value).unwrap().expect("changed");
            assert_eq!(get(&with, format, &keys).unwrap(), Some(value.clone()), "{with}");
            assert_eq!(set(&with, format, &keys, &value), Ok(None), "once is enough");
            assert_eq!(set(&with, format, &keys, &json!(1)), Err(Refused::Taken("x.spec@spec".to_owned())));
            assert_eq!(unset(&with, format, &keys, &json!(1)), Ok(None), "somebody else's");
            let without = unset(&with, format, &keys, &value).unwrap().expect("changed");
            assert_eq!(without.trim_end(), text.trim_end(), "{with}");
        }
        let made = set("", Format::Json, &keys(&["a", "b"]), &json!(true)).unwrap().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&made).unwrap(), json!({"a": {"b": true}}));
        assert!(matches!(set("{ nonsense", Format::Json, &keys(&["a"]), &json!(1)), Err(Refused::Unreadable(_))));
        assert!(matches!(set("a = = 1", Format::Toml, &keys(&["a"]), &json!(1)), Err(Refused::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn a_block_comes_and_goes(before in "([a-z #]{1,20}\n){0,4}", after in "([a-z #]{1,20}\n){0,4}") {
            let text = before.clone() + &after;
            let with = set_block(&text, "## Ours\n\nwords\n").expect("changed");
            prop_assert_eq!(set_block(&with, "## Ours\n\nwords\n"), None);
            let without = unset_block(&with).expect("changed");
            prop_assert_eq!(without, text);
            let changed = set_block(&with, "other").expect("changed");
            prop_assert!(changed.contains("other") && !changed.contains("## Ours"));
        }
    }
}
