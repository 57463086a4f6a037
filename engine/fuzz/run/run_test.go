package main

import (
	"context"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/engine/fuzz"
)

// Every target of the module is found, and ends with fuzz.Run.
func TestTargets(t *testing.T) {
	all, err := targets("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 60 || !slices.Contains(all, target{"engine/wire", "FuzzProduce"}) || !slices.Contains(all, target{"engine/fuzz", "FuzzInput"}) {
		t.Fatalf("%d targets: %v", len(all), all)
	}
}

// A target that has had its executions is not played, and the page says so.
func TestWhatIsDoneIsNotPlayed(t *testing.T) {
	t.Chdir("../../..")
	r := &runner{executions: 1000, folder: t.TempDir(), only: regexp.MustCompile("engine/fuzz.FuzzInput"), sideBySide: 2, corpus: t.TempDir()}
	r.table = filepath.Join(r.folder, "page.md")
	one := target{"engine/fuzz", "FuzzInput"}
	if err := (fuzz.Progress{Target: one.name, Executions: 1000, Seconds: 2, Corpus: 3, Findings: []string{"x"}}).Write(r.state(one)); err != nil {
		t.Fatal(err)
	}
	if err := r.playAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	all, err := targets(".")
	if err != nil {
		t.Fatal(err)
	}
	rows := []row{{one, fuzz.Progress{Executions: 1000, Seconds: 2, Corpus: 3, Findings: []string{"x"}}}, {all[0], fuzz.Progress{}}}
	text := page(rows, 1000)
	for _, want := range []string{"1 of 2 targets have had 1000 executions; all together 1000.", "| engine/fuzz.FuzzInput | 1000 | 2 | 500 | 3 | 1 |", "| 0 | 0 | 0 | 0 | 0 |"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestThePageKeepsWhatOthersRan: a state that is not here does not make it nothing.
func TestThePageKeepsWhatOthersRan(t *testing.T) {
	p := fuzz.Progress{Executions: 1_000_000, Seconds: 25, Corpus: 7, Findings: make([]string, 2)}
	rows := []row{{target{"engine/wire", "FuzzHeader"}, p}}
	got := parse(page(rows, 10))
	if one := got[rows[0].String()]; len(got) != 1 || !reflect.DeepEqual(one, p) {
		t.Errorf("%+v, want %+v", got, p)
	}
}
