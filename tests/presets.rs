//! The presets that ship: each boots its program and comes to the end that it should, with nothing refused on the way.

use bespoke_tests::workloads::{Answer, Workload, presets, workloads};
use bespoke_tests::{Server, run_in, workspace};
use std::fs;

fn works(workload: &Workload) {
    let preset = workload.preset;
    let scratch = workload.scratch();
    let run = || scratch.run(&[&["run", "app.toml", "-m", "512M", "--"], &workload.args[..]].concat());
    match workload.answer {
        Answer::Ends(status, out) => {
            let run = run();
            assert_eq!((run.status, run.out.as_str()), (status, out), "{preset}: {}", run.err);
        }
        Answer::Says(status, text) => {
            let run = run();
            assert!(run.status == status && run.out.contains(text), "{preset}: {run:?}");
        }
        Answer::Serves(port, ask, reply) => {
            let server = Server::start(&scratch, port, "", &["-m", "512M"]);
            assert!(server.answers(ask, reply), "{preset}: {}", server.said());
        }
    }
}

#[test]
fn every_preset_has_a_workload_and_they_work() {
    let workloads = workloads();
    for preset in presets() {
        let found = workloads.iter().find(|workload| workload.preset == preset);
        works(found.unwrap_or_else(|| panic!("the preset {preset} has no workload in tests/workloads.rs")));
    }
}

/// What is off is not in the image: a part that grows for the sake of others shows here first. A larger limit wants a reason.
#[test]
fn hello_stays_small() {
    let run = run_in(&workspace(), &["check", "presets/hello.toml", "--max-size", "48KiB"]);
    assert_eq!(run.status, 0, "{run:?}");
}

/// The README's table is made by `tests/table --write`. Its figures are those of one machine, with one release's programs; what must hold everywhere is
/// that no program's preset is left out and that every figure is one.
#[test]
fn the_readme_has_every_preset() {
    let readme = fs::read_to_string(workspace().join("README.md")).expect("README.md");
    let (_, rest) = readme.split_once("<!-- presets -->\n").expect("the table's start");
    let (table, _) = rest.split_once("<!-- /presets -->").expect("the table's end");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let shipped = presets();
    for name in &names {
        assert!(
            shipped.iter().any(|preset| preset == name),
            "{name} is no preset; tests/table --write makes it anew"
        );
    }
    for workload in workloads() {
        let serves = matches!(workload.answer, Answer::Serves(..));
        let there = names.contains(&workload.preset);
        assert!(there || serves, "{} is missing; tests/table --write makes it anew", workload.preset);
    }
    for row in &rows {
        assert_eq!(row.len(), 10, "{row:?}");
        assert!(!row[1].is_empty(), "{row:?}");
        for cell in &row[2..] {
            let number = cell.replace(',', "");
            assert!(number.parse::<f64>().is_ok_and(|number| number > 0.0), "{cell} in {row:?}");
        }
        let bytes = |column: usize| row[column].replace(',', "").parse::<u64>().expect("whole bytes");
        assert_eq!(bytes(2), bytes(3) + bytes(4), "the image is the system and the program: {row:?}");
    }
}
