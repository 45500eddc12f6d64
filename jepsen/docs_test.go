package jepsen

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// documented: a package says once what it is, in doc.go (a program may do it in main.go), and says why in DESIGN.md.
func documented(t *tree) []string {
	type pkg struct {
		name string
		docs []sourceFile
	}
	pkgs := make(map[string]*pkg)
	for _, f := range t.source {
		p := pkgs[f.dir]
		if p == nil {
			p = &pkg{}
			pkgs[f.dir] = p
		}
		if !f.test || p.name == "" {
			p.name = strings.TrimSuffix(f.ast.Name.Name, "_test")
		}
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" { // directives are no text
			p.docs = append(p.docs, f)
		}
	}
	var bad []string
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		p := pkgs[dir]
		if len(p.docs) == 0 {
			bad = append(bad, fmt.Sprintf("%s: package %s has no package comment: it belongs into doc.go", dir, p.name))
		}
		if len(p.docs) > 1 {
			names := make([]string, 0, len(p.docs))
			for _, f := range p.docs {
				names = append(names, path.Base(f.path))
			}
			bad = append(bad, fmt.Sprintf("%s: package %s has %d package comments, in %s", dir, p.name, len(p.docs), strings.Join(names, ", ")))
		}
		if len(p.docs) == 1 {
			bad = append(bad, badComment(t, p.name, p.docs[0])...)
		}
		if p.name == "main" {
			continue
		}
		if text, err := fs.ReadFile(t.fsys, path.Join(dir, "DESIGN.md")); err != nil || len(strings.TrimSpace(string(text))) == 0 {
			bad = append(bad, fmt.Sprintf("%s: package %s has no DESIGN.md that says why it is as it is", dir, p.name))
		}
	}
	return bad
}

func badComment(t *tree, name string, f sourceFile) []string {
	if base := path.Base(f.path); base != "doc.go" && (name != "main" || base != "main.go") {
		return []string{t.at(f.ast.Package, "the package comment belongs into doc.go")}
	}
	if text := f.ast.Doc.Text(); name != "main" && !strings.HasPrefix(text, "Package "+name+" ") {
		return []string{t.at(f.ast.Package, "the package comment does not begin with %q", "Package "+name+" ")}
	}
	return nil
}

func TestPackagesAreDocumented(t *testing.T) { obey(t, documented) }

func TestDocumentedCanFail(t *testing.T) {
	const doc, design = "// Package fsm is pure.\npackage fsm\n", "# why\n"
	canFail(t, documented, []badCase{
		{name: "good", files: map[string]string{"fsm/doc.go": doc, "fsm/a.go": "//go:build linux\n\npackage fsm\n", "fsm/DESIGN.md": design}},
		{name: "no comment", files: map[string]string{"fsm/doc.go": "package fsm\n", "fsm/DESIGN.md": design}, want: "no package comment"},
		{name: "a comment that is none", files: map[string]string{"fsm/doc.go": "// Package fsm is pure.\n\npackage fsm\n", "fsm/DESIGN.md": design}, want: "no package comment"},
		{name: "two comments", files: map[string]string{"fsm/doc.go": doc, "fsm/a.go": doc, "fsm/DESIGN.md": design}, want: "2 package comments, in a.go, doc.go"},
		{name: "one in a test", files: map[string]string{"fsm/doc.go": doc, "fsm/a_test.go": "// A test.\npackage fsm\n", "fsm/DESIGN.md": design}, want: "2 package comments"},
		{name: "in another file", files: map[string]string{"fsm/a.go": doc, "fsm/DESIGN.md": design}, want: "belongs into doc.go"},
		{name: "in main.go of no program", files: map[string]string{"fsm/main.go": doc, "fsm/DESIGN.md": design}, want: "belongs into doc.go"},
		{name: "of another package", files: map[string]string{"fsm/doc.go": "// Package wire frames.\npackage fsm\n", "fsm/DESIGN.md": design}, want: `"Package fsm "`},
		{name: "no DESIGN.md", files: map[string]string{"fsm/doc.go": doc}, want: "no DESIGN.md"},
		{name: "empty DESIGN.md", files: map[string]string{"fsm/doc.go": doc, "fsm/DESIGN.md": "\n"}, want: "no DESIGN.md"},
		{name: "program", files: map[string]string{"cli/zeroctl/main.go": "// Zeroctl is for operators.\npackage main\n"}},
		{name: "program without a comment", files: map[string]string{"cli/zeroctl/main.go": "package main\n"}, want: "no package comment"},
		{name: "only tests", files: map[string]string{"jepsen/e2e/a_test.go": "package e2e_test\n", "jepsen/e2e/DESIGN.md": design}, want: "package e2e has no package comment"},
	})
}
