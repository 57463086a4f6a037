package pprof

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/millrace/millrace/sdk/kit"
)

// sample is a small profile: 3 s of Produce for orders, 1 s of the collector.
func sample() *profile.Profile {
	m := &profile.Mapping{ID: 1, File: "/millrace"}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000, Mapping: []*profile.Mapping{m},
		TimeNanos: 1_700_000_000_000_000_000, DurationNanos: 10_000_000_000,
	}
	add := func(count int64, label map[string][]string, functions ...string) {
		s := &profile.Sample{Value: []int64{count, count * 10_000_000}, Label: label}
		for _, name := range functions {
			f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name, Filename: "x.go"}
			l := &profile.Location{ID: f.ID, Mapping: m, Line: []profile.Line{{Function: f, Line: 1}}}
			p.Function, p.Location = append(p.Function, f), append(p.Location, l)
			s.Location = append(s.Location, l)
		}
		p.Sample = append(p.Sample, s)
	}
	add(300, map[string][]string{"api": {"Produce"}, "topic": {"orders"}}, "engine/api.produce", "netpoll.(*Loop).run")
	add(100, nil, "runtime.gcDrain", "runtime.gcBgMarkWorker")
	return p
}

func save(t *testing.T, path string, p *profile.Profile) string {
	t.Helper()
	var data bytes.Buffer
	if err := p.Write(&data); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// said runs the command and returns what it prints.
func said(t *testing.T, args ...string) string {
	t.Helper()
	text, err := ran(args...)
	if err != nil {
		t.Fatalf("pprof %q: %v\n%s", args, err, text)
	}
	return text
}

func ran(args ...string) (string, error) {
	var out bytes.Buffer
	c := Command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(io.Discard)
	c.SilenceErrors, c.SilenceUsage = true, true
	err := c.ExecuteContext(context.Background())
	return out.String(), err
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}

func TestATableNamesWhatCosts(t *testing.T) {
	file := save(t, filepath.Join(t.TempDir(), "a.pb.gz"), sample())
	contains(t, said(t, "--file", file, "--top=5"), "engine/api.produce", "75.00%")
	contains(t, said(t, "--file", file, "--top=5", "--by", "api"), "75.0 %  Produce", "25.0 %  (none)")
	contains(t, said(t, "--file", file, "--file", file, "--top"), "6s 75.00%") // added up
}

func TestADiffShowsWhatIsMore(t *testing.T) {
	dir := t.TempDir()
	before, after := sample(), sample()
	after.Sample[1].Value[0], after.Sample[1].Value[1] = 400, 4_000_000_000
	text := said(t, "--file", save(t, filepath.Join(dir, "b.pb.gz"), after), "--diff", save(t, filepath.Join(dir, "a.pb.gz"), before), "--top=3")
	contains(t, text, "runtime.gcDrain", "3s")
	if strings.Contains(text, "produce") {
		t.Errorf("what did not change is shown:\n%s", text)
	}
}

func TestARingIsAddedUp(t *testing.T) {
	dir := t.TempDir()
	now := time.Now().UTC()
	for _, age := range []time.Duration{2 * time.Hour, 10 * time.Minute, time.Minute} {
		save(t, filepath.Join(dir, "cpu-"+now.Add(-age).Format("20060102T150405.000Z")+".pb.gz"), sample())
	}
	contains(t, said(t, "--ring", dir, "--top=3"), "9s 75.00%")
	contains(t, said(t, "--ring", dir, "--since", "1h", "--top=3"), "6s 75.00%")
	if _, err := ran("--ring", dir, "--since", "1s", "--top"); err == nil || !strings.Contains(err.Error(), "none of which is wanted") {
		t.Errorf("a ring with nothing young enough: %v", err)
	}
	if err := os.Symlink(filepath.Join(dir, "gone"), filepath.Join(dir, "cpu-"+now.Format("20060102T150405.000Z")+".pb.gz")); err != nil {
		t.Fatal(err)
	}
	contains(t, said(t, "--ring", dir, "--since", "1h", "--top=3"), "6s 75.00%") // one that the broker has dropped meanwhile
	if _, err := ran("--ring", t.TempDir()); err == nil {
		t.Error("an empty folder is taken for a ring")
	}
}

func TestOptionsThatDoNotGoTogether(t *testing.T) {
	for name, args := range map[string][]string{
		"two sources":        {"127.0.0.1:1", "--ring", "x"},
		"unknown label":      {"--by", "color"},
		"unknown profile":    {"--profile", "gpu"},
		"two into one file":  {"--profile", "cpu,heap", "--out", "x"},
		"since without ring": {"--since", "1h"},
		"a ring of heaps":    {"--ring", "x", "--profile", "heap"},
		"no time":            {"--seconds", "0"},
		"less than nothing":  {"--top=-1"},
		"the future":         {"--ring", "x", "--since", "-1h"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ran(args...); err == nil {
				t.Errorf("%q is taken", args)
			}
		})
	}
}

// What the help shows can be typed.
func TestExamplesAreTaken(t *testing.T) {
	for line := range strings.Lines(Command().Example) {
		c := Command()
		if err := c.ParseFlags(strings.Fields(line)[2:]); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		if rest := c.Flags().Args(); len(rest) > 1 || len(rest) == 1 && !strings.Contains(rest[0], ":") {
			t.Errorf("%s: %q is taken for an address", line, rest)
		}
	}
}

func TestEveryKindOfARunningBrokerHasItsPages(t *testing.T) {
	b := kit.Start(t, kit.Options{Settings: map[string]string{"admin.listener": "127.0.0.1:0", "profile.interval.ms": "0"}})
	taken, err := Fetch(context.Background(), b.AdminAddress(), 1, Kinds...)
	if err != nil {
		t.Fatal(err)
	}
	taken[CPU] = sample() // that of an idle broker may be empty
	o := options{kinds: Kinds, by: "api"}
	pages, err := o.pages(taken, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(pages)
	defer s.Close()
	page := func(path string) string {
		a, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s (%v)", path, a.Status, err)
		}
		return string(text)
	}
	front := page("/")
	for _, kind := range Kinds {
		contains(t, front, titles[kind], kind+"/flamegraph")
		contains(t, page("/"+kind+"/flamegraph"), "stack-chart")
		contains(t, page("/"+kind+"/top"), "Flat%")
	}
	contains(t, page("/cpu/flamegraph"), `"FullName":"Produce"`, `"FullName":"(none)"`, "engine/api.produce")
	if _, err := profile.ParseData([]byte(page("/cpu/download"))); err != nil {
		t.Errorf("what is downloaded is no profile: %v", err)
	}
}

func TestAProfileGoesToAFile(t *testing.T) {
	b := kit.Start(t, kit.Options{Settings: map[string]string{"admin.listener": "127.0.0.1:0", "profile.interval.ms": "0"}})
	file := filepath.Join(t.TempDir(), "heap.pb.gz")
	said(t, b.AdminAddress(), "--profile", "heap", "--out", file)
	if p, err := readFile(file); err != nil || len(p.Sample) == 0 {
		t.Errorf("the file holds %v (%v)", p, err)
	}
	if _, err := ran("127.0.0.1:1", "--profile", "heap", "--top"); err == nil || !strings.Contains(err.Error(), "admin.listener") {
		t.Errorf("where nobody listens: %v", err)
	}
}
