//! What is said of a route: how it is asked, who may, what it takes and answers.

/// What a route is asked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Asks.
    Get,
    /// Posts.
    Post,
}

impl Method {
    /// As in HTTP.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it says.
    pub description: &'static str,
}

/// What is answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Media types with the schema of each; an empty schema is bytes.
    pub content: &'static [(&'static str, &'static str)],
}

/// A route.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}`.
    pub path: &'static str,
    /// A unique name for client generators.
    pub operation: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Who may.
    pub needs: &'static str,
    /// Parameters of the query.
    pub parameters: &'static [Parameter],
    /// Media types that it takes, with the schema of each.
    pub body: &'static [(&'static str, &'static str)],
    /// What it answers if nothing is wrong.
    pub answers: &'static [Answer],
    /// Makes the handler.
    pub handler: fn() -> actix_web::Route,
}
