//! When a top-level site synchronizes by itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When a top-level site synchronizes by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Schedule {}
