//! The commands, as scripts use them: the real binary, its output, its exit status.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

struct Ran {
    out: String,
    err: String,
    code: i32,
}

/// A folder to run the binary in, with a home of its own.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Place(TempDir::new().unwrap())
    }

    fn with(self, name: &str, text: &str) -> Self {
        fs::write(self.path().join(name), text).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn run(&self, args: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_bespoke"))
            .args(args)
            .current_dir(self.path())
            .env("HOME", self.path())
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ran { out: text(&output.stdout), err: text(&output.stderr), code: output.status.code().unwrap() }
    }

    fn json(&self, args: &[&str]) -> Value {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// The command must fail with exactly this on standard error, nothing on standard output, and no new file.
    #[track_caller]
    fn fails(&self, args: &[&str], code: i32, err: &str) {
        let before = self.files();
        let ran = self.run(args);
        assert_eq!(ran.err.trim_end(), err.trim_end(), "{args:?}");
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{args:?}");
        assert_eq!(self.files(), before, "{args:?} left something behind");
    }
}

const HELLO: &str = "schema = 1\nextends = \"preset:hello\"\n\n[set]\n\"debug.log\" = true # keep me\n";

#[test]
fn list_names_everything_as_text_and_as_json() {
    let place = Place::new();
    let text = place.run(&["list"]).out;
    assert!(text.contains("abi.write"));
    assert!(!text.contains('\x1b'), "no escapes when piped");
    let rows = place.json(&["list", "--json"]);
    let row = |id: &str| rows.as_array().unwrap().iter().find(|r| r["id"] == id).unwrap().clone();
    assert_eq!(row("abi")["kind"], "menu");
    assert_eq!(row("abi.write")["kind"], "component");
    assert_eq!(row("abi.write")["parent"], "abi");
    assert_eq!(row("memory.heap")["kind"], "choice");
    assert_eq!(row("abi.process.stack")["kind"], "param");
    assert!(row("abi.write")["requires"].is_array());
}

#[test]
fn set_decides_says_what_follows_and_keeps_comments() {
    let place = Place::new().with("a.toml", HELLO);
    let ran = place.run(&["set", "a.toml", "abi.directories=on"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("on   abi.directories\n"), "{}", ran.out);
    let text = place.read("a.toml");
    assert!(text.contains("\"abi.directories\" = true"), "{text}");
    assert!(text.contains("# keep me"), "{text}");
    place.run(&["set", "a.toml", "abi.directories=auto"]);
    assert_eq!(place.read("a.toml"), HELLO);
    let json = place.json(&["set", "a.toml", "abi.clock=on", "--json"]);
    assert!(json["on"].as_array().unwrap().contains(&Value::from("abi.clock")));
    assert!(json["delta"]["image_bytes"].as_i64().unwrap() > 0);
}

#[test]
fn set_writes_values_of_parameters_and_choices() {
    let place = Place::new().with("a.toml", HELLO);
    let ran = place.run(&["set", "a.toml", "abi.process.stack=1MiB", "console.output=debugcon"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = place.read("a.toml");
    assert!(text.contains("\"abi.process.stack\" = \"1MiB\""), "{text}");
    assert!(text.contains("\"console.output\" = \"debugcon\""), "{text}");
}

#[test]
fn a_refused_set_changes_nothing_and_says_why() {
    let place = Place::new().with("a.toml", HELLO);
    let ran = place.run(&["set", "a.toml", "abi.directories=on", "abi.open=off"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: cannot set abi.directories=on abi.open=off: "), "{}", ran.err);
    assert!(ran.err.contains("abi.open"));
    assert_eq!(place.read("a.toml"), HELLO);
    assert_eq!(place.files(), ["a.toml"]);
}

#[test]
fn build_writes_what_size_said() {
    let place = Place::new().with("a.toml", HELLO);
    let size = place.json(&["size", "a.toml", "--json"]);
    let built = place.json(&["build", "a.toml", "--json"]);
    let file = fs::metadata(place.path().join("a.img")).unwrap().len();
    assert_eq!(size["image_bytes"], file);
    assert_eq!(built["image_bytes"], file);
    assert_eq!(place.files(), ["a.img", "a.img.sym", "a.toml"]);
    for key in ["os_bytes", "program_bytes", "files_bytes", "boot_memory_bytes", "syscalls"] {
        assert!(size[key].is_u64(), "{key}");
    }
    let part = |id: &str| {
        let parts = size["components"].as_array().unwrap();
        parts.iter().find(|p| p["id"] == id).unwrap().clone()
    };
    assert_eq!(
        (part("debug.log")["on"].clone(), part("debug.log")["origin"].clone()),
        (true.into(), "user".into())
    );
    assert!(part("abi.clock")["toggle_bytes"].as_i64().unwrap() > 0);
    let ran = place.run(&["build", "a.toml", "-o", "b.img"]);
    assert!(ran.out.starts_with("b.img  ") && ran.out.trim_end().ends_with(" ms"), "{}", ran.out);
    assert_eq!(ran.err, "", "no progress when piped");
}

#[test]
fn toggle_bytes_are_what_a_toggle_changes() {
    let place = Place::new().with("a.toml", HELLO);
    let before = place.json(&["size", "a.toml", "--json"]);
    let parts = before["components"].as_array().unwrap();
    let promised = parts.iter().find(|p| p["id"] == "abi.clock").unwrap()["toggle_bytes"].as_i64().unwrap();
    place.run(&["set", "a.toml", "abi.clock=on"]);
    let after = place.json(&["size", "a.toml", "--json"]);
    let image = |json: &Value| json["image_bytes"].as_i64().unwrap();
    assert_eq!(image(&after) - image(&before), promised);
}

#[test]
fn check_answers_with_its_status() {
    let place = Place::new().with("a.toml", HELLO);
    assert!(place.run(&["check", "a.toml"]).out.starts_with("a.toml is sound: "));
    assert_eq!(place.run(&["check", "a.toml", "--max-size", "1MiB"]).code, 0);
    let ran = place.run(&["check", "a.toml", "--max-size", "1KiB"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("more than 1,024 B") && ran.err.contains("hint: the largest parts are"),
        "{}",
        ran.err
    );
    let ran = place.run(&["check", "nothing.toml", "--json"]);
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap()["ok"], false);
}

#[test]
fn explain_and_diff_tell() {
    let place =
        Place::new().with("a.toml", HELLO).with("b.toml", "schema = 1\nextends = \"preset:everything\"\n");
    let ran = place.run(&["explain", "a.toml", "abi.directories"]);
    assert!(ran.out.contains("off: nobody asked for it") && ran.out.contains("abi.open"), "{}", ran.out);
    let json = place.json(&["explain", "a.toml", "abi.directories", "--json"]);
    assert!(json["toggle"]["image_bytes"].as_i64().unwrap() > 0);
    // Why on: from the decision to the part, step by step, and as prose.
    let ran = place.run(&["explain", "b.toml", "driver.tsc"]);
    assert!(ran.out.contains("because") && ran.out.contains("preset everything turns"), "{}", ran.out);
    let json = place.json(&["explain", "b.toml", "sched.timer", "--json"]);
    assert!(!json["because"].as_array().unwrap().is_empty(), "{json}");
    assert!(
        json["prose"].as_str().unwrap().contains("sched.timer") && json["bytes"].as_u64().unwrap() > 0,
        "{json}"
    );
    assert!(json["needed_by"].as_array().unwrap().iter().any(|id| id == "sched.sleep"), "{json}");
    let json = place.json(&["diff", "a.toml", "b.toml", "--json"]);
    assert!(json["on"].as_array().unwrap().len() > 10);
    assert!(json["delta"]["image_bytes"].as_i64().unwrap() > 0);
    let ran = place.run(&["diff", "a.toml", "a.toml"]);
    assert!(!ran.out.contains("decided") && ran.out.contains("(0)"), "{}", ran.out);
}

#[test]
fn a_random_config_is_sound_and_the_same_for_the_same_seed() {
    let place = Place::new().with("a.toml", HELLO).with("b.toml", HELLO);
    for seed in ["1", "2", "3"] {
        assert_eq!(place.run(&["set", "a.toml", "--random", seed]).code, 0);
        assert_eq!(place.run(&["set", "b.toml", "--random", seed]).code, 0);
        assert_eq!(place.read("a.toml"), place.read("b.toml"));
        assert_eq!(place.json(&["check", "a.toml", "--json"])["ok"], true);
    }
    let ran = place.run(&["set", "a.toml", "--random", "1", "debug.log=on"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn the_schema_names_what_may_be_decided() {
    let schema = Place::new().json(&["list", "--schema"]);
    let decisions = &schema["$defs"]["decisions"]["properties"];
    assert_eq!(decisions["abi.write"]["type"], "boolean");
    assert!(decisions["memory.heap"]["enum"].is_array());
    assert!(decisions["abi.process.stack"]["default"].is_string());
}

#[test]
fn check_lists_what_is_on_and_why() {
    let place = Place::new().with("a.toml", HELLO);
    let listing = &place.json(&["check", "a.toml", "--json"])["listing"];
    assert_eq!(listing["tree"].as_str().unwrap().len(), 16);
    let components = listing["components"].as_array().unwrap();
    let log = components.iter().find(|c| c["id"] == "debug.log").unwrap();
    assert_eq!(log["origin"], "user");
    assert!(components.iter().all(|c| !c["because"].as_array().unwrap().is_empty()), "{components:?}");
}

#[test]
fn diff_with_a_base_tells_what_merging_would_take() {
    let with = |set: &str| format!("schema = 1\nextends = \"preset:hello\"\n\n[set]\n{set}");
    let place = Place::new()
        .with("base.toml", &with("\"debug.log\" = true\n"))
        .with("a.toml", &with("\"debug.log\" = true\n\"abi.directories\" = true\n"))
        .with("b.toml", &with("\"debug.log\" = false\n"))
        .with("c.toml", &with("\"debug.log\" = true\n\"abi.directories\" = false\n"));
    let ran = place.run(&["diff", "a.toml", "b.toml", "--base", "base.toml"]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "taken     [set] debug.log: true -> false\n"),
        "{}",
        ran.err
    );
    let ran = place.run(&["diff", "a.toml", "c.toml", "--base", "base.toml"]);
    let told = "conflict  [set] abi.directories: nothing -> true here and false there\n";
    assert_eq!((ran.code, ran.out.as_str()), (1, told), "{}", ran.err);
    let json = place.json(&["diff", "a.toml", "b.toml", "--base", "base.toml", "--json"]);
    assert!(json["merged"].as_str().unwrap().contains("\"debug.log\" = false"));
}

#[test]
fn presets_are_listed_shown_and_saved() {
    let place = Place::new().with("a.toml", HELLO);
    assert!(place.run(&["preset", "list"]).out.contains("preset:hello"));
    assert!(place.run(&["preset", "show", "hello"]).out.contains("demo:hello"));
    assert_eq!(place.run(&["preset", "save", "a.toml", "mine"]).code, 0);
    assert_eq!(place.run(&["check", "preset:mine"]).code, 0);
    assert_eq!(place.run(&["preset", "save", "a.toml", "mine"]).code, 1);
    assert_eq!(place.run(&["preset", "save", "a.toml", "mine", "--force"]).code, 0);
    place.fails(
        &["preset", "save", "a.toml", "hello"],
        2,
        "error: the preset `hello` ships with bespoke; choose another name",
    );
}

#[test]
fn new_writes_a_config_that_checks() {
    let place = Place::new();
    let program = env!("CARGO_BIN_EXE_bespoke");
    let ran = place.run(&["new", program, "-o", "p.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = place.read("p.toml");
    assert!(
        text.contains("[fit]")
            && text.contains("\"abi.write\" = true")
            && text.contains("  # found: ")
            && text.contains("write, writev"),
        "{text}"
    );
    assert!(place.read("p.evidence.toml").contains("\"call:write\" = { found = "));
    assert_eq!(place.run(&["check", "p.toml"]).code, 0);
    // What was fitted is fitted again to the same, and is told where somebody asks why.
    assert_eq!(place.run(&["fit", "p.toml"]).code, 0);
    assert_eq!(place.read("p.toml"), text);
    let why = place.run(&["explain", "p.toml", "abi.write"]);
    assert!(why.out.contains("the program") && why.out.contains("write: found at "), "{}", why.out);
    place.fails(
        &["fit", "p.toml", "--keep", "seen"],
        1,
        "error: the program was never watched, so nothing was seen\nhint: watch it: bespoke fit CONFIG --learn, or --trace -- COMMAND",
    );
    place.fails(
        &["fit", "preset:hello"],
        2,
        "error: a preset is not fitted\nhint: write a config first: bespoke new PROGRAM",
    );
    place.fails(
        &["new", program, "-o", "p.toml"],
        1,
        "error: p.toml exists\nhint: --force overwrites it; -o names another file",
    );
}

#[test]
fn a_bad_config_is_told_with_its_line() {
    let place = Place::new()
        .with("id.toml", "schema = 1\n[set]\n\"abi.wrte\" = true\n")
        .with("cut.toml", "schema = 1\n[set\n")
        .with("type.toml", "schema = 1\n[set]\n\"abi.process.stack\" = \"zz\"\n")
        .with("preset.toml", "schema = 1\nextends = \"preset:helo\"\n")
        .with("program.toml", "schema = 1\n[program]\npath = \"nope\"\n")
        .with("self.toml", "schema = 1\nextends = \"self.toml\"\n");
    place.fails(
        &["check", "id.toml"],
        1,
        "error: there is nothing called `abi.wrte`\n --> id.toml:3:1\n  |\n3 | \"abi.wrte\" = true\n  | ^^^^^^^^^^\nhint: did you mean `abi.write`?",
    );
    place.fails(
        &["build", "cut.toml"],
        1,
        "error: unclosed table, expected `]`\n --> cut.toml:2:5\n  |\n2 | [set\n  |     ^",
    );
    place.fails(
        &["size", "type.toml"],
        1,
        "error: expected a size such as 64KiB from 64KiB to 1GiB, found `zz`\n --> type.toml:3:23\n  |\n3 | \"abi.process.stack\" = \"zz\"\n  |                       ^^^^\nhint: `abi.process.stack` is a size such as 64KiB from 64KiB to 1GiB",
    );
    place.fails(
        &["run", "preset.toml"],
        1,
        "error: there is no preset `helo`\n --> preset.toml:2:11\n  |\n2 | extends = \"preset:helo\"\n  |           ^^^^^^^^^^^^^\nhint: did you mean `hello`?",
    );
    place.fails(
        &["check", "program.toml"],
        1,
        "error: there is no program nope\n --> program.toml:3:8\n  |\n3 | path = \"nope\"\n  |        ^^^^^^",
    );
    place.fails(&["check", "self.toml"], 1, "error: self.toml extends itself, through self.toml");
}

#[test]
fn a_bad_program_is_told_plainly_by_every_command() {
    let place = Place::new()
        .with("text", "not a program")
        .with("text.toml", "schema = 1\nextends = \"preset:hello\"\n[program]\npath = \"text\"\n")
        .with("empty", "")
        .with("script", "#!/bin/sh\necho\n");
    let mut arm = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0];
    arm.resize(64, 0);
    arm[16] = 2;
    arm[18] = 183;
    arm[20] = 1;
    fs::write(place.path().join("arm"), &arm).unwrap();
    let mut old = arm.clone();
    old[4] = 1;
    old[18] = 3;
    fs::write(place.path().join("old"), &old).unwrap();
    for (file, says) in [
        ("text", "not a Linux executable"),
        ("empty", "empty"),
        ("script", "script for /bin/sh"),
        ("arm", "build it for x86_64"),
        ("old", "32-bit"),
    ] {
        let ran = place.run(&["new", file, "-o", "new.toml"]);
        assert_eq!(ran.code, 1, "{file}");
        assert!(
            ran.err.starts_with(&format!("error: {file}: ")) && ran.err.contains(says),
            "{file}: {}",
            ran.err
        );
        assert!(!place.files().contains(&"new.toml".to_owned()), "{file}");
    }
    for command in ["build", "size", "check", "run"] {
        let ran = place.run(&[command, "text.toml"]);
        assert_eq!(ran.code, 1, "{command}");
        assert!(ran.err.contains("not a Linux executable"), "{command}: {}", ran.err);
    }
    assert_eq!(place.files(), ["arm", "empty", "old", "script", "text", "text.toml"]);
}

#[test]
fn what_is_not_there_is_told_with_a_way_out() {
    let place = Place::new();
    place.fails(
        &["size", "nope.toml"],
        1,
        "error: there is no file nope.toml\nhint: `bespoke new PROGRAM` writes a config; `bespoke preset list` lists those that ship",
    );
    place.fails(
        &["size", "hello"],
        1,
        "error: there is no file hello\nhint: did you mean the preset, `preset:hello`?",
    );
    place.fails(
        &["build", "preset:hello", "-o", "/proc/x.img"],
        1,
        "error: /proc/x.img cannot be written: No such file or directory\nhint: nothing was changed there",
    );
    let place =
        place.with("app.toml", "schema = 1\n[program]\npath = \"/nowhere/serve\"\npackage = \"serve\"\n");
    place.fails(
        &["build", "app.toml"],
        1,
        "error: /nowhere/serve is not there\nhint: install serve, the package of Debian and Ubuntu that brings it, or name another program with `path`",
    );
    place.fails(
        &["build", "preset:http-go"],
        1,
        "error: preset:http-go names no program\nhint: `bespoke new PROGRAM --preset http-go` writes a config for yours",
    );
    place.fails(&["new", "no-such-program"], 1, "error: there is no program no-such-program\nhint: give its path, or a name that the shell would find; is it installed?");
}

#[test]
fn wrong_usage_has_status_2() {
    let place = Place::new().with("a.toml", HELLO);
    place.fails(
        &["set", "a.toml", "abi.opne=on"],
        2,
        "error: there is nothing called `abi.opne`\nhint: did you mean `abi.open`?",
    );
    place.fails(
        &["set", "a.toml", "abi.open=maybe"],
        2,
        "error: `abi.open` cannot be `maybe`\nhint: a part is on, off or auto",
    );
    place.fails(
        &["set", "a.toml", "abi.open"],
        2,
        "error: `abi.open` decides nothing\nhint: write abi.open=on, abi.open=off, abi.open=auto, or PARAMETER=VALUE",
    );
    place.fails(
        &["run", "preset:hello", "-p", "80"],
        2,
        "error: `80` does not publish a port\nhint: write HOST:GUEST, such as 8080:80",
    );
    place.fails(
        &["run", "preset:hello", "-m", "3"],
        2,
        "error: 3 is too little memory for a machine\nhint: 1M is the least; write 64M for 64 MiB",
    );
    place.fails(
        &["check", "a.toml", "--max-size", "big"],
        2,
        "error: `big` is not a size\nhint: write a size such as 64KiB or 1MiB",
    );
    place.fails(
        &["a.toml"],
        2,
        "error: the configurator needs a terminal\nhint: for scripts: bespoke set, build, run, size, check; see bespoke --help",
    );
    assert_eq!(place.run(&["frobnicate", "--x"]).code, 2);
}

#[test]
fn new_tells_what_a_dynamic_program_needs() {
    // The shell is the one dynamic program that is everywhere, unless it is static.
    let place = Place::new();
    let Ok(bytes) = fs::read("/bin/ls") else { return };
    if !bytes.windows(9).any(|w| w == b"\0opendir\0") {
        return;
    }
    let made = place.json(&["new", "/bin/ls", "--json"]);
    let has = |key: &str, what: &str| {
        made[key].as_array().unwrap().iter().any(|v| v.as_str().unwrap().contains(what))
    };
    assert!(has("parts", "abi.directories"), "{made}");
    assert!(has("libraries", "libc"), "{made}");
    let config = place.read("ls.toml");
    assert!(config.contains("\"abi.directories\" = true"), "{config}");
    assert!(config.contains("# Each build finds these for it"), "{config}");
    assert_eq!(place.run(&["check", "ls.toml"]).code, 0);
}

#[test]
fn a_copy_means_the_same_elsewhere() {
    let text = "schema = 1\nextends = \"base.toml\"\n[program]\npath = \"bin/app\"\n[files]\n\"/etc/a\" = \"a\"\n\"/etc/b\" = \"/b\"\n";
    let place =
        Place::new().with("app.toml", text).with("base.toml", "schema = 1\nextends = \"preset:hello\"\n");
    assert_eq!(place.run(&["preset", "save", "app.toml", "mine"]).code, 0);
    let saved = place.read(".config/bespoke/presets/mine.toml");
    let dir = place.path().canonicalize().unwrap();
    for path in ["base.toml", "bin/app", "a"] {
        assert!(saved.contains(&format!("\"{}\"", dir.join(path).display())), "{path}: {saved}");
    }
    assert!(saved.contains("\"/b\""), "{saved}");
}

#[test]
fn running_a_program_tells_what_to_do_first() {
    let place = Place::new();
    fs::copy("/proc/self/exe", place.path().join("app")).unwrap();
    let ran = place.run(&["run", "app"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: app is a program, not an image or a config\nhint: to write a config for it: bespoke new app\n"
    );
}

#[test]
fn images_are_named_and_refused_in_words() {
    let place = Place::new().with("app.toml", HELLO).with("noise.tar", "no archive");
    let hint = "hint: write NAME:TAG in lower case, such as registry.example/redis:7";
    place.fails(
        &["build", "app.toml", "--format", "oci", "--tag", "Hello"],
        2,
        &format!("error: `Hello` is not an image's name\n{hint}"),
    );
    place.fails(
        &["build", "app.toml", "--tag", "hello:1"],
        2,
        "error: --tag names an OCI image\nhint: add --format oci",
    );
    place.fails(
        &["new", "--image", "nowhere.tar"],
        1,
        "error: nowhere.tar: the archive cannot be read: No such file or directory\nhint: correct the path, or save the image again",
    );
    place.fails(
        &["new", "--image", "noise.tar"],
        1,
        "error: noise.tar: the archive is cut off or malformed: failed to read entire block\nhint: save the image again",
    );
    place.fails(
        &["new", "--image", "noise.tar", "--max-size", "much"],
        2,
        "error: `much` is not a size\nhint: write a size such as 16G",
    );
    let made = place.json(&["build", "app.toml", "--format", "oci", "--json"]);
    assert_eq!((made["path"].as_str(), made["tag"].as_str()), (Some("app.oci.tar"), Some("app:latest")));
    // A config whose image is not there is told where it says so.
    let place = Place::new().with(
        "app.toml",
        "schema = 1\nextends = \"preset:hello\"\n[image]\narchive = \"gone.tar\"\n[program]\npath = \"/bin/x\"\n",
    );
    let ran = place.run(&["check", "app.toml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no container image gone.tar"), "{}", ran.err);
    assert!(ran.err.contains("archive = \"gone.tar\""), "{}", ran.err);
}
