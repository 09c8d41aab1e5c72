//! What the methods of built-in contracts take, for people to read: the words of [`super::Detail::Expected`].

pub(super) fn form(contract: &str, method: &str) -> Option<&'static str> {
    Some(match (contract, method) {
        (_, "claim") => r#"{"account": address, "asset", "item"?: the item}"#,
        (_, "owed") => r#"{"account"?: address}"#,
        ("auction", "create") => {
            r#"{"item": {"asset", "item"}, "currency", "ends": time, "reserve", "minimum_increment", "starting_price"?, "buy_now"?, "bidders"?: "any" or {"organizations": [...]}, "exclude_sellers_organization"?: true}, amounts as strings"#
        }
        ("auction", "bid") => r#"{"amount": "123"}"#,
        ("auction", "bids") => r#"{"from"?: number of the first bid}"#,
        ("auction", "buy_now" | "cancel" | "settle" | "state") | ("lending", "desk") => "{}",
        ("lending", "create") => {
            r#"{"currencies": [asset, ...], "grace_seconds": number, "registrars": [organization, ...]}"#
        }
        ("lending", "register_borrower") => r#"{"borrower": address, "evidence"?: hash}"#,
        ("lending", "request") => {
            r#"{"loan", "asset", "amount": "1", "term_seconds": 1, "installments": 1, "rate_max_bps": 1, "quote_deadline": time, "collateral"?: {"units": {"asset", "amount"}} or {"item": {"asset", "item"}}, "lenders"?: "any" or {"organizations": [...]}, "controller_may_quote"?: true}"#
        }
        ("lending", "quote") => r#"{"loan", "rate_bps": number}"#,
        ("lending", "repay") => r#"{"loan", "amount"?: "123"}"#,
        ("lending", "cancel" | "withdraw_quote" | "award" | "review" | "quotes") => r#"{"loan"}"#,
        ("lending", "loan") => r#"{"loan", "at"?: time}"#,
        ("lending", "loans") => r#"{"borrower": address, "from"?: loan}"#,
        ("lending", "credit") => r#"{"borrower": address}"#,
        _ => return None,
    })
}
