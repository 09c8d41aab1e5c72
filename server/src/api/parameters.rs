//! Parameters of the query, decoded strictly: an error names the parameter that it is about.

use crate::problem::{ApiError, Kind};
use actix_web::{FromRequest, HttpRequest, dev::Payload};
use serde::de::DeserializeOwned;
use std::{
    future::{Ready, ready},
    ops::Deref,
};

/// What a request's query says.
pub(super) struct Query<T>(T);

impl<T> Query<T> {
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Query<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

fn decode<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = || serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    // Which parameter an error is about is followed only where there is one.
    T::deserialize(pairs()).or_else(|_| {
        serde_path_to_error::deserialize(pairs()).map_err(|error| {
            let (name, what) = (error.path().to_string(), error.inner());
            // What is about no single parameter names those that it is about.
            let about = if name == "." { String::new() } else { format!("{name}: ") };
            ApiError::new(Kind::InvalidParameter, format!("{about}{what}"))
        })
    })
}

impl<T: DeserializeOwned> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(decode(request.query_string()).map(Self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        method: String,
        limit: Option<u64>,
        #[serde(default)]
        proof: bool,
    }

    #[test]
    fn an_error_names_its_parameter() {
        for (query, told) in [
            ("method=a&limit=x", "limit: invalid digit found in string"),
            ("method=a&limit=-1", "limit: invalid digit found in string"),
            ("method=a&limit=", "limit: cannot parse integer from empty string"),
            ("method=a&limit=18446744073709551616", "limit: number too large to fit in target type"),
            ("method=a&proof=yes", "proof: provided string was not `true` or `false`"),
            ("method=a&limt=1", "limt: unknown field `limt`, expected one of `method`, `limit`, `proof`"),
            ("limit=1", "missing field `method`"),
            ("method=a&method=b", "duplicate field `method`"),
        ] {
            let error = decode::<Asked>(query).map_err(|error| error.detail().to_owned());
            let error = error.expect_err(query);
            // A parameter may be named by the path, by the text, or by both.
            assert!(error == told || error.ends_with(told), "{query}: {error}");
        }
        let asked = decode("method=a%20b&limit=3").ok();
        assert_eq!(asked, Some(Asked { method: "a b".into(), limit: Some(3), proof: false }));
    }
}
