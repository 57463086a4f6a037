package bench

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/millrace/millrace/loadgen"
	"github.com/millrace/millrace/results"
)

// The test binary started with "serve" is a stand-in for the broker that bench starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		serve(os.Args[2:])
		return
	}
	os.Exit(m.Run())
}

func serve(arguments []string) {
	for _, argument := range arguments {
		address, ok := strings.CutPrefix(argument, "listeners=PLAINTEXT://")
		if !ok {
			continue
		}
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			panic(err)
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			panic(err)
		}
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(number))
		if err != nil {
			panic(err)
		}
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
		cluster.Close()
	}
}

// invoke runs `bench` with the arguments and returns what it printed.
func invoke(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	c.SetArgs(arguments)
	err := c.ExecuteContext(context.Background())
	return out.String(), err
}

func files(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Without an argument it starts a broker, goes through all phases and leaves a result, a
// report, histograms and no broker.
func TestTour(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out, err := invoke(t, "--out", filepath.Join(dir, "results"), "--duration", "400ms", "--warmup", "100ms", "--bytes", "2MB", "--value", "120")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"produce at full speed", "end to end", "records/s", "broker s/GB", "report: "} {
		if !strings.Contains(out, want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
	at := filepath.Join(dir, "results")
	if len(files(t, at, "*.json")) != 1 || len(files(t, at, "*.html")) != 1 || len(files(t, at, "*.hlog")) != 4 {
		t.Errorf("it left %q", files(t, at, "*"))
	}
	if left := files(t, dir, "millrace-bench-*"); len(left) > 0 {
		t.Errorf("the broker's folder is still there: %q", left)
	}
	all, err := results.ReadAll(at)
	if err != nil || len(all[0].Phases) != 4 || all[0].Phases[0].CPU.BrokerSeconds == nil {
		t.Errorf("the result has %d phases, %v", len(all[0].Phases), err)
	}
	if page, err := invoke(t, "report", at); err != nil || !strings.Contains(page, "report.html") {
		t.Errorf("report: %v %s", err, page)
	}
}

func TestBrokenPromiseIsAnError(t *testing.T) {
	dir := t.TempDir()
	workload := filepath.Join(dir, "w.yaml")
	text := "name: w\nphases: [{name: p, do: produce, rate: 100, duration: 300ms}]\nslo: ['p: p50 < 1ns']\n"
	if err := os.WriteFile(workload, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := invoke(t, "run", workload, "--out", dir)
	if err == nil || !strings.Contains(err.Error(), "p: p50 < 1ns") {
		t.Errorf("the error is %v", err)
	}
}

func TestCompareBrokersInTurn(t *testing.T) {
	dir := t.TempDir()
	workload := filepath.Join(dir, "w.yaml")
	if err := os.WriteFile(workload, []byte("name: w\nphases: [{name: p, do: produce, rate: 500, duration: 100ms}]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := invoke(t, "compare", "self", "self,some.setting=1", "--workload", workload, "--out", filepath.Join(dir, "r"), "--repeat", "2")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	order := regexpOrder(out)
	if order != "ABAB" || !strings.Contains(out, "needs 5 of each") {
		t.Errorf("measured in the order %s:\n%s", order, out)
	}
	a, b := files(t, filepath.Join(dir, "r"), "*a-millrace*.json"), files(t, filepath.Join(dir, "r"), "*b-millrace*.json")
	if len(a) != 2 || len(b) != 2 {
		t.Fatalf("%d results of A, %d of B", len(a), len(b))
	}
	// On a busy machine a run may be invalid, which is said in place of a verdict.
	if out, err := invoke(t, "compare", a[0], b[0]); err != nil || !strings.Contains(out, "unresolved") && !strings.Contains(out, "left out because INVALID") {
		t.Errorf("compare two files: %v\n%s", err, out)
	}
}

func regexpOrder(out string) (order string) {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "run ") {
			order += strings.SplitN(strings.SplitN(line, ", ", 2)[1], "-", 2)[0]
		}
	}
	return order
}

func TestSweep(t *testing.T) {
	out, err := invoke(t, "sweep", "--out", t.TempDir(), "--from", "1k", "--to", "4k", "--steps", "2", "--duration", "200ms", "--warmup", "0s", "--p99", "5s")
	// A busy machine makes runs INVALID, so the rates themselves are not checked.
	if err != nil || strings.Count(out, "rec/s: p99") == 0 || !strings.Contains(out, "p99 stays below 5s up to") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		want      string
	}{
		"unknown workload":           {[]string{"run", "dance"}, "the shipped ones are compare"},
		"unknown key":                {[]string{"run", "tour", "--set", "bach=1"}, `meant "batch"`},
		"bad value":                  {[]string{"run", "tour", "--codec", "brotli"}, "none, gzip, snappy, lz4 or zstd"},
		"bad ramp":                   {[]string{"run", "tour", "--ramp", "10k"}, "needs from:to:time"},
		"unknown phase":              {[]string{"run", "tour", "--phase", "rest"}, "produce at full speed"},
		"a broker against results":   {[]string{"compare", ".", "127.0.0.1:1"}, "not measured in turn"},
		"neither file nor address":   {[]string{"compare", "nothing", "self"}, "neither a file, nor self, nor host:port"},
		"no cell":                    {[]string{"peers", "--only", "record=5"}, "no cell matches"},
		"no row":                     {[]string{"limits", "--rows", "99"}, "rows are 1 to "},
		"a volume without a row":     {[]string{"limits", "--volume", "10GB"}, "needs row=size"},
		"a volume that is none":      {[]string{"limits", "--volume", "9=much"}, "is not a size"},
		"never":                      {[]string{"limits", "--repeats", "0"}, "needs at least 1"},
		"bad broker setting":         {[]string{"--broker-setting", "x"}, "needs key=value"},
		"settings that do not match": {[]string{"run", "tour", "--set", "in_flight=9"}, "in_flight up to 5"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := invoke(t, test.arguments...); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that says %q", err, test.want)
			}
		})
	}
}

func TestTableLinesUp(t *testing.T) {
	var tab table
	tab.add("phase", "p50", "max")
	tab.add("größer", "12.5 µs", "1 s")
	var out bytes.Buffer
	if err := tab.write(&out, left); err != nil {
		t.Fatal(err)
	}
	if want := "phase       p50  max\ngrößer  12.5 µs  1 s\n"; out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestSparkline(t *testing.T) {
	if got := sparkline([]float64{0, 3.5, 7}); got != "▁▄█" {
		t.Errorf("got %s", got)
	}
	if got := sparkline([]float64{0, 0}); got != "▁▁" {
		t.Errorf("nothing at all is drawn as %s", got)
	}
}

func TestKeysAreAllListed(t *testing.T) {
	out, err := invoke(t, "keys")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range loadgen.Keys() {
		if !strings.Contains(out, k.Name) {
			t.Errorf("%s is missing", k.Name)
		}
	}
}
