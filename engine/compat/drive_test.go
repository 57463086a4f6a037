package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/engine/compat/broker"
	"github.com/millrace/millrace/engine/compat/drops"
)

// play runs a shell script in the place of a client that was asked for three checks.
func play(t *testing.T, script string) map[string]outcome {
	proxy, err := drops.Listen(drops.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	c := chosen{client: client{name: "script", checks: []string{"gzip", "time", "drops"}}, command: []string{"sh", "-c", script}}
	d := &driver{begin: time.Now()}
	s := &session{driver: d, chosen: c, target: "nothing", proxy: proxy, open: map[string]bool{"gzip": true, "time": true, "drops": true}}
	s.run(t.Context(), nil)
	outcomes := map[string]outcome{}
	for _, o := range d.outcomes {
		if _, twice := outcomes[o.Check]; !twice || o.Result == "fail" {
			outcomes[o.Check] = o
		}
	}
	return outcomes
}

func TestWhatAClientMustNotDo(t *testing.T) {
	const gzip, late = `echo '{"check":"gzip","result":"pass"}'; `, `echo '{"check":"time","result":"pass"}'; `
	for name, test := range map[string]struct {
		script, check, detail string
	}{
		"end without a report":                  {gzip + "exit 0", "time", "not reported"},
		"end badly":                             {gzip + "echo lost my way >&2; exit 3", "time", "lost my way"},
		"fail":                                  {`echo '{"check":"gzip","result":"fail","detail":"torn"}'`, "gzip", "torn"},
		"report twice":                          {gzip + gzip, "gzip", "twice"},
		"report what nobody asked for":          {`echo '{"check":"large","result":"pass"}'`, "large", "not asked for"},
		"pass drops without a connection's cut": {`echo '{"check":"drops","result":"pass"}'`, "drops", "only 0 connections were cut"},
	} {
		t.Run(name, func(t *testing.T) {
			o := play(t, test.script)[test.check]
			if o.Result != "fail" || !strings.Contains(o.Detail, test.detail) {
				t.Errorf("%s: %+v, want a failure with %q", test.check, o, test.detail)
			}
		})
	}
	if o := play(t, gzip+late)["time"]; o.Result != "pass" {
		t.Errorf("a good client: %+v", o)
	}
}

// TestEveryCheckHasAFeature: a check that is in no row of the table would be run and not shown.
func TestEveryCheckHasAFeature(t *testing.T) {
	titles := map[string]bool{}
	for _, f := range features {
		titles[f.check] = true
	}
	for _, c := range clients {
		for _, check := range c.checks {
			if !titles[check] {
				t.Errorf("%s: check %s is no feature", c.name, check)
			}
		}
	}
}

// What passed in the run before is not run again, what failed or was left out is.
func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "before.json")
	before := &driver{options: options{json: file}, outcomes: []outcome{
		{Target: "Millrace", Client: "kcat", Check: "gzip", Result: "pass"}, {Target: "Millrace", Client: "kcat", Check: "zstd", Result: "fail"},
		{Target: "Millrace", Client: "sarama", Check: "gzip", Result: "pass"},
	}}
	if err := before.writeJSON(); err != nil {
		t.Fatal(err)
	}
	d := &driver{options: options{resume: file}, chosen: []chosen{
		{client: client{name: "kcat", checks: []string{"gzip", "zstd", "lz4"}}}, {client: client{name: "sarama", checks: []string{"gzip"}}},
	}}
	if err := d.takeUp(); err != nil {
		t.Fatal(err)
	}
	if left := d.left(&broker.Millrace{}); len(left) != 1 || !slices.Equal(left[0].checks, []string{"zstd", "lz4"}) {
		t.Errorf("left on Millrace: %+v", left)
	}
	if left := d.left(&broker.Kafka{}); len(left) != 2 || len(left[0].checks) != 3 {
		t.Errorf("left on Kafka: %+v", left)
	}
	if len(d.outcomes) != 2 {
		t.Errorf("taken up: %+v", d.outcomes)
	}
}

func TestDocument(t *testing.T) {
	text := document([]string{"Millrace", "Apache Kafka"}, []outcome{
		{Target: "Millrace", Client: "kcat", Check: "gzip", Result: "fail"},
		{Target: "Apache Kafka", Client: "kcat", Check: "gzip", Result: "pass"},
	})
	if want := "| produce with gzip, read back byte for byte | fail | pass |\n"; !strings.Contains(text, want) {
		t.Errorf("%q is missing in:\n%s", want, text)
	}
}
