//go:build tools

// Package helm names Helm, so that go.mod and go.sum hold all that its build needs.
package helm

import _ "helm.sh/helm/v3/cmd/helm"
