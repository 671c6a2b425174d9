//go:build tools

// Package prometheus names Prometheus, so that go.mod and go.sum hold all that its build needs.
package prometheus

import _ "github.com/prometheus/prometheus/cmd/prometheus"
