//go:build tools

// Package kic names the Kong Ingress Controller, so that go.mod and go.sum hold all that its build needs.
package kic

import _ "github.com/kong/kubernetes-ingress-controller/v3/internal/cmd"
