package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/command/session"
	"github.com/millrace/millrace/results"
)

// The test binary started with "serve" is the broker that bench starts: the real one.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		os.Exit(Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// Rows of the table of limits against the broker itself: starts in an empty folder, with
// many partitions and after kill -9, idle connections, consumers that do not read.
func TestLimitsOfTheRealBroker(t *testing.T) {
	dir := t.TempDir()
	at, page := filepath.Join(dir, "results"), filepath.Join(dir, "BENCHMARKS.md")
	var out, errs bytes.Buffer
	arguments := []string{"millrace", "bench", "limits", "--quick", "--rows", "10,12,13", "--volume", "10=2MB", "--out", at, "--work", dir, "--benchmarks", page}
	if code := Run(t.Context(), arguments, session.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("it ended with %d: %s\n%s", code, &errs, &out)
	}
	all, err := results.ReadAll(at)
	if err != nil || len(all) != 5 {
		t.Fatalf("%d results, %v:\n%s", len(all), err, &out)
	}
	for _, r := range all {
		for _, name := range []string{"first answer", "baseline"} {
			if m, ok := r.Figure(name); ok && m.Value <= 0 {
				t.Errorf("%s: %s is %v", r.ID, name, m.Value)
			}
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), string(results.QuickRun)+" |"); got != 5 {
		t.Errorf("%d bounds were looked at, want 5:\n%s", got, text)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "millrace-limits-*")); err != nil || len(left) > 0 {
		t.Errorf("folders are left: %q, %v", left, err)
	}
}

// The results of a side with modules say what its settings do, not where the folder was.
func TestResultsOfASideWithModules(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Join(dir, "results")
	var out, errs bytes.Buffer
	arguments := []string{"millrace", "bench", "limits", "--quick", "--rows", "24", "--volume", "24=2MB", "--out", at, "--work", dir}
	if code := Run(t.Context(), arguments, session.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("it ended with %d: %s\n%s", code, &errs, &out)
	}
	all, err := results.ReadAll(at)
	if err != nil {
		t.Fatal(err)
	}
	placed := 0
	for _, r := range all {
		for key, value := range r.Environment.Config {
			if value == "${modules}" {
				placed++
			} else if strings.Contains(value, dir) {
				t.Errorf("%s says %s=%s", r.ID, key, value)
			}
		}
	}
	if placed == 0 {
		t.Errorf("none of %d results has modules", len(all))
	}
}
