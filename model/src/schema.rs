//! A JSON schema of the config, so that editors complete and check it.

use serde_json::{Map, Value as Json, json};

use crate::decision::Decision;
use crate::tree::{Kind, Tree, last_part};
use crate::value::{ParamType, Value};

impl Tree {
    /// The schema (draft 2020-12) of a config for this tree.
    pub fn json_schema(&self) -> Json {
        let mut ids = Map::new();
        for n in self.nodes() {
            let node = self.node(n);
            let about = format!("{}: {}", node.title, node.help);
            match node.kind {
                Kind::Menu => {}
                Kind::Component => {
                    // What is core can only be said to be on; a member is picked at its choice, and may be pinned.
                    let mut schema = json!({ "type": "boolean", "description": about });
                    if node.core.is_some() {
                        schema["const"] = json!(true);
                    }
                    ids.insert(node.id.clone(), schema);
                }
                Kind::Choice => {
                    let names: Vec<&str> =
                        node.children.iter().map(|m| last_part(&self.node(*m).id)).collect();
                    let default = node.default_member.map(|m| last_part(&self.node(m).id));
                    ids.insert(
                        node.id.clone(),
                        json!({ "enum": names, "default": default, "description": about }),
                    );
                }
            }
            for p in &node.params {
                let param = self.param(*p);
                let mut schema = type_schema(&param.ty);
                schema["description"] = json!(format!("{} ({})", param.help, param.ty.describe()));
                schema["default"] = json!(Decision::from(&param.default));
                ids.insert(param.id.clone(), schema);
            }
        }
        let text = |about: &str| json!({ "type": "string", "description": about });
        let texts =
            |about: &str| json!({ "type": "array", "items": { "type": "string" }, "description": about });
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Bespoke config",
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "schema": { "type": "integer", "minimum": 1, "maximum": crate::SCHEMA, "description": "The version of the format." },
                "name": text("A name for the config."),
                "extends": text("Decisions of a preset (`preset:NAME`) or of another file, below these."),
                "program": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["path"],
                    "properties": {
                        "path": text("The program's file, relative to this one, or `demo:NAME`."),
                        "root": text("A folder with the root of the program's system, relative to this file: `path` and its libraries are paths in it."),
                        "args": texts("Its arguments, without its own name."),
                        "env": { "type": "array", "items": { "type": "string", "pattern": "^[^=]+=" }, "description": "Its environment, as NAME=value." },
                        "cwd": { "type": "string", "pattern": "^/", "description": "Its working directory in the guest." },
                        "user": { "type": "string", "pattern": "^([0-9]+|[A-Za-z_][A-Za-z0-9_.-]*)(:([0-9]+|[A-Za-z_][A-Za-z0-9_.-]*))?$", "description": "Whom it runs as: user or user:group, each a number or a name of the image's /etc/passwd and /etc/group." },
                        "hostname": { "type": "string", "pattern": "^[A-Za-z0-9.-]{1,64}$", "description": "The name of the machine." },
                        "package": { "type": "string", "pattern": "^[a-z0-9+.-]{2,}$", "description": "The package of Debian and Ubuntu that brings the program." }
                    }
                },
                "image": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["archive"],
                    "description": "A container image that the program and its files come from.",
                    "properties": {
                        "archive": text("What `docker save` wrote, or an OCI layout; relative to this file."),
                        "tag": text("The image's name, when there are several."),
                        "id": { "type": "string", "pattern": "^sha(256|512):[0-9a-f]+$", "description": "The image's id; a build refuses any other." },
                        "files": { "type": "array", "items": { "type": "string", "pattern": "^/" }, "description": "What of the image is packed besides the program and its libraries." },
                        "folders": { "type": "array", "items": { "type": "string", "pattern": "^/" }, "description": "Folders that are there without what is in them." },
                        "without": { "type": "array", "items": { "type": "string", "pattern": "^/" }, "description": "What of that is not." },
                        "max-size": { "type": ["string", "integer"], "description": "How many bytes it may unpack to." },
                        "max-files": { "type": "integer", "minimum": 1, "description": "How many files it may have." }
                    }
                },
                "files": {
                    "type": "object",
                    "description": "Files to pack: guest path = host path, relative to this file.",
                    "propertyNames": { "pattern": "^/" },
                    "additionalProperties": { "type": "string", "minLength": 1 }
                },
                "text": {
                    "type": "object",
                    "description": "Small files that stand here: guest path = contents.",
                    "propertyNames": { "pattern": "^/" },
                    "additionalProperties": { "type": "string" }
                },
                "set": { "$ref": "#/$defs/decisions", "description": "What you pinned." },
                "fit": { "$ref": "#/$defs/decisions", "description": "What fitting proposed; weaker than [set]." }
            },
            "$defs": { "decisions": { "type": "object", "additionalProperties": false, "properties": ids } }
        })
    }
}

fn type_schema(ty: &ParamType) -> Json {
    match ty {
        ParamType::Bool => json!({ "type": "boolean" }),
        ParamType::Int { min, max, step } => {
            let mut schema = json!({ "type": "integer", "minimum": min, "maximum": max });
            // Steps count from `min`; the schema language counts from zero.
            if *step > 1 && i128::from(*min) % i128::from(*step) == 0 {
                schema["multipleOf"] = json!(step);
            }
            schema
        }
        ParamType::Size { .. } => {
            json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+ ?([KMGT]i?)?B?$" }] })
        }
        ParamType::Duration { .. } => {
            json!({ "type": "string", "pattern": "^([0-9]+ ?(ns|us|ms|s|m|min|h))+$" })
        }
        ParamType::Str { pattern: None } => json!({ "type": "string" }),
        ParamType::Str { pattern: Some(p) } => json!({ "type": "string", "pattern": format!("^(?:{p})$") }),
        ParamType::Enum { values } => json!({ "enum": values }),
        ParamType::Ipv4 => json!({ "type": "string", "format": "ipv4" }),
        ParamType::Ipv6 => json!({ "type": "string", "format": "ipv6" }),
        ParamType::Cidr => json!({ "type": "string", "pattern": "^[0-9A-Fa-f:.]+/[0-9]{1,3}$" }),
        ParamType::Mac => json!({ "type": "string", "pattern": "^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$" }),
    }
}

impl serde::Serialize for ParamType {
    /// `{"type": "size", "min": "4KiB", …}`: what the declaration says, with the bounds that were left open left out.
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut out = Map::new();
        out.insert("type".into(), json!(self.name()));
        let mut put = |key: &str, value: Json| drop(out.insert(key.into(), value));
        match self {
            ParamType::Int { min, max, step } => {
                if *min != i64::MIN {
                    put("min", json!(min));
                }
                if *max != i64::MAX {
                    put("max", json!(max));
                }
                if *step > 1 {
                    put("step", json!(step));
                }
            }
            ParamType::Size { min, max, step } => {
                if *min != 0 {
                    put("min", json!(Value::Size(*min)));
                }
                if *max != u64::MAX {
                    put("max", json!(Value::Size(*max)));
                }
                if *step > 1 {
                    put("step", json!(Value::Size(*step)));
                }
            }
            ParamType::Duration { min, max } => {
                if *min != 0 {
                    put("min", json!(Value::Duration(*min)));
                }
                if *max != u64::MAX {
                    put("max", json!(Value::Duration(*max)));
                }
            }
            ParamType::Str { pattern: Some(p) } => put("pattern", json!(p)),
            ParamType::Enum { values } => put("values", json!(values)),
            _ => {}
        }
        Json::Object(out).serialize(s)
    }
}
