// Package lint shows that the rules of .golangci.yml fire: a checker that nobody checked is decoration.
package lint

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/compat/install"
)

// files is a small module that breaks one rule in each, and some that break none.
var files = map[string]string{
	"go.mod": "module github.com/millrace/millrace\n\ngo 1.26.0\n",

	"engine/partition/clock.go":  "package partition\n\nimport \"time\"\n\nfunc Age(t time.Time) time.Duration { return time.Since(t) }\n",
	"engine/group/dice.go":       "package group\n\nimport \"math/rand/v2\"\n\nfunc Name() int { return rand.Int() }\n",
	"engine/cluster/disk.go":     "package cluster\n\nimport \"os\"\n\nfunc Load(name string) ([]byte, error) { return os.ReadFile(name) }\n",
	"engine/cluster/lock.go":     "package cluster\n\nimport \"sync\"\n\ntype Image struct{ Once sync.Once }\n",
	"engine/shard/lock.go":       "package shard\n\nimport \"sync\"\n\ntype Shard struct{ Lock sync.Mutex }\n",
	"engine/shard/excuse.go":     "package shard\n\nimport \"sync\"\n\ntype Queue struct {\n\tLock sync.Mutex //nolint:forbidigo\n}\n",
	"engine/shard/sleep_test.go": "package shard\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestNap(t *testing.T) { time.Sleep(1) }\n",
	"engine/shard/long.go":       "package shard\n\nfunc Long() (n int) {\n" + strings.Repeat("\tn++\n", 71) + "\treturn n\n}\n",
	"engine/shard/unlooked.go":   "package shard\n\nimport \"os\"\n\nfunc Drop() { os.Remove(\"x\") }\n",

	"engine/shard/fine.go": "package shard\n\nimport (\n\t\"sync\"\n\t\"time\"\n)\n\n// Fine may read a clock: it is not pure.\nfunc Fine() time.Time { return time.Now() }\n\n" +
		"type Excused struct {\n\tLock sync.Mutex //nolint:forbidigo // two goroutines of the standard library meet here\n}\n",
	"engine/partition/fine.go":      "package partition\n\nimport \"time\"\n\n// Fine is told the time.\nfunc Fine(now time.Time) time.Time { return now.Add(time.Second) }\n",
	"engine/partition/fine_test.go": "package partition\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestFine(t *testing.T) { Fine(time.Now()) }\n",
}

// fires are the words of the complaint about each file; a file that is not here must have none.
var fires = map[string]string{
	"engine/partition/clock.go":  "a pure package is told the time",
	"engine/group/dice.go":       "a pure package is told its random numbers",
	"engine/cluster/disk.go":     "a pure package does no I/O",
	"engine/cluster/lock.go":     "a pure package has one caller at a time",
	"engine/shard/lock.go":       "one owner goroutine",
	"engine/shard/excuse.go":     "should provide explanation",
	"engine/shard/sleep_test.go": "wait for the event",
	"engine/shard/long.go":       "is too long",
	"engine/shard/unlooked.go":   "is not checked",
}

func TestEveryRuleFires(t *testing.T) {
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	complaints := map[string][]string{}
	for line := range strings.Lines(golangci(t, dir)) {
		if file, words, ok := strings.Cut(line, ":"); ok && strings.HasSuffix(file, ".go") {
			_, file, _ = strings.Cut(file, filepath.Base(filepath.Dir(dir))+"/"+filepath.Base(dir)+"/") // as the rules' folder sees it
			complaints[file] = append(complaints[file], strings.TrimSpace(words))
		}
	}
	for file, words := range fires {
		if !strings.Contains(strings.Join(complaints[file], "\n"), words) {
			t.Errorf("%s: no complaint with %q, only %q", file, words, complaints[file])
		}
	}
	for file, words := range complaints {
		if fires[file] == "" {
			t.Errorf("%s is fine, and yet: %q", file, words)
		}
	}
}

// golangci runs the linter that `make lint` installed, with the project's rules, and answers what it says.
func golangci(t *testing.T, dir string) string {
	cache, err := install.Cache()
	if err != nil {
		t.Fatal(err)
	}
	linters, err := filepath.Glob(filepath.Join(cache, "bin", "golangci-lint-v*"))
	if err != nil || len(linters) == 0 {
		t.Skip("golangci-lint is not installed; `make lint` installs it")
	}
	rules, err := filepath.Abs("../../../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, linters[len(linters)-1], "run", "--config", rules, "--allow-parallel-runners",
		"--output.text.print-issued-lines=false", "--output.text.colors=false", "./...")
	command.Dir = dir
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod")
	output, err := command.CombinedOutput()
	if err == nil {
		t.Fatalf("the linter found nothing:\n%s", output)
	}
	return string(output)
}
