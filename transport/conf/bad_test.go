package conf

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden error texts")

// TestBad holds the texts of errors to testdata/bad/*.err.
func TestBad(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(content, Options{})
			if err == nil {
				t.Fatal("accepted")
			}
			got := []byte(err.Error() + "\n")
			golden := strings.TrimSuffix(file, ".yaml") + ".err"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			for _, secret := range []string{"S3cr3t", "Pa55", "4711471147"} {
				if bytes.Contains(got, []byte(secret)) {
					t.Errorf("the error shows %s:\n%s", secret, got)
				}
			}
			// Development mode checks the same values and keeps the same secrets.
			if _, err := Parse(content, Options{Dev: true}); err != nil && (strings.Contains(err.Error(), "S3cr3t") || strings.Contains(err.Error(), "4711471147")) {
				t.Errorf("in development mode: %v", err)
			}
		})
	}
}
