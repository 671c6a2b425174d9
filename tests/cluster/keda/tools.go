//go:build tools

// Package keda names KEDA's programs, so that go.mod and go.sum hold all that their build needs.
package keda

import (
	_ "github.com/kedacore/keda/v2/cmd/adapter"
	_ "github.com/kedacore/keda/v2/cmd/operator"
	_ "github.com/kedacore/keda/v2/cmd/webhooks"
)
