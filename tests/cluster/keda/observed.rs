//! What is seen of a workload that KEDA scales: how many replicas it is to have, change by change;
//! what KEDA's triggers say through the API; what the ScaledObject says of itself.

use std::cell::RefCell;

use futures_util::StreamExt;
use kube::api::WatchParams;
use kube::core::{DynamicObject, WatchEvent};
use serde_json::Value;

use super::shipped::pace;
use crate::chain::stage::{Stage, within};
use crate::chain::thousandths;

/// The workload `command` and its ScaledObject.
pub(crate) struct Observed<'a> {
    stage: &'a Stage,
    replicas: RefCell<Vec<i64>>,
}

impl<'a> Observed<'a> {
    pub(crate) fn of(stage: &'a Stage) -> Self {
        Self { stage, replicas: RefCell::default() }
    }

    /// Notes each change of the number of replicas, however short it lasts. Never ends.
    pub(crate) async fn note(&self) {
        let namespace = self.stage.place.namespace;
        let deployments = self.stage.cluster.api(namespace, "apps/v1", "Deployment").await;
        let command = WatchParams::default().fields("metadata.name=command");
        loop {
            let mut changes = deployments.watch(&command, "0").await.unwrap().boxed();
            while let Some(change) = changes.next().await {
                let (WatchEvent::Added(command) | WatchEvent::Modified(command)) = change.unwrap()
                else {
                    continue;
                };
                let replicas = command.data["spec"]["replicas"].as_i64().unwrap();
                if self.replicas.borrow().last() != Some(&replicas) {
                    self.stage.say(&format!("replicas: {replicas}"));
                    self.replicas.borrow_mut().push(replicas);
                }
            }
        }
    }

    /// The numbers of replicas since this was last asked, beginning with the one at that time.
    pub(crate) fn replicas(&self) -> Vec<i64> {
        let mut replicas = self.replicas.borrow_mut();
        let last = replicas.last().copied();
        std::mem::replace(&mut *replicas, last.into_iter().collect())
    }

    /// Waits for a number of replicas.
    pub(crate) async fn becomes(&self, replicas: i64) {
        within(pace().1, &format!("{replicas} replicas"), async || {
            (self.replicas.borrow().last() == Some(&replicas)).then_some(())
        })
        .await;
    }

    /// What the triggers say: requests under way, and requests a second. The error is that of the
    /// metrics API.
    pub(crate) async fn values(&self) -> Result<[f64; 2], String> {
        let names = &self.scaled_object().await.data["status"]["externalMetricNames"];
        let names: Vec<String> = serde_json::from_value(names.clone()).unwrap_or_default();
        let [under_way, rate] = names.as_slice() else { return Err(format!("{names:?}")) };
        Ok([self.value(under_way).await?, self.value(rate).await?])
    }

    async fn value(&self, metric: &str) -> Result<f64, String> {
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{metric}?labelSelector=scaledobject.keda.sh%2Fname%3Dcommand",
            self.stage.place.namespace
        );
        let request = hyper::Request::get(path).body(Vec::new()).unwrap();
        let answer = self.stage.cluster.client.request::<Value>(request).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let value = &answer["items"][0]["value"];
        let thousandths = thousandths(value).ok_or_else(|| format!("{metric}: {answer}"))?;
        Ok(f64::from(u32::try_from(thousandths).unwrap()) / 1000.0)
    }

    /// Waits until both are as expected, within a tenth.
    pub(crate) async fn says(&self, expected: [f64; 2]) -> [f64; 2] {
        let is_near = |(value, expected): (f64, f64)| (value - expected).abs() <= expected / 10.0;
        within(pace().1, &format!("the triggers say {expected:?}"), async || {
            let values = self.values().await.ok()?;
            values.into_iter().zip(expected).all(is_near).then_some(values)
        })
        .await
    }

    /// Waits until a condition of the ScaledObject has a status.
    pub(crate) async fn is(&self, condition: &str, status: &str) {
        within(pace().1, &format!("{condition} is {status}"), async || {
            let object = self.scaled_object().await;
            let conditions = object.data["status"]["conditions"].as_array()?;
            conditions
                .iter()
                .any(|one| one["type"] == condition && one["status"] == status)
                .then_some(())
        })
        .await;
    }

    /// Events of the ScaledObject with a reason.
    pub(crate) async fn told(&self, reason: &str) -> Vec<String> {
        let events = self.stage.events("ScaledObject", "command").await;
        events.into_iter().filter(|(why, _)| why == reason).map(|(_, message)| message).collect()
    }

    async fn scaled_object(&self) -> DynamicObject {
        let namespace = self.stage.place.namespace;
        let objects = self.stage.cluster.api(namespace, "keda.sh/v1alpha1", "ScaledObject").await;
        objects.get("command").await.unwrap()
    }
}
