//go:build tools

// Package tools keeps in go.mod what is built from here by install.sh.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
