//! Every kind of bad input is a file, and what is said about it is the file beside it. With `BLESS=1` the latter is written
//! anew; read it before committing it.

mod small;

use std::fs;
use std::path::{Path, PathBuf};

use bespoke_model::*;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad").join(folder);
    let mut all: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    all.retain(|f| f.extension().is_some_and(|e| e == "toml"));
    all.sort();
    all
}

fn compare(folder: &str, say: impl Fn(&str, &str) -> Option<String>) {
    let mut wrong = Vec::new();
    for file in files(folder) {
        let name = file.file_name().unwrap().to_str().unwrap().to_string();
        let text = fs::read_to_string(&file).unwrap();
        let Some(said) = say(&name, &text) else {
            wrong.push(format!("{name} was accepted"));
            continue;
        };
        let said = format!("{said}\n");
        let expected = file.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).ok().as_ref() != Some(&said) {
            wrong.push(format!("{name} says now:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bad_configs() {
    let tree = small::tree();
    assert!(files("config").len() >= 30);
    compare("config", |name, text| match Config::parse(name, text) {
        Err(problems) => Some(problems.to_string()),
        Ok(config) => {
            let problems = tree.check(&config);
            if problems.has_errors() {
                return Some(problems.to_string());
            }
            tree.resolve(&Decisions::from_config(&config, &[])).err().map(|refusal| refusal.to_string())
        }
    });
}

#[test]
fn bad_declarations() {
    assert!(files("declaration").len() >= 25);
    compare("declaration", |name, text| {
        let mut sources: Vec<Source<'_>> =
            small::TREE.iter().map(|(id, text)| Source { id, file: id, text }).collect();
        sources.push(Source { id: "bad", file: name, text });
        Tree::load(&sources).err().map(|problems| problems.to_string())
    });
}

#[test]
fn bad_places_in_the_tree() {
    let good = "title = 'T'\nhelp = 'It helps.'\n";
    let menu_in_choice = format!("{good}kind = 'menu'\n");
    let choice = format!("{good}kind = 'choice'\ndefault = 'b'\n");
    let param = format!("{good}[params.x]\ntype = 'bool'\ndefault = true\nhelp = 'A switch.'\n");
    let cases: [(&[(&str, &str)], &str); 6] = [
        (
            &[("a.b", good)],
            "error: `a.b` lies in `a`, which is not declared\n --> a.b\nhint: declare `a`, for example as a menu",
        ),
        (
            &[("a", good), ("a", good)],
            "error: `a` is declared twice\n --> a\nhint: the other declaration is a",
        ),
        (
            &[("Net.TCP", good)],
            "error: `Net.TCP` is not an id\n --> Net.TCP\nhint: parts of lower-case letters, digits and hyphens, joined by dots\n\nerror: `Net.TCP` lies in `Net`, which is not declared\n --> Net.TCP\nhint: declare `Net`, for example as a menu",
        ),
        (
            &[("c", &choice), ("c.b", &menu_in_choice)],
            "error: `c.b` is a menu inside a choice\n --> c.b\nhint: the members of a choice are components",
        ),
        (
            &[("c", &choice), ("c.aa", good)],
            "error: choice `c` has no member `b`\n --> c:4:11\n  |\n4 | default = 'b'\n  |           ^^^\nhint: its members are aa",
        ),
        (
            &[("a", &param), ("a.x", good)],
            "error: parameter `a.x` has the id of a component\n --> a:3:9\n  |\n3 | [params.x]\n  |         ^\nhint: rename one of them",
        ),
    ];
    for (sources, want) in cases {
        let sources: Vec<Source<'_>> =
            sources.iter().map(|(id, text)| Source { id, file: id, text }).collect();
        assert_eq!(Tree::load(&sources).unwrap_err().to_string(), want);
    }
}
