//go:build tools

// Package adapter names prometheus-adapter, so that go.mod and go.sum hold all that its build needs.
package adapter

import _ "sigs.k8s.io/prometheus-adapter/cmd/adapter"
