//! One decision.

use std::fmt;

use serde::Serialize;

use crate::reader::Scalar;
use crate::value::Value;

/// A decision as it is written: on or off, a member's name, a parameter's value. Which of them it is, the tree knows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub enum Decision {
    /// A component on or off, or the value of a bool parameter.
    Bool(bool),
    /// The value of a parameter that is a number.
    Int(i64),
    /// The last part of a member's id, or the value of any other parameter.
    Text(String),
}

impl Decision {
    /// A component turned on.
    pub const ON: Decision = Decision::Bool(true);
    /// A component turned off.
    pub const OFF: Decision = Decision::Bool(false);

    pub(crate) fn scalar(&self) -> Scalar {
        match self {
            Decision::Bool(v) => Scalar::Bool(*v),
            Decision::Int(v) => Scalar::Int(*v),
            Decision::Text(v) => Scalar::Text(v.clone()),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Bool(true) => f.write_str("on"),
            Decision::Bool(false) => f.write_str("off"),
            Decision::Int(v) => write!(f, "{v}"),
            Decision::Text(v) => f.write_str(v),
        }
    }
}

impl From<bool> for Decision {
    fn from(on: bool) -> Decision {
        Decision::Bool(on)
    }
}

impl From<&str> for Decision {
    fn from(text: &str) -> Decision {
        Decision::Text(text.to_string())
    }
}

impl From<&Value> for Decision {
    /// A value as a config would have it: numbers and truth bare, everything else as its canonical text.
    fn from(value: &Value) -> Decision {
        match value {
            Value::Bool(v) => Decision::Bool(*v),
            Value::Int(v) => Decision::Int(*v),
            other => Decision::Text(other.to_string()),
        }
    }
}

impl From<Scalar> for Decision {
    fn from(scalar: Scalar) -> Decision {
        match scalar {
            Scalar::Bool(v) => Decision::Bool(v),
            Scalar::Int(v) => Decision::Int(v),
            Scalar::Text(v) => Decision::Text(v),
        }
    }
}
