//! The objects of Kong's tutorial, as they stand there.
#![allow(unreachable_pub)] // each test file uses its part

/// What is to be measured.
pub const EXTENSION: &str = "\
kind: DataPlaneMetricsExtension
apiVersion: gateway-operator.konghq.com/v1alpha1
metadata:
  name: kong
  namespace: kong
spec:
  serviceSelector:
    matchNames:
    - name: command
  config:
    latency: true
";

/// What attaches it under Kong Operator 2.
pub const V2BETA1: &str = "\
kind: GatewayConfiguration
apiVersion: gateway-operator.konghq.com/v2beta1
metadata:
  name: kong
  namespace: kong
spec:
  extensions:
  - kind: DataPlaneMetricsExtension
    group: gateway-operator.konghq.com
    name: kong
";

/// What attaches it under Kong Gateway Operator 1.
pub const V1BETA1: &str = "\
kind: GatewayConfiguration
apiVersion: gateway-operator.konghq.com/v1beta1
metadata:
  name: kong
  namespace: kong
spec:
  controlPlaneOptions:
    extensions:
    - kind: DataPlaneMetricsExtension
      group: gateway-operator.konghq.com
      name: kong
";
