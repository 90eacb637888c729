package main

import (
	"bytes"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
)

// sbom lists what the image is made of, as CycloneDX: the module that it is built from, each module
// that is linked into it, and Go itself. It is what the linker has written into the program, so that
// it holds no module that is not there. It has neither serial number nor date: one commit, one text.
func (p *programs) sbom() ([]byte, error) {
	self := cyclonedx.Component{
		BOMRef: "shardscaler", Type: cyclonedx.ComponentTypeContainer, Name: "shardscaler", Version: p.version,
		Licenses:   &cyclonedx.Licenses{{License: &cyclonedx.License{ID: "Apache-2.0"}}},
		Properties: &[]cyclonedx.Property{{Name: "revision", Value: p.commit.hash}, {Name: "platform", Value: system + "/" + p.arch}},
	}
	parts := []cyclonedx.Component{library("std", strings.TrimPrefix(p.info.GoVersion, "go"), "")}
	for _, m := range p.info.Deps {
		parts = append(parts, module(m))
	}
	refs := make([]string, 0, len(parts))
	for _, c := range parts {
		refs = append(refs, c.BOMRef)
	}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Component: &self}
	bom.Components = &parts
	bom.Dependencies = &[]cyclonedx.Dependency{{Ref: self.BOMRef, Dependencies: &refs}}
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom); err != nil {
		return nil, fmt.Errorf("write the SBOM: %w", err)
	}
	return b.Bytes(), nil
}

// module is a component that is linked into the program: what replaces it, where something does.
func module(m *debug.Module) cyclonedx.Component {
	if m.Replace != nil {
		m = m.Replace
	}
	return library(m.Path, m.Version, m.Sum)
}

// library is a Go module by its package URL; sum is what go.sum has of it, or empty.
func library(path, version, sum string) cyclonedx.Component {
	purl := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	c := cyclonedx.Component{BOMRef: purl, PackageURL: purl, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version}
	if sum != "" {
		c.Properties = &[]cyclonedx.Property{{Name: "go.sum", Value: sum}}
	}
	return c
}
