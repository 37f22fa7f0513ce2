//! The JSON documents of images: what we take from them. Docker's and the image specification's differ in media types only.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// Docker and older tools write `null` where they mean nothing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// Points at a document or layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) platform: Option<Platform>,
}

/// What a document or layer is made for.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Platform {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) os: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) variant: String,
}

/// `index.json`, and the indexes that it leads to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) manifests: Vec<Descriptor>,
}

/// A manifest: a configuration and layers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    pub(super) config: Descriptor,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) layers: Vec<Descriptor>,
}

/// An image of `manifest.json`, as `docker save` writes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Saved {
    pub(super) config: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) layers: Vec<String>,
}

/// An image's configuration.
#[derive(Debug, Deserialize)]
pub(super) struct Configuration {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) os: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) config: Start,
    #[serde(default)]
    pub(super) rootfs: RootFs,
}

/// The layers' contents.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) diff_ids: Vec<String>,
}

/// How a container of an image is started.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Start {
    /// The user, by name or number, and perhaps a group behind a colon.
    #[serde(default, deserialize_with = "or_default")]
    pub user: String,
    /// The environment, as `NAME=value`.
    #[serde(default, deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// The command, before [`Start::cmd`].
    #[serde(default, deserialize_with = "or_default")]
    pub entrypoint: Vec<String>,
    /// The command, or its default arguments.
    #[serde(default, deserialize_with = "or_default")]
    pub cmd: Vec<String>,
    /// The working directory.
    #[serde(default, deserialize_with = "or_default")]
    pub working_dir: String,
    #[serde(default, deserialize_with = "or_default")]
    exposed_ports: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "or_default")]
    volumes: BTreeMap<String, serde::de::IgnoredAny>,
    /// The signal that asks it to end.
    #[serde(default, deserialize_with = "or_default")]
    pub stop_signal: String,
}

impl Start {
    /// The ports that it listens at, such as `6379/tcp`.
    pub fn ports(&self) -> impl Iterator<Item = &str> {
        self.exposed_ports.keys().map(String::as_str)
    }

    /// The folders that it wants to keep.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.keys().map(String::as_str)
    }
}
