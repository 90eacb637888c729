package manifests

import "embed"

// Rights are the files with what the server may do: its Roles, what the cluster grants it, and what
// it needs beside that to keep its own certificate.
//
//go:embed base/rbac.yaml cluster/base/roles.yaml components/self-managed-cert/rbac.yaml
var Rights embed.FS
