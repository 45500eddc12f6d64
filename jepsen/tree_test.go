package jepsen

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

// module is the path of the module under test.
const module = "github.com/zerokeeper/zero"

// tree is the source tree, read once for all checks.
type tree struct {
	fsys   fs.FS
	files  []string // every file but those of .git, in lexical order
	nested []string // directories that are modules of their own
	fset   *token.FileSet
	source []sourceFile // the Go files of this module, without testdata
}

// sourceFile is a parsed Go file. Build tags are not looked at: a rule holds for every build.
type sourceFile struct {
	path, dir string // slash-separated, from the root; the root's dir is "."
	test      bool
	ast       *ast.File
}

// notSource are the top-level directories that hold no source: git's own and the build's.
var notSource = []string{".git", "bin"}

func load(fsys fs.FS) (*tree, error) {
	t := &tree{fsys: fsys, fset: token.NewFileSet()}
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains(notSource, p) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			if _, err := fs.Stat(fsys, path.Join(p, "go.mod")); err == nil && p != "." {
				t.nested = append(t.nested, p)
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
		if d.Type().IsRegular() {
			t.files = append(t.files, p)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range t.files {
		if path.Ext(p) != ".go" || t.isNested(p) || slices.Contains(strings.Split(p, "/"), "testdata") {
			continue
		}
		text, err := fs.ReadFile(fsys, p)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(t.fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		t.source = append(t.source, sourceFile{path: p, dir: path.Dir(p), test: strings.HasSuffix(p, "_test.go"), ast: file})
	}
	return t, nil
}

func (t *tree) isNested(p string) bool {
	return slices.ContainsFunc(t.nested, func(dir string) bool { return within(p, dir) })
}

// within tells whether p is dir or below it.
func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// imports calls fn for each import of a file.
func (f sourceFile) imports(fn func(spec *ast.ImportSpec, path string)) {
	for _, spec := range f.ast.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil { // the parser has accepted it
			fn(spec, p)
		}
	}
}

// at is a problem at a place of the tree.
func (t *tree) at(pos token.Pos, format string, args ...any) string {
	p := t.fset.Position(pos)
	return fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// house is the tree that this test belongs to.
func house(t *testing.T) *tree {
	t.Helper()
	tree, err := loadHouse()
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

var loadHouse = sync.OnceValues(func() (*tree, error) {
	root, err := filepath.Abs("..")
	if err != nil {
		return nil, err
	}
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(string(gomod), "module "+module+"\n") {
		return nil, fmt.Errorf("%s is not the root of %s", root, module)
	}
	tree, err := load(os.DirFS(root))
	if err == nil && len(tree.source) < 10 {
		err = fmt.Errorf("only %d Go files were found in %s", len(tree.source), root)
	}
	return tree, err
})

// check is one rule of the house: it returns what breaks it.
type check func(*tree) []string

// obey tests the house.
func obey(t *testing.T, c check) {
	t.Helper()
	for _, problem := range c(house(t)) {
		t.Error(problem)
	}
}

// badCase is a small tree and the one problem in it; without a problem it is a tree that obeys.
type badCase struct {
	name  string
	files map[string]string
	want  string // part of the problem
}

// canFail tests a check: that it finds what it must, and only that.
func canFail(t *testing.T, c check, cases []badCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			fsys := make(fstest.MapFS)
			for name, text := range tt.files {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			tree, err := load(fsys)
			if err != nil {
				t.Fatal(err)
			}
			got := c(tree)
			switch {
			case tt.want == "" && len(got) > 0:
				t.Errorf("a good tree was refused: %q", got)
			case tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)):
				t.Errorf("got %q, want one problem with %q", got, tt.want)
			}
		})
	}
}

func TestLoadSkipsOtherModulesAndTestdata(t *testing.T) {
	file := &fstest.MapFile{Data: []byte("package a\n")}
	tree, err := load(fstest.MapFS{
		"go.mod": file, "fsm/a.go": file, "fsm/testdata/b.go": file, "jepsen/tools/go.mod": file, "jepsen/tools/x/c.go": file,
		"bin/d.go": file, ".git/e.go": file, "agent/f_test.go": file,
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range tree.source {
		got = append(got, fmt.Sprint(f.path, " ", f.test))
	}
	if want := []string{"agent/f_test.go true", "fsm/a.go false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(tree.files) != 6 {
		t.Errorf("files are %q, want all but those of bin and .git", tree.files)
	}
}
