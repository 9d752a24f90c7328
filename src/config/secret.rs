//! Values that stand elsewhere: `${env:NAME}` and `${file:PATH}` in any text.

use super::Environment;
use std::path::Path;

/// Longest file that a text is filled in from, octets.
const LONGEST: u64 = 64 * 1024;

/// `text` with every reference replaced. The second is whether there was one.
///
/// # Errors
/// A sentence: what is missing, and what would do.
pub(super) fn resolve(text: &str, environment: &Environment) -> Result<(String, bool), String> {
    let mut resolved = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some((before, after)) = rest.split_once("${") {
        let (reference, behind) =
            after.split_once('}').ok_or_else(|| format!("\"${{{after}\" has no end; write ${{env:NAME}}"))?;
        resolved.push_str(before);
        resolved.push_str(&value(reference, environment)?);
        rest = behind;
        any = true;
    }
    resolved.push_str(rest);
    Ok((resolved, any))
}

/// Does a text refer to something that stands elsewhere?
pub(super) fn refers(text: &str) -> bool {
    text.contains("${")
}

fn value(reference: &str, environment: &Environment) -> Result<String, String> {
    match reference.split_once(':') {
        Some(("env", name)) => {
            let value = environment.get(name).ok_or_else(|| format!("{name} is not set; set it in the environment"))?;
            value.into_string().map_err(|_| format!("{name} is not valid UTF-8; set it again"))
        }
        Some(("file", path)) => {
            let path = Path::new(path);
            let fail =
                |why: &dyn std::fmt::Display| format!("{}: {why}; check the path and its rights", path.display());
            let length = std::fs::metadata(path).map_err(|error| fail(&error))?.len();
            if length > LONGEST {
                return Err(fail(&"longer than 64 KiB"));
            }
            let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
            // Editors end a file with a line end that is no part of the secret.
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(format!("\"${{{reference}}}\" is no reference; write ${{env:NAME}} or ${{file:PATH}}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_filled_in_and_others_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hush}\n").unwrap();
        let environment = Environment::from([("WHO", "alice"), ("EMPTY", "")]);
        let text = |text: &str| resolve(text, &environment);
        assert_eq!(text("plain $ {x}").unwrap(), ("plain $ {x}".into(), false));
        assert_eq!(text("${env:WHO}-${env:WHO}").unwrap(), ("alice-alice".into(), true));
        assert_eq!(text("${env:EMPTY}").unwrap(), (String::new(), true));
        assert_eq!(text(&format!("${{file:{}}}", path.display())).unwrap(), ("hush}".into(), true));
        for (bad, named, remedy) in [
            ("${env:NONE}", "NONE", "set it"),
            ("${file:/no/such}", "/no/such", "check the path"),
            ("${vault:x}", "${vault:x}", "${env:NAME}"),
            ("${env:WHO", "${env:WHO", "no end"),
        ] {
            let error = text(bad).unwrap_err();
            assert!(error.contains(named) && error.contains(remedy), "{error}");
        }
    }
}
