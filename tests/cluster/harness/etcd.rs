//! What lies in etcd, behind the API server's back: keys and values in, the same out. For what the
//! API server would not do: forget its past, store what it would refuse, or 50,000 objects in
//! seconds. It notices at once, for it watches etcd.

use futures_util::StreamExt;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::plane::{ETCD_ADDRESS, Plane};
use crate::http;

impl Plane {
    /// Has etcd forget all revisions but the last, so that a watch cannot go on from an older one.
    pub(crate) async fn compact(&self) {
        let range = post("range", &json!({"key": base64(b"\0")})).await;
        let revision = &range["header"]["revision"];
        let done = post("compaction", &json!({"revision": revision, "physical": true})).await;
        assert!(done["header"].is_object(), "etcd did not compact: {done}");
    }

    /// What is stored of a custom resource: JSON.
    pub(crate) async fn stored(&self, plural: &str, group: &str, name: &str) -> Value {
        let key = format!("/registry/{group}/{plural}/{name}");
        let answer = post("range", &json!({"key": base64(key.as_bytes())})).await;
        let value: ByteString = serde_json::from_value(answer["kvs"][0]["value"].clone())
            .unwrap_or_else(|_| panic!("etcd has no {key}: {answer}"));
        serde_json::from_slice(&value.0).unwrap()
    }

    /// Stores custom resources, each under `namespace/name`.
    pub(crate) async fn store(
        &self,
        plural: &str,
        group: &str,
        objects: impl Iterator<Item = (String, Value)>,
    ) {
        let puts = objects.map(|(name, object)| {
            let key = format!("/registry/{group}/{plural}/{name}");
            let value = base64(object.to_string().as_bytes());
            json!({"requestPut": {"key": base64(key.as_bytes()), "value": value}})
        });
        // One in a transaction, as the API server has it: a watch goes on behind a revision, so of
        // several objects in one revision it would lose those that had not yet been told.
        let storing = puts.map(|put| async move {
            let done = post("txn", &json!({"success": [put]})).await;
            assert_eq!(done["succeeded"], true, "{done}");
        });
        futures_util::stream::iter(storing).buffer_unordered(32).for_each(async |()| ()).await;
    }
}

async fn post(what: &str, request: &Value) -> Value {
    let body = request.to_string();
    let length = format!("Content-Length: {}", body.len());
    let line = format!("POST /v3/kv/{what} HTTP/1.1");
    let answer = http::request_with_body(ETCD_ADDRESS, &line, &[&length], &body).await;
    assert_eq!(answer.status(), 200, "{what}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn base64(bytes: &[u8]) -> Value {
    json!(ByteString(bytes.to_vec()))
}
