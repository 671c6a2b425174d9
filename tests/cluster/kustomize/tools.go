//go:build tools

// Package kustomize names kustomize, so that go.mod and go.sum hold all that its build needs.
package kustomize

import _ "sigs.k8s.io/kustomize/kustomize/v5"
