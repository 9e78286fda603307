//! The query's JSON Schema (draft 2020-12), made from the same names that the reader knows.
//!
//! Comes in: nothing. Goes out: a schema that editors and clients can check a body against before it is sent. It is as
//! strict as JSON Schema can be; what depends on several keys together is refused with a reason when it is asked.

use serde_json::{Value, json};

use super::dimension::{Dimension, names};
use super::metric::Metric;
use super::period::Step;
use super::request::MAX_EXPORT;

/// Returns the schema.
pub fn schema() -> Value {
    let metrics: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let range = json!({
        "description": "a keyword that ends today, or first and last date or instant (both included) on the site's clock",
        "anyOf": [
            { "type": "string", "pattern": "^(day|24h|30m|month|year|all|[1-9][0-9]{0,3}d|[1-9][0-9]{0,2}mo)$" },
            { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 2 }
        ]
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "brine query",
        "type": "object",
        "required": ["site_id", "metrics", "date_range"],
        "additionalProperties": false,
        "properties": {
            "site_id": { "type": "string", "description": "a site's id or domain" },
            "metrics": { "type": "array", "items": { "enum": metrics }, "minItems": 1, "uniqueItems": true },
            "date_range": range,
            "dimensions": { "type": "array", "items": { "$ref": "#/$defs/dimension" }, "maxItems": 4, "uniqueItems": true },
            "filters": { "type": "array", "items": { "$ref": "#/$defs/filter" } },
            "order_by": {
                "type": "array",
                "items": {
                    "type": "array",
                    "prefixItems": [{ "type": "string" }, { "enum": ["asc", "desc"] }],
                    "items": false,
                    "minItems": 2
                }
            },
            "include": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "time_labels": { "type": "boolean" },
                    "total_rows": { "type": "boolean" },
                    "comparisons": {
                        "type": "object",
                        "additionalProperties": false,
                        "required": ["mode"],
                        "properties": {
                            "mode": { "enum": ["previous_period", "year_over_year", "custom"] },
                            "date_range": range,
                            "match_day_of_week": { "type": "boolean" }
                        }
                    }
                }
            },
            "pagination": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "limit": { "type": "integer", "minimum": 0, "maximum": MAX_EXPORT },
                    "offset": { "type": "integer", "minimum": 0 }
                }
            }
        },
        "$defs": {
            "dimension": {
                "anyOf": [{ "enum": dimensions() }, { "type": "string", "pattern": "^event:props:." }]
            },
            "filter": {
                "type": "array",
                "anyOf": [
                    { "prefixItems": [{ "enum": ["and", "or"] }, { "type": "array", "items": { "$ref": "#/$defs/filter" }, "minItems": 1 }], "items": false },
                    { "prefixItems": [{ "enum": ["not", "has_done", "has_not_done"] }, { "$ref": "#/$defs/filter" }], "items": false },
                    {
                        "prefixItems": [
                            { "enum": ["is", "is_not", "contains", "contains_not", "matches", "matches_not"] },
                            { "$ref": "#/$defs/dimension" },
                            { "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 500 },
                            { "type": "object", "properties": { "case_sensitive": { "type": "boolean" } }, "additionalProperties": false }
                        ],
                        "items": false,
                        "minItems": 3
                    }
                ]
            }
        }
    })
}

/// Names of all dimensions but properties, as they are read.
fn dimensions() -> Vec<String> {
    let mut known: Vec<String> = names().collect();
    known.push("time".into());
    known.retain(|name| Dimension::parse(name, Step::Day).is_ok());
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_names_every_metric_and_only_dimensions_that_are_read() {
        let schema = schema();
        let metrics = schema["properties"]["metrics"]["items"]["enum"]
            .as_array()
            .unwrap();
        assert_eq!(metrics.len(), Metric::ALL.len());
        let dimensions = schema["$defs"]["dimension"]["anyOf"][0]["enum"]
            .as_array()
            .unwrap();
        assert_eq!(dimensions.len(), names().count() + 1);
        for known in [
            "event:page",
            "visit:utm_term",
            "visit:os_version",
            "time:minute",
            "visit:weekday",
        ] {
            assert!(dimensions.contains(&known.into()), "{known}");
        }
    }
}
