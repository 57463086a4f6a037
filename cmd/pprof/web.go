package pprof

import (
	"errors"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/tuning"
)

// titles are what the pages are called.
var titles = map[string]string{
	CPU: "Processor time", Heap: "Memory in use, and allocated", Mutex: "Contended locks", Block: "Waits", Goroutine: "Goroutines",
}

// sourceTaken and sourceBase are names by which the driver asks for the two profiles.
const (
	sourceTaken = "taken"
	sourceBase  = "base"
)

// serve shows the profiles in a browser until the command is interrupted.
func (o *options) serve(c *cobra.Command, taken map[string]*profile.Profile, base *profile.Profile) error {
	pages, err := o.pages(taken, base, c.ErrOrStderr())
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", o.http)
	if err != nil {
		return fmt.Errorf("serve the pages on --http %s: %w", o.http, err)
	}
	s := &http.Server{Handler: pages, ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintf(c.OutOrStdout(), "http://%s/  (ends with Ctrl-C)\n", l.Addr())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the pages: %w", err)
	case <-c.Context().Done():
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("serve the pages: %w", err)
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the pages: %w", err)
	}
	return nil
}

// pages are the driver's pages for each kind, in a folder of its name, and a page before them.
func (o *options) pages(taken map[string]*profile.Profile, base *profile.Profile, errs io.Writer) (http.Handler, error) {
	mux := http.NewServeMux()
	var kinds []page
	for _, kind := range o.kinds {
		handlers, err := o.handlers(taken[kind], base, errs)
		if err != nil {
			return nil, fmt.Errorf("make the pages of the %s profile: %w", kind, err)
		}
		prefix := "/" + kind
		mux.Handle(prefix+"/", http.StripPrefix(prefix, byPath(handlers)))
		kinds = append(kinds, page{kind, titles[kind], total(taken[kind])})
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := front.Execute(w, map[string]any{"Kinds": kinds, "By": o.by, "Diff": o.diff}); err != nil {
			fmt.Fprintln(errs, "show the front page:", err)
		}
	})
	return mux, nil
}

// page is one line of the front page.
type page struct{ Kind, Title, Total string }

var front = template.Must(template.New("front").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>millrace pprof</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 46rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } a { color: #0b57d0; }
</style>
<h1>Profiles of a broker</h1>
{{if .Diff}}<p>What is more, and what is less, than in {{.Diff}}.</p>{{end}}{{if .By}}<p>Split by {{.By}}.</p>{{end}}
<table><tr><th>Profile<th class="n">Total<th>Pages
{{range .Kinds}}<tr><td>{{.Title}}<td class="n">{{.Total}}<td><a href="{{.Kind}}/flamegraph">Flame graph</a> · <a href="{{.Kind}}/top">Top</a> · <a href="{{.Kind}}/graph">Graph</a> · <a href="{{.Kind}}/peek">Peek</a> · <a href="{{.Kind}}/download">Download</a>
{{end}}</table>
</html>
`))

// total is the sum of a profile's last sample type, for people.
func total(p *profile.Profile) string {
	sum, last := int64(0), len(p.SampleType)-1
	for _, s := range p.Sample {
		sum += s.Value[last]
	}
	return amount(sum, p.SampleType[last].Unit)
}

// amount is a value with its unit, for people.
func amount(value int64, unit string) string {
	switch unit {
	case "nanoseconds":
		return time.Duration(value).Round(time.Millisecond).String()
	case "bytes":
		return fmt.Sprintf("%.1f MB", float64(value)/1e6)
	default:
		return fmt.Sprint(value)
	}
}

// byPath serves the driver's handlers, which it names by whole paths.
func byPath(handlers map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handlers[r.URL.Path]; h != nil {
			h.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
}

// handlers has the driver make its pages for one profile. It believes that it serves them;
// they outlive the call.
func (o *options) handlers(p, base *profile.Profile, errs io.Writer) (handlers map[string]http.Handler, err error) {
	arguments := map[string]string{"http": "127.0.0.1:1", "no_browser": "true"}
	err = o.drive(p, base, errs, arguments, nil, func(a *driver.HTTPServerArgs) error {
		handlers = a.Handlers
		return nil
	})
	return handlers, err
}

// drive runs google/pprof's driver with a profile that was taken before.
func (o *options) drive(p, base *profile.Profile, errs io.Writer, arguments map[string]string, out io.Writer, server func(*driver.HTTPServerArgs) error) error {
	if base != nil {
		arguments["diff_base"] = sourceBase
	}
	if o.by != "" {
		arguments["tagroot"] = o.by
	}
	f := &flags{given: arguments}
	err := driver.PProf(&driver.Options{
		Flagset: f, Fetch: fetcher{p, base, o.by}, Sym: known{}, UI: &messages{errs: errs}, HTTPServer: server, Writer: into{out},
	})
	return errors.Join(err, f.err)
}

// fetcher gives the driver what is there.
type fetcher struct {
	taken, base *profile.Profile
	by          string
}

// Fetch answers a copy, which the driver changes.
func (f fetcher) Fetch(source string, _, _ time.Duration) (*profile.Profile, string, error) {
	p := f.taken
	if source == sourceBase {
		p = f.base
	}
	p = p.Copy()
	for _, s := range p.Sample {
		if f.by != "" && len(s.Label[f.by]) == 0 { // the driver would show what has no label under no name
			if s.Label == nil {
				s.Label = map[string][]string{}
			}
			s.Label[f.by] = []string{tuning.Unlabelled}
		}
	}
	return p, "", nil
}

// known is a symbolizer for profiles of Go programs, which say their functions themselves.
type known struct{}

// Symbolize does nothing.
func (known) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

// into is a writer of files that all are the same stream.
type into struct{ out io.Writer }

// Open answers the stream.
func (i into) Open(string) (io.WriteCloser, error) { return stream{i.out}, nil }

type stream struct{ io.Writer }

// Close leaves the stream open.
func (stream) Close() error { return nil }

// messages is what the driver has to say; it asks nothing.
type messages struct{ errs io.Writer }

// ReadLine has no line.
func (*messages) ReadLine(string) (string, error) { return "", io.EOF }

// Print drops remarks on the way.
func (*messages) Print(...any) {}

// PrintErr shows what is wrong, except that a profile has none of the labels asked for; that a
// report is made is not wrong.
func (m *messages) PrintErr(args ...any) {
	text := strings.TrimSpace(fmt.Sprint(args...))
	if !strings.Contains(text, "no matches") && !strings.HasPrefix(text, "Generating report in") {
		fmt.Fprintln(m.errs, text)
	}
}

// IsTerminal is false: nothing is coloured.
func (*messages) IsTerminal() bool { return false }

// WantBrowser is false: the address is printed.
func (*messages) WantBrowser() bool { return false }

// SetAutoComplete does nothing.
func (*messages) SetAutoComplete(func(string) string) {}

var _ driver.UI = (*messages)(nil)
